"""Who asks: the session behind a request, the tokens of its forms, and from which site a form comes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from urllib.parse import urlencode, urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import Response

from stasis_callback.admin.operators.users import login_key
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.limits import Limit
from stasis_callback.engine.admission.tries import counted_try
from stasis_callback.settings import ConsoleSettings
from stasis_callback.store.operators.operators import Role
from stasis_callback.store.operators.sessions import SessionView
from stasis_callback.store.stores import Stores
from stasis_callback.web.security import origin_of
from stasis_callback.web.texts import LANGUAGES, chosen_language
from stasis_callback.web.visitors import source_of

log = structlog.get_logger()

LOGINS = Limit(10, 900)
"""Wrong passwords and codes for one name."""
SOURCE_LOGINS = Limit(20, 900)
"""Those from one address."""
TOKEN_LIMIT = 64
LANGUAGE = "lang"
"""The field of an address that chooses a language."""
LANGUAGE_COOKIE = "console_language"
_YEAR_S = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Caller:
    """A request with what its cookies say. `session` is None for somebody who is not signed in."""

    token: str
    session: SessionView | None
    language: str
    query: tuple[tuple[str, str], ...] = ()
    """What stands behind the question mark of the address."""

    def in_language(self, language: str) -> str:
        """The same page in another language, as a link of it."""
        same = [(name, text) for name, text in self.query if name != LANGUAGE]
        return f"?{urlencode([*same, (LANGUAGE, language)])}"

    @property
    def name(self) -> str:
        """The operator; "" for nobody."""
        return self.session.name if self.session else ""

    @property
    def role(self) -> Role:
        """Their role. Only for who is signed in."""
        assert self.session is not None
        return self.session.role

    @property
    def form_token(self) -> str:
        """What each form of this browser must bring along: only its own pages know it."""
        return hmac.new(self.token.encode(), b"form", hashlib.sha256).hexdigest()

    def owns(self, form_token: str) -> bool:
        """Whether a form is of a page that this browser was given."""
        return bool(self.token) and hmac.compare_digest(self.form_token.encode(), form_token.encode())


class Visits:
    """Recognises visitors, and signs operators in and out."""

    def __init__(self, settings: ConsoleSettings, stores: Stores, clock: Clock) -> None:
        self._settings = settings
        self._stores = stores
        self._clock = clock
        self._idle_s = settings.idle_minutes * 60.0
        self._longest_s = settings.session_hours * 3600.0
        # A prefixed name is one that only this host, over HTTPS, can have set.
        self.cookie = "__Host-console" if settings.https else "console"

    def of(self, request: Request, *, waits: bool = False) -> Caller:
        """Who this is. `waits`: the page asks by itself, which is no use of the session."""
        token = request.cookies.get(self.cookie, "")[:TOKEN_LIMIT]
        session = (
            self._stores.sessions.find(token, idle_s=self._idle_s, longest_s=self._longest_s)
            if token
            else None
        )
        if session and not waits:
            self._stores.sessions.used(token)
        wanted = request.query_params.get(LANGUAGE, request.cookies.get(LANGUAGE_COOKIE, ""))
        language = chosen_language(LANGUAGES, wanted, request.headers.get("accept-language", ""))
        return Caller(token, session, language, tuple(request.query_params.multi_items()))

    def stranger(self, visit: Caller) -> Caller:
        """The visit of somebody who is about to sign in: their browser gets a token for the form."""
        return visit if visit.token else replace(visit, token=secrets.token_urlsafe(32), session=None)

    def keep(self, response: Response, visit: Caller) -> None:
        """Have the browser keep the token of this visit."""
        self._set(response, self.cookie, visit.token)

    def keep_language(self, response: Response, language: str) -> None:
        """Have the browser keep the language."""
        self._set(response, LANGUAGE_COOKIE, language, _YEAR_S)

    def _set(self, response: Response, name: str, value: str, age_s: int | None = None) -> None:
        response.set_cookie(
            name,
            value,
            max_age=age_s,
            path="/",
            secure=self._settings.https,
            httponly=True,
            samesite="strict",
        )

    def is_own_form(self, request: Request) -> bool:
        """Whether the browser says that this form is of our own site."""
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        host = urlsplit(self._settings.public_url).netloc or request.headers.get("host", "")
        origin = origin_of(request.headers)
        return not origin or urlsplit(origin).netloc == host

    def sign_in(self, request: Request, name: str, password: str, code: str) -> str | None:
        """The token of a new session; "" for wrong words, None after too many of them."""
        recognised = self.recognise(request, name, password, code)
        return self._stores.sessions.open(name) if recognised else (None if recognised is None else "")

    def recognise(self, request: Request, name: str, password: str, code: str) -> bool | None:
        """Whether this is the operator; None after too many wrong words, which are then not looked at."""
        counters = {login_key(name[:40]): LOGINS, f"console:from:{source_of(request)}": SOURCE_LOGINS}
        # Counted first: guesses in parallel are no more than the limit.
        with counted_try(self._stores, [*counters.items()]) as full:
            if full:
                return None
            if not self._stores.operators.recognised(name[:40], password[:100], code[:20]):
                return False
            for key in counters:
                self._stores.limits.give_back(key)
            return True

    def has_proved(self, visit: Caller) -> bool:
        """Whether the operator gave password and code a short time ago."""
        assert visit.session is not None
        age_us = self._clock.now_us() - visit.session.proved_at_us
        return 0 <= age_us <= self._settings.prove_minutes * 60 * US_PER_S

    def proof_problem(self, request: Request, visit: Caller, password: str, code: str) -> str:
        """Why it is not proved who this is: `prove` (nothing was given), `wrong` or `locked`; "" when it is."""
        if self.has_proved(visit):
            return ""
        if not password and not code:
            return "prove"
        recognised = self.recognise(request, visit.name, password, code)
        if recognised:
            self._stores.sessions.proved(visit.token)
            return ""
        log.warning("console.not_proved", operator=visit.name)
        return "wrong" if recognised is False else "locked"

    def close_old(self) -> None:
        """Remove sessions that are over."""
        self._stores.sessions.close_old(idle_s=self._idle_s, longest_s=self._longest_s)
        self._stores.limits.forget_old()
