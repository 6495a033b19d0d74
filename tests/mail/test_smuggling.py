"""SMTP smuggling and other plays with the end of data: one mail stays one mail."""

from __future__ import annotations

import pytest
from mail_site import ADDRESS, PASS, MailSite, mail

BEGIN = b"LHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<" + ADDRESS.encode() + b">\r\nDATA\r\n"
SECOND = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<" + ADDRESS.encode() + b">\r\nDATA\r\n"


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\n", b"\n\n.\r\n"]
)
def test_what_is_no_end_of_data_does_not_begin_a_second_mail(site: MailSite, end: bytes) -> None:
    site.usual()
    inner = mail(first="442079460111")
    sent = BEGIN + b"From: x@y.example\r\n\r\nhello" + end + SECOND + inner + b"\r\n.\r\nQUIT\r\n"
    answers = site.raw(sent).split(b"\r\n")
    assert sum(answer.startswith(b"354") for answer in answers) == 1
    assert site.callbacks() == []
    assert site.reasons() == ["bare_line_end"]
    site.is_unharmed()


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_a_header_behind_a_bare_cr_is_none_whichever_way_a_mail_comes(site: MailSite, newline: bytes) -> None:
    """To the mail server that has stored it, it is one header with a strange letter in it."""
    site.usual()
    forged = mail(Authentication_Results=None, Subject="hello\rAuthentication-Results: " + PASS)
    instance = site.desk.find(ADDRESS)
    assert instance is not None
    assert site.desk.receive(instance, forged.replace(b"\r\n", newline)) == "bare_line_end"
    assert site.desk.receive(instance, mail().replace(b"\r\n", newline)) == ""
    assert len(site.callbacks()) == 1


def test_a_dot_that_was_doubled_on_the_way_is_one_again(site: MailSite) -> None:
    site.usual()
    site.taken(mail(body=".\r\n..\r\nP 6192345678 1ak45 SN 442071234567 DN 447400900123"))
    assert len(site.callbacks()) == 1


def test_commands_that_come_with_the_data_are_commands_of_the_same_client_only(site: MailSite) -> None:
    site.usual()
    sent = BEGIN + mail() + b"\r\n.\r\n" + SECOND + mail() + b"\r\n.\r\nQUIT\r\n"
    assert site.raw(sent).count(b"\r\n250 2.0.0 OK\r\n") == 2
    assert len(site.callbacks()) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:<a@b.example>\r\nX: y>\r\n",
        b"RCPT TO:<" + ADDRESS.encode() + b"\0>\r\n",
        b"RCPT TO:<@evil.example:" + ADDRESS.encode() + b">\r\n",
        b'RCPT TO:<"' + ADDRESS.encode() + b'"@evil.example>\r\n',
        b"BDAT 10 LAST\r\n0123456789",
        b"STARTTLS\r\n",
        b"AUTH PLAIN AGEAYg==\r\n",
        b"VRFY " + ADDRESS.encode() + b"\r\n",
        b"\xff\xfe\r\n" * 20,
        b"A" * 100_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_strange_commands_harm_nothing(site: MailSite, line: bytes) -> None:
    site.usual()
    site.raw(
        b"LHLO x\r\nMAIL FROM:<a@b.example>\r\n" + line + b"DATA\r\n" + b"\r\n.\r\nQUIT\r\n", timeout_s=3
    )
    assert site.callbacks() == []
    site.is_unharmed()
