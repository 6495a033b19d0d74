"""Mails in the shapes that common clients make: shapes times contents, each with what it must be read as."""

from __future__ import annotations

import base64
import html
import quopri
from collections.abc import Callable, Iterator

from stasis_callback.core.mail_command import MailCommand

LINE = "P 6192345678 1ak45 SN 6581433653 DN 420212345678"
OTHER = "P 7000000001 x9Zq SN 7000000002 DN 7000000003"
COMMAND = MailCommand("6192345678", "1ak45", "6581433653", "420212345678")
Expected = MailCommand | str

CONTENTS: dict[str, tuple[str, Expected]] = {
    "seed": (LINE, COMMAND),
    "lower": (LINE.replace("P ", "p ").replace("SN", "sn").replace("DN", "dn"), COMMAND),
    "wrapped": (LINE.replace(" SN", "\nSN"), COMMAND),
    "plus": ("P 6192345678 1ak45 SN +6581433653 DN +420-212-345678.", COMMAND),
    "nbsp": (LINE.replace(" ", "\u00a0"), COMMAND),
    "greeting": (f"Hello,\n\n{LINE}\n\nThanks\nJohn", COMMAND),
    "signature": (f"{LINE}\n\n-- \nJohn, +44 20 7123 4567\n{OTHER}", COMMAND),
    "reply": (f"{LINE}\n\nOn Monday, B wrote:\n> {OTHER}", COMMAND),
    "outlook reply": (f"{LINE}\n\n-----Original Message-----\nFrom: b@b.example\n{OTHER}", COMMAND),
    "german reply": (f"{LINE}\n\nVon: b@b.example\nGesendet: Montag\n{OTHER}", COMMAND),
    "twice": (f"{LINE}\n\n{LINE}", COMMAND),
    "two": (f"{LINE}\n\n{OTHER}", "several_commands"),
    "split number": (f"{LINE[:-4]}\n{LINE[-4:]}", "malformed"),
    "spaces in a number": ("P 6192345678 1ak45 SN 6581433653 DN 420 212 345 678", "malformed"),
    "only quoted": (f"Hi\n\n> {LINE}", "no_command"),
    "nothing": ("Hello, are you there?", "no_command"),
}


def _head(extra: str) -> bytes:
    head = "From: A <a@b.example>\r\nTo: callback@c.example\r\nMessage-ID: <1@b.example>\r\nMIME-Version: 1.0\r\n"
    return (head + extra).encode()


def part(text: str, kind: str, charset: str, encoding: str) -> bytes:
    """A part with its own headers."""
    raw = text.replace("\n", "\r\n").encode(charset, "replace")
    if encoding == "base64":
        raw = base64.encodebytes(raw)
    elif encoding == "quoted-printable":
        raw = quopri.encodestring(raw)
    start = f"Content-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return start.encode() + raw + b"\r\n"


def plain(charset: str, encoding: str) -> Callable[[str], bytes]:
    return lambda text: _head("") + part(text, "plain", charset, encoding)


def as_html(text: str) -> str:
    """One `div` a line, as webmail writes it; quotes in a `blockquote`."""
    rows = (
        f"<blockquote>{html.escape(row[1:])}</blockquote>"
        if row.startswith(">")
        else f"<div>{html.escape(row) or '<br>'}</div>"
        for row in text.split("\n")
    )
    return f"<html><head><style>p {{}}</style></head><body>{''.join(rows)}</body></html>"


def only_html(encoding: str) -> Callable[[str], bytes]:
    return lambda text: _head("") + part(as_html(text), "html", "utf-8", encoding)


def bundle(kind: str, *parts: bytes) -> bytes:
    body = b"".join(b"--=_b1\r\n" + piece for piece in parts)
    return f'Content-Type: multipart/{kind}; boundary="=_b1"\r\n\r\n'.encode() + body + b"--=_b1--\r\n"


def alternative(text: str) -> bytes:
    return _head("") + bundle(
        "alternative", part(text, "plain", "utf-8", "7bit"), part(as_html(text), "html", "utf-8", "base64")
    )


def empty_plain_alternative(text: str) -> bytes:
    return _head("") + bundle(
        "alternative", part(" ", "plain", "utf-8", "7bit"), part(as_html(text), "html", "utf-8", "base64")
    )


def with_attachment(kind: str, disposition: str) -> Callable[[str], bytes]:
    head = f'Content-Type: {kind}\r\nContent-Disposition: {disposition}; filename="a.txt"\r\n\r\n'
    attached = f"{head}{OTHER}\r\n".encode()
    return lambda text: _head("") + bundle("mixed", part(text, "plain", "utf-8", "8bit"), attached)


def signed(text: str) -> bytes:
    signature = (
        b"Content-Type: application/pgp-signature; name=s.asc\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n"
    )
    return _head("") + bundle("signed", part(text, "plain", "utf-8", "quoted-printable"), signature)


SHAPES: dict[str, Callable[[str], bytes]] = {
    "mutt": plain("utf-8", "8bit"),
    "thunderbird 7bit": plain("iso-8859-1", "7bit"),
    "apple quoted-printable": plain("utf-8", "quoted-printable"),
    "android base64": plain("utf-8", "base64"),
    "outlook windows-1252": plain("windows-1252", "quoted-printable"),
    "utf-16": plain("utf-16", "base64"),
    "koi8-r": plain("koi8-r", "8bit"),
    "gb18030": plain("gb18030", "base64"),
    "webmail html": only_html("quoted-printable"),
    "html base64": only_html("base64"),
    "gmail alternative": alternative,
    "empty text part": empty_plain_alternative,
    "winmail.dat": with_attachment("application/ms-tnef", "attachment"),
    "attached text": with_attachment("text/plain", "attachment"),
    "inline image": with_attachment("image/png", "inline"),
    "pgp signed": signed,
}


def samples() -> Iterator[tuple[str, bytes, Expected]]:
    """Name, mail, and the command or the reason."""
    for shape, make in SHAPES.items():
        for name, (text, expected) in CONTENTS.items():
            yield f"{shape}, {name}", make(text), expected
