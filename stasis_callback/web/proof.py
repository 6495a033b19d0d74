"""Proof of work for public forms, by ALTCHA's scheme: a browser looks for a number whose hash is known.

Nothing is stored until a proof is used: a challenge is signed, and its salt says when it expires.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets

from stasis_callback.clock import US_PER_S
from stasis_callback.web.signing import Signer

FIELD = "altcha"
ALGORITHM = "SHA-256"
MAX_NUMBER = 20_000
"""A browser tries half as many on average, which takes it some tenths of a second."""
VALID_S = 1200
PAYLOAD_LIMIT = 1000
_SALT = re.compile(r"[0-9a-f]{24}\?expires=([0-9]{1,12})&", re.ASCII)


def challenge(signer: Signer, now_us: int) -> dict[str, object]:
    """A new challenge, as ALTCHA's widgets and libraries take it."""
    salt = f"{secrets.token_hex(12)}?expires={now_us // US_PER_S + VALID_S}&"
    wanted = _hash(salt, secrets.randbelow(MAX_NUMBER + 1))
    return {
        "algorithm": ALGORITHM,
        "challenge": wanted,
        "maxnumber": MAX_NUMBER,
        "salt": salt,
        "signature": signer.of_challenge(wanted),
    }


def salt_of(payload: str, signer: Signer, now_us: int) -> str:
    """The salt of a solution that is right and in time, "" for any other. It is to be used once."""
    if len(payload) > PAYLOAD_LIMIT:
        return ""
    try:
        given = json.loads(base64.b64decode(payload, validate=True))
        salt, number = str(given["salt"]), int(given["number"])
        wanted, signature = str(given["challenge"]), str(given["signature"])
    except (binascii.Error, ValueError, TypeError, KeyError, RecursionError):
        return ""
    expires = _SALT.fullmatch(salt)
    if expires is None or not 0 <= number <= MAX_NUMBER or now_us >= int(expires[1]) * US_PER_S:
        return ""
    signed = hmac.compare_digest(signature.encode("utf-8", "replace"), signer.of_challenge(wanted).encode())
    return salt if signed and hmac.compare_digest(wanted, _hash(salt, number)) else ""


def _hash(salt: str, number: int) -> str:
    return hashlib.sha256(f"{salt}{number}".encode()).hexdigest()
