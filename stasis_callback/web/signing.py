"""Signatures of links, forms and webhooks with the secret `[web] secret`.

Each purpose has its own key, so that a signature for one is not valid for another. A token contains its subject and
expiry, so nothing is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode

from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import CallbackError
from stasis_callback.core.requests import Link
from stasis_callback.settings import WebSettings

SECRET_LEAST = 32
WEBHOOK_PREFIX = "whsec_"
REPLAY_S = 300
"""How old a webhook may be, or how far ahead of our clock."""
SIGNATURES_LIMIT = 1000
"""Longest header of signatures, in characters."""

_STATUS = re.compile(r"([0-9a-f]{16})\.([0-9]{1,12})\.([\w-]{43})", re.ASCII)
_MESSAGE = re.compile(r"[!-~]{1,255}", re.ASCII)
_SECONDS = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_CLIENT = re.compile(r"([0-9]{1,12})\.([0-9a-f]{16})\.([0-9]{1,7})\.([0-9]{1,18})\.([\w-]{43})", re.ASCII)
_PLAIN_CLIENT = re.compile(r"([0-9]{1,12})\.([\w-]{43})", re.ASCII)
"""As they were made before links had limits."""


class Signer:
    """Makes and checks tokens. Checking takes the same time for a right and a wrong one."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    @classmethod
    def of(cls, settings: WebSettings) -> Signer:
        """The signer of this installation. Raises CallbackError if the secret is missing or too short."""
        secret = settings.secret.get_secret_value()
        if len(secret) < SECRET_LEAST:
            raise CallbackError(
                f"setting web.secret is too short: write {SECRET_LEAST} random characters or more"
            )
        return cls(secret)

    def status_token(self, request_id: str, until_us: int) -> str:
        """The last part of the link to a status page."""
        until_s = until_us // US_PER_S
        return f"{request_id}.{until_s}.{self._mac('status', request_id, str(until_s))}"

    def read_status(self, token: str, now_us: int) -> str | None:
        """The request id in a token; None if the token is invalid or expired."""
        match = _STATUS.fullmatch(token)
        if match is None:
            return None
        request_id, until_s, mac = match.groups()
        good = hmac.compare_digest(mac, self._mac("status", request_id, until_s))
        return request_id if good and now_us < int(until_s) * US_PER_S else None

    def client_token(self, instance: str, until_us: int, link: Link | None = None) -> str:
        """A token that makes its holder an allowed client of a hosted instance for a limited time."""
        link = link or Link(secrets.token_hex(8))
        parts = (str(until_us // US_PER_S), link.id, str(link.uses), str(link.money_micros))
        return ".".join((*parts, self._mac("client", instance, *parts)))

    def read_client(self, instance: str, token: str, now_us: int) -> Link | None:
        """The link of a client token that is for this instance and in time; None for any other."""
        match = _CLIENT.fullmatch(token) or _PLAIN_CLIENT.fullmatch(token)
        if match is None:
            return None
        *parts, mac = match.groups()
        good = hmac.compare_digest(mac, self._mac("client", instance, *parts))
        if not good or now_us >= int(parts[0]) * US_PER_S:
            return None
        if len(parts) == 1:
            return Link(mac[:16])
        return Link(parts[1], int(parts[2]), int(parts[3]))

    def form_token(self, instance: str, cookie: str) -> str:
        """Goes into a form; the cookie it belongs to is in the browser alone."""
        return self._mac("form", instance, cookie)

    def is_form_token(self, instance: str, cookie: str, token: str) -> bool:
        """Whether a form was made for the browser that sends it."""
        return bool(cookie) and hmac.compare_digest(
            token.encode("utf-8", "replace"), self.form_token(instance, cookie).encode()
        )

    def session(self, kind: str, *parts: str) -> str:
        """The signature of what a cookie says of somebody who has logged in."""
        return self._mac("session", kind, *parts)

    def is_session(self, mac: str, kind: str, *parts: str) -> bool:
        """Whether a cookie's signature is ours."""
        return hmac.compare_digest(mac, self.session(kind, *parts))

    def of_challenge(self, challenge: str) -> str:
        """The signature of a challenge that a browser works on."""
        return self._digest("proof", challenge).hex()

    def webhook_secret(self, instance: str) -> str:
        """The secret of an instance's webhooks, as Standard Webhooks writes it; its receiver has it too."""
        return WEBHOOK_PREFIX + b64encode(self._digest("webhook", instance)).decode()

    def payment_secret(self, hook: str, turn: int) -> str:
        """The secret that a payment provider signs with; each `turn` has another one."""
        return WEBHOOK_PREFIX + b64encode(self._digest("payment", str(turn), hook)).decode()

    def message_secret(self, instance: str, number: int) -> str:
        """The secret that a gateway of messages signs with; each `number` is another one."""
        return WEBHOOK_PREFIX + b64encode(self._digest("message", str(number), instance)).decode()

    def fingerprint(self, content: str) -> str:
        """Stands for a text that may hold a password: equal for equal texts, and no help in guessing them."""
        return self._mac("fingerprint", content)

    def _mac(self, purpose: str, *parts: str) -> str:
        return urlsafe_b64encode(self._digest(purpose, *parts)).decode().rstrip("=")

    def _digest(self, purpose: str, *parts: str) -> bytes:
        # No part but the last contains a line end: they cannot run into each other.
        text = "\n".join((purpose, *parts)).encode()
        return hmac.new(self._secret, text, hashlib.sha256).digest()


def is_signed(secret: str, message: str, timestamp: str, signatures: str, body: bytes, now_s: int) -> bool:
    """Whether a webhook is signed with a secret by Standard Webhooks, within the last five minutes or the next.

    `signatures` may have several, of secrets that are being replaced.
    """
    if not (_MESSAGE.fullmatch(message) and _SECONDS.fullmatch(timestamp)):
        return False
    if abs(now_s - int(timestamp)) > REPLAY_S or len(signatures) > SIGNATURES_LIMIT:
        return False
    expected = webhook_headers(secret, message, int(timestamp), body)["webhook-signature"].encode()
    given = signatures.encode("utf-8", "replace").split(b" ")
    return any([hmac.compare_digest(expected, one) for one in given])


def webhook_headers(secret: str, event: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers of a webhook, by the specification of Standard Webhooks (standardwebhooks.com).

    Signed are its id, the time in seconds since the epoch, and its body.
    """
    signed = f"{event}.{at_s}.".encode() + body
    mac = hmac.new(b64decode(secret.removeprefix(WEBHOOK_PREFIX)), signed, hashlib.sha256)
    signature = b64encode(mac.digest()).decode()
    return {
        "webhook-id": event,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{signature}",
    }
