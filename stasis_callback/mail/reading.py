"""A mail as bytes, from a stranger, made into what the mail trigger decides on.

Nothing in a mail is trusted. For any content, `read_mail` returns or raises MailRefused. Headers are read
under the policy `compat32`, which decodes nothing by itself: the newer policies raise on some malformed headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.errors import (
    HeaderParseError,
    InvalidBase64CharactersDefect,
    InvalidBase64LengthDefect,
    InvalidBase64PaddingDefect,
)
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses
from typing import cast

from stasis_callback.core.mail_command import Command, Problem, Unreadable, find_command
from stasis_callback.core.words import Dropped
from stasis_callback.mail.html_text import visible_text

HEADER_LIMIT = 2000
"""Longest value of one header looked at, in characters."""

_DAMAGED = (InvalidBase64CharactersDefect, InvalidBase64LengthDefect, InvalidBase64PaddingDefect)
_CONTAINER = re.compile(rb"multipart/|message/", re.IGNORECASE)
_FLOWED_SOFT = re.compile(r"(?m)^(?!-- $)(.*) \r?\n(?!>)")


class MailRefused(Exception):
    """The mail is not read at all; `reason` says why: a limit, or the library could not take it apart."""

    def __init__(self, reason: Dropped) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that was read. Addresses are bare (`a@b.example`); exactly one of `command` and `problem` is set."""

    message_id: str
    from_addresses: tuple[str, ...]
    to_addresses: tuple[str, ...]
    subject: str
    is_automatic: bool
    command: Command | None
    problem: Problem | None


def read_mail(
    raw: bytes,
    *,
    region: str = "",
    size_limit: int = 2_000_000,
    parts_limit: int = 100,
    containers_limit: int = 60,
    line_limit: int = 100_000,
    headers_limit: int = 300,
) -> Mail:
    """`raw` (RFC 5322 and MIME) as a Mail, its numbers read as in `region`. Raises MailRefused.

    Limits: bytes, parts, multiparts and embedded messages together, bytes of a line, headers of the mail.
    """
    _check_outside(raw, size_limit, containers_limit, line_limit, headers_limit)
    try:
        return _read(message_from_bytes(raw, policy=policy.compat32), parts_limit, region)
    except MailRefused:
        raise
    except Exception as error:  # the library's own errors on damaged mails are of many kinds
        raise MailRefused(Dropped.BROKEN) from error


def _check_outside(raw: bytes, size: int, containers: int, line: int, headers: int) -> None:
    """The limits that are checked before the parser, whose time grows with lines times nesting."""
    if len(raw) > size:
        raise MailRefused(Dropped.TOO_LARGE)
    if sum(1 for _ in _CONTAINER.finditer(raw)) > containers:
        raise MailRefused(Dropped.TOO_MANY_PARTS)
    lines = raw.splitlines()
    if max(map(len, lines), default=0) > line:
        raise MailRefused(Dropped.LONG_LINE)
    end = next((i for i, text in enumerate(lines) if not text), len(lines))
    if sum(1 for text in lines[:end] if text[:1] not in (b" ", b"\t")) > headers:
        raise MailRefused(Dropped.TOO_MANY_HEADERS)


def _read(message: Message, parts_limit: int, region: str) -> Mail:
    parts = 0
    for parts, _ in enumerate(message.walk(), 1):
        if parts > parts_limit:
            raise MailRefused(Dropped.TOO_MANY_PARTS)
    command, problem = _command(message, region)
    return Mail(
        message_id=_header(message, "Message-ID"),
        from_addresses=_addresses(message, "From"),
        to_addresses=_addresses(message, "To", "Cc", "Delivered-To", "X-Original-To"),
        subject=_header(message, "Subject"),
        is_automatic=_is_automatic(message),
        command=command,
        problem=problem,
    )


# --- headers -------------------------------------------------------------------------------------------------


def _header(message: Message, name: str) -> str:
    return _decoded(str(message.get(name, "")))


