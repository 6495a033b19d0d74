"""Reading a mail: shapes of common clients, hostile and damaged mails."""

from __future__ import annotations

import random
import re
import unicodedata
from contextlib import suppress
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from html.parser import HTMLParser

import pytest
from clients import NOT_WRITTEN, WRITTEN
from samples import COMMAND, LINE, samples

from stasis_callback.core.mail_command import MailCommand
from stasis_callback.core.words import Dropped
from stasis_callback.mail.reading import MailRefused, read_mail

SAMPLES = list(samples())


@pytest.mark.parametrize(("raw", "expected"), [s[1:] for s in SAMPLES], ids=[s[0] for s in SAMPLES])
def test_a_real_shape_is_read(raw: bytes, expected: object) -> None:
    mail = read_mail(raw)
    assert (mail.command or mail.problem) == expected
    assert mail.from_addresses == ("a@b.example",)


def test_the_subject_counts_when_the_body_is_empty() -> None:
    assert read_mail(f"Subject: {LINE}\n\n\n".encode()).command == COMMAND
    assert read_mail(f"Subject: {LINE}\n\nhello\n".encode()).problem is Dropped.NO_COMMAND


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
    assert read_mail(long_html).problem is Dropped.TOO_LONG
    assert read_mail(f"Subject: {LINE} {'x ' * 1000}\n\n".encode()).problem is Dropped.TOO_LONG


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


class Seen(HTMLParser):
    """What a reader sees of HTML: an own, simple idea of it, to compare with."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.unseen = "", 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "blockquote":
            self.unseen += 1
        if tag in ("br", "div", "p"):
            self.text += "\n"

    def handle_endtag(self, tag: str) -> None:
        if tag == "blockquote":
            self.unseen = max(self.unseen - 1, 0)
        if tag in ("div", "p"):
            self.text += "\n"

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.text += data


def seen(raw: bytes) -> list[list[str]]:
    """The words of the lines that a reader sees as written by the sender: no attachments, no quotes."""
    message = message_from_bytes(raw)
    texts = [str(message.get("Subject", ""))]
    with suppress(LookupError, ValueError, HeaderParseError):
        # As mail programs show it: bytes that cannot be there count for nothing, those that say nothing for "?".
        parts = decode_header(texts[0].encode("ascii", "ignore").decode())
        texts.append(
            "".join(
                p if isinstance(p, str) else p.decode(charset or "ascii", "replace") for p, charset in parts
            )
        )
    for part in message.walk():
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes) or part.get_filename() or part.get_content_maintype() != "text":
            continue
        for charset in {str(part.get_param("charset") or "utf-8").strip("\"' "), "utf-8"}:
            with suppress(LookupError, ValueError):
                text = content.decode(charset, "replace").replace("\0", " ")
                page = Seen()
                page.feed(text)
                page.close()
                texts += [text, page.text]
                if part.get_param("delsp") == "yes":
                    texts.append(re.sub(r" \r?\n", "", text))
    return [
        [
            word
            for line in text.splitlines()
            if not line.lstrip().startswith(">")
            for word in plain(line).split()
        ]
        for text in texts
    ]


def plain(line: str) -> str:
    """Without what cannot be seen, and each letter, digit and dash in its plain form."""
    text = unicodedata.normalize("NFKC", line)
    return "".join(
        "-" if unicodedata.category(c) == "Pd" else c for c in text if unicodedata.category(c) != "Cf"
    )


def digits(word: str) -> str:
    return re.sub(r"[-./()+]", "", word)


def reads_as(written: str, number: str) -> bool:
    """Whether these digits are the number, also with the zero that is dialled within its country."""
    at = {written.find("0", code) for code in range(1, 4)}
    return number == written or number in {
        written[:zero] + written[zero + 1 :] for zero in at if 1 <= zero <= 3
    }


def stands_in(command: MailCommand, words: list[str]) -> bool:
    """Whether the command stands there, word after word: nothing of it comes from anywhere else."""
    for at in range(len(words) - 6):
        p, account, secret, sn, number_a, dn, number_b = words[at : at + 7]
        keywords = (p[-1:].upper(), sn.upper(), dn.upper()) == ("P", "SN", "DN")
        last = re.sub(r"</[^>]*$", "", number_b)  # an end tag that was cut off shows nothing
        b = digits(last.rstrip(".,;:!?\"')]>*`\u00bb\u201c\u201d\u2019\u203a"))
        numbers = reads_as(digits(number_a), command.number_a) and reads_as(b, command.number_b)
        who = (account.removeprefix("+"), secret) == (command.account, command.secret)
        if keywords and who and numbers:
            return True
    return False


def test_twenty_thousand_mutated_mails_place_no_call_they_should_not() -> None:
    chance = random.Random(20)
    mails = [s[1] for s in SAMPLES] + [make() for make in (WRITTEN | NOT_WRITTEN).values()]
    changed = 0
    for _ in range(20_000):
        raw = mutated(chance.choice(mails), chance)
        try:
            command = read_mail(raw).command
        except MailRefused:
            continue
        if command is None:
            continue
        assert isinstance(command, MailCommand)  # none of the mails has a voucher
        changed += command != COMMAND
        assert any(stands_in(command, words) for words in seen(raw)), raw
    assert changed > 100
