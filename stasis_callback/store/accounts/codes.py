"""Random codes: PINs and vouchers. Long enough that trying them finds none."""

from __future__ import annotations

import hashlib
import secrets

from stasis_callback.core.errors import InvalidInput

DIGITS = "0123456789"
READABLE = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Capitals and digits without those that are mistaken for one another."""
CODES_PER_ONE = 10_000
"""Required number of possible codes per issued code: a random guess then hits one in ten thousand tries."""
LENGTH_LIMIT = 32


def code_hash(code: str, salt: bytes) -> str:
    """What is kept of a code: a slow hash (scrypt). Spaces, dashes and small letters make no difference."""
    plain = "".join(code.split()).replace("-", "").upper()
    return hashlib.scrypt(plain.encode("utf-8", "replace"), salt=salt, n=2**12, r=8, p=1, dklen=24).hex()


def random_codes(count: int, length: int, alphabet: str, taken: frozenset[str] = frozenset()) -> list[str]:
    """`count` different codes, none of them in `taken`. Raises InvalidInput when they could be guessed."""
    letters = "".join(sorted(set(alphabet)))
    if not (2 <= len(letters) <= 64 and letters.isascii() and letters.isalnum()):
        raise InvalidInput("invalid alphabet: use 2 to 64 letters or digits")
    if not 1 <= length <= LENGTH_LIMIT:
        raise InvalidInput(f"invalid code length {length}: write 1 to {LENGTH_LIMIT}")
    if len(letters) ** length < CODES_PER_ONE * (count + len(taken)):
        raise InvalidInput(
            f"{count} codes of {length} characters are too easy to guess: make them longer, so that there are "
            f"{CODES_PER_ONE} times as many possible codes as issued ones"
        )
    codes: set[str] = set()
    while len(codes) < count:
        code = "".join(secrets.choice(letters) for _ in range(length))
        if code not in taken:
            codes.add(code)
    return sorted(codes, key=lambda code: secrets.randbits(32))
