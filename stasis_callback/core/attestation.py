"""What carriers say about the caller's number (STIR/SHAKEN): A, B, C, `failed`, or "" where they say nothing.

Nothing is verified here: these are texts of headers, which count where a trunk says so. Sources: 3GPP TS 24.229
(`verstat`), ATIS-1000074 (attestation A, B, C), RFC 8224 and 8588 (Identity), and what carriers document:
`P-Attestation-Indicator: B` beside a `verstat` without a level, `X-Twilio-VerStat: TN-Validation-Passed-A`,
`X-Plivo-Stir-Verification: Verified`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

_VERSTAT = re.compile(r"tn-validation-(passed|failed)(?:-([abc]))?", re.ASCII)
_PASSPORT = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+", re.ASCII)
_LEVEL = re.compile(r"(?:.*\battest[a-z-]*\s*=\s*)?[\"']?([abc])[\"']?(?:\s*[;,].*)?", re.ASCII | re.DOTALL)
_LENGTH_LIMIT = 8000
IDENTITY = "identity"
"""The name, in small letters, of the header that is a signed token and not a word."""


def of_verstat(word: str, indicator: str = "") -> str:
    """The meaning of a `verstat`. One that has passed without a level is of the level of the `indicator`, or A."""
    match = _VERSTAT.fullmatch(word.strip().casefold())
    if match is None:
        return ""
    if match[1] == "failed":
        return "failed"
    return (match[2] or of_word(indicator) or "A").upper()


def of_word(text: str) -> str:
    """The level that a header of a carrier's own names: `B`, `attest=B;`, a `verstat`, or `Verified`, which is A."""
    text = text[:_LENGTH_LIMIT].casefold().strip()
    verstat = _VERSTAT.search(text)
    if verstat and (verstat[1] == "failed" or verstat[2]):
        return of_verstat(verstat[0])
    level = _LEVEL.fullmatch(text)
    if level:
        return level[1].upper()
    return "A" if verstat or text == "verified" else ""


def of_header(name: str, text: str, caller: str) -> str:
    """What a header says that a trunk names, about a caller (E.164 digits)."""
    return of_identity(text, caller) if name.casefold() == IDENTITY else of_word(text)


def of_identity(text: str, caller: str) -> str:
    """The claim of a PASSporT, which must be about this caller: `failed` when it is about another one."""
    match = _PASSPORT.match(text[:_LENGTH_LIMIT].strip())
    claims = _claims(match[1]) if match else {}
    level = claims.get("attest")
    if level not in ("A", "B", "C"):
        return ""
    origin = claims.get("orig")
    number = str(origin.get("tn", "")) if isinstance(origin, dict) else ""
    return str(level) if re.sub(r"[^0-9]", "", number) == caller else "failed"


def _claims(part: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
