"""Mails that are made to hurt: long, deep, torn, full of NULs. Refused by policy; the service is unharmed."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mail_site import ADDRESS, MailSite, mail


def parts(count: int) -> bytes:
    part = "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"
    return mail(Content_Type='multipart/mixed; boundary="b"', body=part * count + "--b--")


def nested(depth: int) -> bytes:
    inner = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(depth))
    return mail(Content_Type='multipart/mixed; boundary="a"', body="--a\r\n" + inner)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (parts(1000), "too_many_parts"),
        (nested(1000), "too_many_parts"),
        (mail(X_Long="y\r\n " * 10_000), None),
        (mail(body="\0\r\n" * 1000), "nul"),
        (mail(Subject="a\0b"), "nul"),
        (mail(body="P 6192345678 1a\0k45 SN 442071234567 DN 447400900123"), "nul"),
        (b"X: y\r\n" * 5000 + mail(), "too_many_headers"),
        (mail(Auto_Submitted="auto-replied"), "automatic"),
        (mail(List_Id="<x.example>"), "automatic"),
        (mail(Precedence="bulk"), "automatic"),
        (mail(Return_Path="<>"), "automatic"),
        (b"\r\n", "bad_sender"),
        (b"\xff" * 900 + b"\r\n", "bad_sender"),
        (mail(From=", ".join(f"a{n}@b.example" for n in range(50))), "bad_sender"),
        (mail(body="hello"), "no_command"),
        (mail(body="P 1 x SN 442071234567 DN 44740090012\r\nP 1 x SN 442071234568 DN 44740090012"), None),
    ],
)
def test_a_hostile_mail_is_dropped_quickly(site: MailSite, raw: bytes, reason: str | None) -> None:
    site.usual(reply="on")
    began_s = time.monotonic()
    site.taken(raw)
    assert time.monotonic() - began_s < 5
    if reason:
        assert site.reasons() == [reason]
    if reason != "no_command" and reason:
        assert site.replies() == []
    site.is_unharmed()


def test_ten_megabytes_are_refused(site: MailSite) -> None:
    site.usual()
    assert site.send(mail(body="x" * 70 + ("\r\n" + "x" * 70) * 150_000))[0] == 552
    assert site.callbacks() == []
    site.is_unharmed()


def test_what_is_longer_than_any_command_is_dropped_without_a_bounce(site: MailSite) -> None:
    site.usual()
    site.taken(mail(body="x" * 70 + ("\r\n" + "x" * 70) * 50_000))
    assert site.reasons() == ["too_large"]
    site.is_unharmed()


def test_a_line_that_never_ends_is_refused(site: MailSite) -> None:
    site.usual()
    assert site.send(mail(body="x" * 500_000))[0] == 500
    site.is_unharmed()


def test_a_bounce_is_automatic_by_its_envelope(site: MailSite) -> None:
    site.usual(reply="on")
    site.taken(mail(), sender="")
    assert site.reasons() == ["automatic"]
    assert (site.callbacks(), site.replies()) == ([], [])


def test_whatever_a_mail_holds_it_gets_an_answer(site: MailSite) -> None:
    site.usual(reply="on")
    instance = site.desk.find(ADDRESS)
    assert instance is not None

    @settings(max_examples=60)
    @given(
        st.binary(max_size=400), st.sampled_from(["From", "Message_ID", "Subject", "Content_Type"]), st.text()
    )
    def takes(body: bytes, header: str, value: str) -> None:
        raw = mail(**{header: value.replace("\n", " ").replace("\r", " ")}) + body
        decided = site.desk.receive(instance, raw)
        assert re.fullmatch("|[a-z_]+", decided)

    site.taken(mail())
    takes()
    assert len(site.callbacks()) == 1, (
        "the first mail's: what comes after it asks for the same call, or for none"
    )
