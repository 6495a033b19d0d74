"""Sessions of people who have logged in to our pages: a signed cookie, and forms that only these pages can send.

Nothing is stored. The cookie says who it is, since when and until when, signed with a key of its own for each kind
of session, and with a `proof`: something that changes when all sessions of this person are to end, such as the hash
of the password. It is renewed while it is used, up to `LONGEST_S` after the login. Logging out makes the browser
forget it; a copy of it stays good until its time is over, or the proof changes.

Forms carry a token that belongs to the cookie, and a browser must say that they come from our own site: so no other
site can send them. A login form has no session yet; there the browser's word alone counts.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.web.security import comes_from_browser, origin_of
from stasis_callback.web.signing import Signer

IDLE_S = 30 * 60
"""A session that is not used for so long is over."""
LONGEST_S = 12 * 3600
_RENEW_AFTER_S = 60
_COOKIE = re.compile(r"([\w-]{1,128})\.([0-9]{1,12})\.([0-9]{1,12})\.([\w-]{16})\.([\w-]{43})", re.ASCII)

FORM_FIELD = "form_token"


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Somebody who has logged in."""

    who: str
    began_s: int
    until_s: int
    nonce: str
    token: str
    """Goes into every form of this session, as `FORM_FIELD`."""


class SignedSessions:
    """The sessions of one kind of people (`kind`), below one path."""

    def __init__(self, signer: Signer, clock: Clock, origin: str, *, kind: str, path: str) -> None:
        """`origin` is our own site, as browsers name it."""
        self._signer = signer
        self._clock = clock
        self._origin = origin
        self._kind = kind
        self._path = path
        self._name = f"callback_{kind}"

    def begin(self, response: Response, who: str, proof: str) -> None:
        """Log somebody in: the browser gets the cookie."""
        self._give(response, who, proof, self._now_s, secrets.token_urlsafe(12))

    def of(self, request: Request, proof_of: Callable[[str], str | None]) -> LoggedIn | None:
        """Whose request it is; None for nobody's. `proof_of` gives the present proof of somebody, None for nobody."""
        match = _COOKIE.fullmatch(request.cookies.get(self._name, ""))
        if match is None:
            return None
        who, began, until, nonce, mac = match.groups()
        began_s, until_s, now_s = int(began), int(until), self._now_s
        if not (began_s <= now_s < until_s and now_s < began_s + LONGEST_S):
            return None
        try:
            name = urlsafe_b64decode(who + "=" * (-len(who) % 4)).decode()
        except ValueError:
            return None
        proof = proof_of(name)
        good = proof is not None and self._signer.is_session(
            mac, self._kind, who, began, until, nonce, _hashed(proof)
        )
        token = self._signer.session(f"{self._kind} form", nonce)
        return LoggedIn(name, began_s, until_s, nonce, token) if good else None

    def renew(self, response: Response, session: LoggedIn, proof: str) -> None:
        """Keep a session that is used: its cookie is replaced, at most once a minute."""
        if session.until_s - self._now_s < IDLE_S - _RENEW_AFTER_S:
            self._give(response, session.who, proof, session.began_s, session.nonce)

    def end(self, response: Response) -> None:
        """Log out: the browser forgets the cookie."""
        response.delete_cookie(self._name, path=self._path)

    def is_from_us(self, request: Request) -> bool:
        """Whether a form comes from one of our pages, as far as the browser says. A program has nobody's cookie."""
        return not comes_from_browser(request.headers) or origin_of(request.headers) == self._origin

    def is_own_form(self, request: Request, session: LoggedIn, values: Mapping[str, str]) -> bool:
        """Whether a form was made for this session, and comes from our pages."""
        sent = values.get(FORM_FIELD, "")
        return self.is_from_us(request) and secrets.compare_digest(sent.encode(), session.token.encode())

    @property
    def _now_s(self) -> int:
        return self._clock.now_us() // US_PER_S

    def _give(self, response: Response, who: str, proof: str, began_s: int, nonce: str) -> None:
        name = urlsafe_b64encode(who.encode()).decode().rstrip("=")
        until_s = min(self._now_s + IDLE_S, began_s + LONGEST_S)
        parts = name, str(began_s), str(until_s), nonce
        mac = self._signer.session(self._kind, *parts, _hashed(proof))
        response.set_cookie(
            self._name, ".".join((*parts, mac)), path=self._path, httponly=True, samesite="lax",
            secure=self._origin.startswith("https:"),
        )  # fmt: skip


def _hashed(proof: str) -> str:
    return hashlib.sha256(proof.encode()).hexdigest()
