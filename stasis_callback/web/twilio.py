"""The messages of Twilio: SMS and WhatsApp as form posts with an `X-Twilio-Signature`, answered with TwiML.

As Twilio documents it: signed with the account's auth token, by HMAC-SHA1 in Base64, are the URL and each field with
its value, sorted by field. There is no time in it: a post that is sent again is known by its `MessageSid`.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

MEDIA_TYPE = "text/xml"
FIELDS_LIMIT = 100
WHATSAPP = "whatsapp:"

Fields = Sequence[tuple[str, str]]


def fields_of(body: bytes) -> Fields:
    """The fields of a form post; none of what is not one."""
    try:
        return parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body), errors="strict",
            max_num_fields=FIELDS_LIMIT,
        )  # fmt: skip
    except ValueError:
        return ()


def signature_of(token: str, url: str, fields: Fields) -> str:
    """The signature of a post to `url`."""
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    return b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def is_signed(token: str, url: str, fields: Fields, signature: str) -> bool:
    """Whether a post is Twilio's; never without a token."""
    expected = signature_of(token, url, fields).encode()
    return hmac.compare_digest(expected, signature.encode("utf-8", "replace")) and bool(token)


def message_of(fields: Fields) -> dict[str, str]:
    """A message as our own format has it, as far as its fields are there."""
    given = dict(fields)
    names = {"id": "MessageSid", "from": "From", "text": "Body"}
    found = {ours: given[theirs] for ours, theirs in names.items() if theirs in given}
    return found | ({"from": found["from"].removeprefix(WHATSAPP)} if "from" in found else {})


def answer_of(reply: str | None) -> str:
    """An answer that has Twilio send a reply; None for none."""
    said = "" if reply is None else f"<Message>{escape(reply)}</Message>"
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{said}</Response>'