def _decoded(value: str) -> str:
    """A header's text: encoded words decoded, folds as spaces, control characters gone."""
    text = ""
    try:
        for piece, charset in decode_header(" ".join(value[:HEADER_LIMIT].split())):
            text += piece if isinstance(piece, str) else _text(piece, charset or "ascii")
    except (ValueError, LookupError, HeaderParseError):  # bad base64 and others: the value as it stands
        text = value[:HEADER_LIMIT]
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _addresses(message: Message, *names: str) -> tuple[str, ...]:
    values = [str(v)[:HEADER_LIMIT] for name in names for v in message.get_all(name, [])]
    found = (address for _, address in getaddresses(values) if "@" in address and address.isprintable())
    return tuple(dict.fromkeys(found))


def _is_automatic(message: Message) -> bool:
    """Whether no person wrote this (RFC 3834): no answer may be sent, no call placed."""
    auto = _header(message, "Auto-Submitted").partition(";")[0].strip().lower()
    precedence = _header(message, "Precedence").lower()
    return (
        auto not in ("", "no")
        or precedence in ("bulk", "junk", "list", "auto_reply")
        or any(name.lower().startswith("list-") for name in message)
        or any(name in message for name in ("X-Autoreply", "X-Autorespond"))
        or _header(message, "Return-Path") == "<>"
        or message.get_content_type() in ("multipart/report", "message/delivery-status")
        or any(a.lower().startswith(("mailer-daemon@", "postmaster@")) for a in _addresses(message, "From"))
    )


# --- body ----------------------------------------------------------------------------------------------------


def _command(message: Message, region: str) -> tuple[Command | None, Problem | None]:
    # A text that is cut could end in the middle of a number: it is refused.
    if len(str(message.get("Subject", ""))) > HEADER_LIMIT:
        return None, Dropped.TOO_LONG
    try:
        texts = [text for text in _bodies(message) if text.strip()] or [_header(message, "Subject")]
    except Unreadable as unreadable:
        return None, unreadable.reason
    found: set[Command] = set()
    problems: list[Problem] = []
    for text in texts:
        try:
            found.add(find_command(text, region))
        except Unreadable as unreadable:
            problems.append(unreadable.reason)
    if len(found) > 1:
        return None, Dropped.SEVERAL_COMMANDS
    # An alternative without any command (a line "see the HTML") says nothing against the other one.
    worse = [reason for reason in problems if reason is not Dropped.NO_COMMAND]
    if worse or not found:
        return None, (worse or problems)[0]
    return found.pop(), None


def _bodies(message: Message) -> list[str]:
    """The first text part, and of an alternative every text form of it."""
    for part in _leaves(message):
        if isinstance(part, list):
            return part
        return [part]
    return []


def _leaves(message: Message) -> Iterator[str | list[str]]:
    kind = message.get_content_type()
    payload = message.get_payload()
    if isinstance(payload, list):
        children = cast(list[Message], payload)
        if message.get_content_maintype() != "multipart":
            return  # an embedded message is somebody else's
        if kind == "multipart/alternative":
            forms: list[str] = []
            for child in children:
                for leaf in _leaves(child):
                    forms.extend(leaf if isinstance(leaf, list) else [leaf])
                    break
            if any(form.strip() for form in forms):
                yield forms
            return
        for child in children:
            yield from _leaves(child)
        return
    if (
        kind in ("text/plain", "text/html")
        and message.get_content_disposition() != "attachment"
        and not _named(message)
    ):
        text = _part_text(message, kind)
        if text.strip():
            yield text


def _named(message: Message) -> bool:
    return message.get_filename() is not None


def _part_text(part: Message, kind: str) -> str:
    content = part.get_payload(decode=True)
    raw = content if isinstance(content, bytes) else b""
    if any(isinstance(defect, _DAMAGED) for defect in part.defects):
        raise Unreadable(Dropped.MALFORMED)  # what came out may be the beginning of a number and no more
    text = _text(raw, str(part.get_param("charset") or "utf-8")).replace("\0", " ")
    if kind == "text/html":
        return visible_text(text)
    if (
        str(part.get_param("format", "")).lower() == "flowed"
        and str(part.get_param("delsp", "")).lower() == "yes"
    ):
        return _FLOWED_SOFT.sub(r"\1", text)
    return text


def _text(raw: bytes, charset: str) -> str:
    """`raw` as text; an unknown or lying charset is taken as UTF-8, what cannot be read becomes U+FFFD."""
    try:
        return raw.decode(charset.strip("\"' "), "replace")
    except (LookupError, ValueError, TypeError):  # unknown, not a text encoding, or a NUL in its name
        return raw.decode("utf-8", "replace")
