"""The command of a mail or a message: `P ACCOUNT SECRET SN NUMBER DN NUMBER` for a callback, with `AT TIME` behind it
for one at a time; `P ACCOUNT SECRET VC CODE` for a voucher.

For the grammar and examples see docs/reference/email-command.md. Ambiguous commands are refused: a call that is
not placed costs nothing.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from stasis_callback.core.numbering import read_number
from stasis_callback.core.words import Dropped

TEXT_LIMIT = 200_000
"""Maximum length of the text, in characters."""
WORD_LIMIT = 128
"""Maximum length of a secret, in characters."""

Problem = Literal[Dropped.NO_COMMAND, Dropped.SEVERAL_COMMANDS, Dropped.MALFORMED, Dropped.TOO_LONG]
"""What may be wrong with a command."""


@dataclass(frozen=True, slots=True)
class MailCommand:
    """The command of a callback. Numbers have 3 to 15 ASCII digits; the secret is a password or a one-time token."""

    account: str
    secret: str = field(repr=False)
    number_a: str
    number_b: str
    at: str = ""
    """When: `17:30`, or ISO 8601 with a zone; "" for at once. Whether it is a time of the clock is not looked at."""


@dataclass(frozen=True, slots=True)
class VoucherCommand:
    """The command that redeems a voucher."""

    account: str
    secret: str = field(repr=False)
    code: str = field(repr=False)


Command = MailCommand | VoucherCommand


class Unreadable(Exception):
    """The text has no valid command; `reason` says why."""

    def __init__(self, reason: Problem) -> None:
        super().__init__(reason)
        self.reason: Problem = reason


@dataclass(frozen=True, slots=True)
class _MailWord:
    text: str
    starts_line: bool


_SHAPE = 7  # P account secret SN number DN number
_TIMED_SHAPE = 9  # ... AT time
_VOUCHER_SHAPE = 5  # P account secret VC code
_OPENING = "\"'“”„«‹*•([<`"
_CLOSING = ".,;:!?\"'”“»›)]>*`"
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—−", "-"))
_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
"""The signed text is below this line and above the signature."""
_TIME = re.compile(
    r"[0-9]{2}:[0-9]{2}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{5,8}(?:Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_CODE = re.compile(r"[!-~]{1,64}", re.ASCII)
_ACCOUNT = re.compile(r"[A-Za-z0-9._@-]{1,64}", re.ASCII)
_HEADERS = "from|von|de|da|van|od|fra|från|lähettäjä|от|kimden|发件人|差出人"
_BELOW = re.compile(
    rf"--\s*|_{{5,}}|-{{2,}}.*[^\s-].*-{{2,}}|begin forwarded message:|"
    r".*\b(?:wrote|schrieb|écrit|escribió|scritto|escreveu|schreef)\b.*:|"
    rf"\*?(?:{_HEADERS})\s*[:：].*",
    re.IGNORECASE,
)


def find_command(text: str, region: str = "") -> Command:
    """The only command in `text`, with its numbers read as people in `region` dial them. Raises Unreadable.

    Quoted lines (`>`) and everything below a signature or reply separator are ignored. The same command twice counts
    as one.
    """
    if len(text) > TEXT_LIMIT:
        raise Unreadable(Dropped.TOO_LONG)
    found: set[Command] = set()
    broken = False
    before: list[_MailWord] = []
    for words in filter(None, _paragraphs(text)):
        commands, fine = _commands(words, region)
        # Even after an empty line, digits alone may be the rest of a number, and a time is that of the call.
        is_more = _ascii(words[0].text)[:1].isnumeric() or _is_time(words[:2])
        goes_on = is_more and _ends_in_command(before, region)
        fine, before = fine and not goes_on, words
        found |= commands
        broken = broken or not fine
    if len(found) > 1:
        raise Unreadable(Dropped.SEVERAL_COMMANDS)
    if broken:
        raise Unreadable(Dropped.MALFORMED)
    if not found:
        raise Unreadable(Dropped.NO_COMMAND)
    return found.pop()


def _commands(words: list[_MailWord], region: str) -> tuple[set[Command], bool]:
    """The commands in `words`, and whether there is no incomplete command among them."""
    found: set[Command] = set()
    fine = True
    at = 0
    behind = False  # a command precedes this word: on the same line, or at the end of the line above
    while at < len(words):
        word = words[at]
        if (word.starts_line or behind) and _is_keyword(_opened(word.text), "P"):
            command, length = _command_at(words[at:], region)
            if command is not None:
                found.add(command)
                at += length
                behind = True
                fine = fine and _is_whole(words[at - length :], length)
                continue
            fine = fine and not _is_attempt(words[at + 1 : at + 2 * _SHAPE])
        # Digits after a command could be the rest of a number that was written with spaces, or wrapped.
        fine = fine and not (behind and _has_digit(word.text))
        behind = behind and not word.starts_line
        at += 1
    return found, fine


def _paragraphs(text: str) -> list[list[_MailWord]]:
    """The words of the lines that count, one list per paragraph."""
    paragraphs: list[list[_MailWord]] = [[]]
    for raw in text.splitlines():
        line = "".join(c for c in raw if unicodedata.category(c) != "Cf").strip()
        if line == _SIGNED:
            continue
        if _BELOW.fullmatch(line):
            break
        if not line or line.startswith(">"):
            paragraphs.append([])
            continue
        paragraphs[-1].extend(_MailWord(word, i == 0) for i, word in enumerate(line.split()))
    return paragraphs


def _command_at(words: list[_MailWord], region: str) -> tuple[Command | None, int]:
    """The command that `words` begin with, and the number of its words."""
    for length in (_TIMED_SHAPE, _SHAPE):
        callback = _callback(words[:length], region)
        if callback is not None:
            return callback, length
    return _voucher(words[:_VOUCHER_SHAPE]), _VOUCHER_SHAPE


def _ends_in_command(words: list[_MailWord], region: str) -> bool:
    return bool(
        _callback(words[-_TIMED_SHAPE:], region)
        or _callback(words[-_SHAPE:], region)
        or _voucher(words[-_VOUCHER_SHAPE:])
    )


def _is_whole(words: list[_MailWord], length: int) -> bool:
    """Whether nothing behind a command changes its time, as `PM` or `tomorrow` would, or `AT noon`."""
    behind = words[length : length + 1]
    if not behind or behind[0].starts_line:
        return True
    return length != _TIMED_SHAPE and not _is_keyword(behind[0].text, "AT")


def _is_time(words: list[_MailWord]) -> bool:
    """Whether these are `AT` and a time."""
    return len(words) == 2 and _is_keyword(words[0].text, "AT") and bool(_TIME.fullmatch(_time(words[1])))


def _time(word: _MailWord) -> str:
    return _ascii(word.text).rstrip(_CLOSING)


def _voucher(words: list[_MailWord]) -> VoucherCommand | None:
    if len(words) < _VOUCHER_SHAPE:
        return None
    _, account, secret, vc, code = (word.text for word in words)
    login, code = _login(account, secret), _ascii(code).rstrip(_CLOSING)
    if login is None or not _is_keyword(vc, "VC") or not _CODE.fullmatch(code):
        return None
    return VoucherCommand(*login, code)


def _login(account: str, secret: str) -> tuple[str, str] | None:
    account = _ascii(account).removeprefix("+")
    good = _ACCOUNT.fullmatch(account) and len(secret) <= WORD_LIMIT and secret.isprintable()
    return (account, secret) if good else None


def _callback(words: list[_MailWord], region: str) -> MailCommand | None:
    """The callback that exactly these words ask for."""
    if len(words) not in (_SHAPE, _TIMED_SHAPE) or (words[_SHAPE:] and not _is_time(words[_SHAPE:])):
        return None
    _, account, secret, sn, number_a, dn, number_b = (word.text for word in words[:_SHAPE])
    a, b = read_number(number_a, region), read_number(number_b.rstrip(_CLOSING), region)
    login = _login(account, secret)
    if not (_is_keyword(sn, "SN") and _is_keyword(dn, "DN") and a and b and login):
        return None
    return MailCommand(*login, a, b, _time(words[-1]) if words[_SHAPE:] else "")


def _ascii(word: str) -> str:
    """Convert full-width characters to ASCII and all dashes to `-`."""
    folded = (unicodedata.normalize("NFKC", c) if "！" <= c <= "～" else c for c in word)
    return "".join(folded).translate(_DASHES)


def _opened(word: str) -> str:
    return word.lstrip(_OPENING)


def _is_keyword(word: str, keyword: str) -> bool:
    return len(word) <= 2 and _ascii(word).upper() == keyword


def _has_digit(word: str) -> bool:
    return any(c.isnumeric() for c in word)


def _is_attempt(words: list[_MailWord]) -> bool:
    return any(_is_keyword(word.text, keyword) for word in words for keyword in ("SN", "DN", "VC"))
