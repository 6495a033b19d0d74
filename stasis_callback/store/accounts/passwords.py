"""Service passwords: hashed with Argon2id, compared in the same time whether the account exists or not."""

from __future__ import annotations

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from stasis_callback.core.errors import InvalidInput

# OWASP's smallest advised setting: 19 MiB, two passes, one lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
PASSWORD_LIMIT = 64


def hash_password(password: str, what: str = "service password") -> str:
    """The hash to keep; "" for "", which means that the account has no password and matches none.

    Raises InvalidInput, which calls it `what`.
    """
    if len(password) > PASSWORD_LIMIT or not (password.isprintable() and password.isascii()):
        raise InvalidInput(f"invalid {what}: use at most {PASSWORD_LIMIT} printable ASCII characters")
    return _HASHER.hash(password) if password else ""


def password_matches(password: str, stored_hash: str) -> bool:
    """Whether `password` is the one behind `stored_hash`; takes as long for "" (no such account) as for any."""
    try:
        matches = _HASHER.verify(stored_hash or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False
    return matches and bool(stored_hash)


@cache
def _nobody() -> str:
    return _HASHER.hash("the hash that nobody has")
