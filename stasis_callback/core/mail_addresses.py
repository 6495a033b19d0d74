"""E-mail addresses: of whom we write to, and whose mails we read."""

from __future__ import annotations

import re

from stasis_callback.core.errors import InvalidInput

LENGTH_LIMIT = 254
ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}", re.ASCII
)
"""One that can be compared and written to: the usual form of RFC 5322, without quotes and comments. In ASCII, since
not every mail server takes other letters (RFC 6531); a domain has them as `xn--`.
"""


def parse_address(text: str) -> str:
    """An address that can be written to. Raises InvalidInput."""
    address = text.strip()
    if len(address) > LENGTH_LIMIT or not ADDRESS.fullmatch(address):
        raise InvalidInput(
            f"{text[:80]!r} is not an e-mail address of ASCII letters: write, for example, ann@example.com, or "
            "ann@xn--mller-kva.example for ann@müller.example"
        )
    return address


def parse_addresses(text: str) -> tuple[str, ...]:
    """Addresses that are separated by commas; there may be none. Raises InvalidInput."""
    return tuple(parse_address(part) for part in text.split(",") if part.strip())
