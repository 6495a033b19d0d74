"""Reading a mail: shapes of common clients, hostile and damaged mails."""

from __future__ import annotations

import random
import re
from email import message_from_bytes

import pytest
from selectolax.lexbor import LexborHTMLParser

from stasis_callback.core.mail_command import MailCommand
from stasis_callback.mail.reading import MailRefused, read_mail
from tests.mail.samples import COMMAND, LINE, samples

SAMPLES = list(samples())


@pytest.mark.parametrize(("raw", "expected"), [s[1:] for s in SAMPLES], ids=[s[0] for s in SAMPLES])
def test_a_real_shape_is_read(raw: bytes, expected: object) -> None:
    mail = read_mail(raw)
    assert (mail.command or mail.problem) == expected
    assert mail.from_addresses == ("a@b.example",)


def test_the_subject_counts_when_the_body_is_empty() -> None:
    assert read_mail(f"Subject: {LINE}\n\n\n".encode()).command == COMMAND
    assert read_mail(f"Subject: {LINE}\n\nhello\n".encode()).problem == "no_command"


@pytest.mark.parametrize(
    "header",
    ["Auto-Submitted: auto-replied", "Precedence: bulk", "List-Id: <x>", "Return-Path: <>",
     "Content-Type: multipart/report; boundary=x"],
)  # fmt: skip
def test_what_no_person_wrote_is_automatic(header: str) -> None:
    assert read_mail(f"{header}\n\nx\n".encode()).is_automatic
    assert not read_mail(b"Auto-Submitted: no\n\nx\n").is_automatic


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"x" * 10_000_000, "too_large"),
        (b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\nx\n" * 1000, "too_many_parts"),
        (b"Content-Type: multipart/mixed; boundary=a\n\n--a\n" * 1000, "too_many_parts"),
        (b"A: b\n" * 1000 + b"\n", "too_many_headers"),
        (b"\n" + b"x" * 200_000, "long_line"),
    ],
)
def test_a_hostile_mail_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(MailRefused) as refused:
        read_mail(raw)
    assert refused.value.reason == reason


def test_nuls_place_no_call() -> None:
    assert read_mail(b"\0" * 5000).command is None
    assert read_mail(b"\n" + LINE.replace("212", "2\x0012").encode()).command is None


def test_a_text_is_never_cut_in_the_middle_of_a_number() -> None:
    long_html = b"Content-Type: text/html\n\n" + b"<p>hello\n" * 30_000 + LINE.encode()
    assert read_mail(long_html).problem == "too_long"
    assert read_mail(f"Subject: {LINE} {'x ' * 1000}\n\n".encode()).problem == "too_long"


def mutated(raw: bytes, chance: random.Random) -> bytes:
    data = bytearray(raw)
    kind = chance.randrange(4)
    if kind == 0:
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif kind == 1:
        start = chance.randrange(len(data))
        del data[start : start + chance.randint(1, 60)]
    else:
        lines = bytes(data).splitlines(keepends=True)
        i, j = chance.randrange(len(lines)), chance.randrange(len(lines))
        if kind == 2:
            lines[i], lines[j] = lines[j], lines[i]
        else:
            lines.insert(i, lines[j])
        return b"".join(lines)
    return bytes(data)


def shown(raw: bytes) -> str:
    """Everything a mail could show anybody, decoded in the plainest way, without separators inside numbers."""
    texts = [raw.decode("latin-1")]
    for part in message_from_bytes(raw).walk():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            for charset in (str(part.get_param("charset") or "utf-8"), "utf-8"):
                try:
                    text = content.decode(charset.strip("\"' "), "replace")
                except (LookupError, ValueError):
                    continue
                texts += [text, LexborHTMLParser(text.replace("\0", " ")).text()]
    return re.sub(r"[-./()+\u00ad\x00]", "", "\n".join(texts))


def test_twenty_thousand_mutated_mails_place_no_call_they_should_not() -> None:
    chance = random.Random(20)
    read = 0
    for _ in range(20_000):
        raw = mutated(chance.choice(SAMPLES)[1], chance)
        try:
            command = read_mail(raw).command
        except MailRefused:
            continue
        if command is None or command == COMMAND:
            continue
        read += 1
        text = shown(raw)
        assert {command.number_a, command.number_b} <= set(re.findall(r"[0-9]+", text)), raw
        assert re.sub(r"[-./()+]", "", command.account) in text, raw
        assert re.sub(r"[-./()+]", "", command.secret) in text, raw
        assert not is_mixed(command), raw
    assert read > 100


def is_mixed(command: MailCommand) -> bool:
    fields = {command.account, command.number_a, command.number_b}
    return bool(fields & {"6192345678", "6581433653", "420212345678"}) and bool(
        fields & {"7000000001", "7000000002", "7000000003"}
    )
