"""The API keys of requests: whether one is in force, what it may do, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.limits import Limit
from stasis_callback.store.intake.api_keys import ApiKeys, ApiKeyView
from stasis_callback.web.problems import ApiError, invalid_fields
from stasis_callback.web.security import add_header
from stasis_callback.web.visitors import KEY_LIMIT, may_come_from

_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="API key created with `stasis-callback api-key add`."
)


@dataclass
class _Window:
    """Requests with one key in a window that begins with the first."""

    until_us: int
    count: int = 0


class WrongParameters(ApiError):
    """A filter that does not exist, or is there twice, must not be left out: the answer would be about more than was
    asked, or about something else.
    """

    def __init__(self, codes: Mapping[str, str]) -> None:
        super().__init__(422, "invalid_fields")
        self.codes = codes

    def response(self) -> JSONResponse:
        """The HTTP response for this error."""
        return invalid_fields({name[:64]: self.codes[name] for name in sorted(self.codes)[:20]})


class KeyRates:
    """How often each key was used, in this process: a fair share for all, not a protection of money."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = clock.lock()
        self._windows: dict[str, _Window] = {}

    def take(self, name: str, limit: Limit) -> tuple[int, int]:
        """Count a request: how many are left in the window, -1 when this one is too many, and its end in seconds."""
        now_us = self._clock.now_us()
        with self._lock:
            window = self._windows.get(name)
            if window is None or not now_us < window.until_us <= now_us + limit.period_s * US_PER_S:
                window = self._windows[name] = _Window(now_us + limit.period_s * US_PER_S)
            left = limit.count - window.count - 1
            window.count += left >= 0
            return max(left, -1), -(-(window.until_us - now_us) // US_PER_S)


def key_in_force(
    request: Request,
    scopes: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> ApiKeyView:
    """The API key of a request. Raises ApiError if it is missing, used too often, or does not have the scope."""
    text = credentials.credentials if credentials else ""
    keys: ApiKeys = request.app.state.api_keys
    key = keys.find(text) if 0 < len(text) <= KEY_LIMIT else None
    if key is None or not may_come_from(key, request):
        raise ApiError(401, "no_key", headers={"WWW-Authenticate": "Bearer"})
    rates: KeyRates = request.app.state.key_rates
    limit = key.settings.limit_requests
    left, end_s = rates.take(key.name, limit)
    add_header(request.scope, "RateLimit-Policy", f'"key";q={limit.count};w={limit.period_s}')
    add_header(request.scope, "RateLimit", f'"key";r={max(left, 0)};t={end_s}')
    if left < 0:
        raise ApiError(429, "rate_limited", headers={"Retry-After": str(end_s)})
    if not set(scopes.scopes) <= set(key.scopes):
        raise ApiError(403, "out_of_scope", f"This key does not have the scope {scopes.scope_str}.")
    if wrong := _wrong_parameters(request):
        raise WrongParameters(wrong)
    return key


def _wrong_parameters(request: Request) -> dict[str, str]:
    """What is wrong with the names of query parameters."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    known = _parameters_of(request.scope["route"]) if given else ()
    return {
        name: "repeated" if name in known else "unknown"
        for name, count in given.items()
        if name not in known or count > 1
    }


def _parameters_of(route: APIRoute) -> frozenset[str]:
    """The query parameters that an operation knows."""
    fields = get_flat_params(route.dependant)
    return frozenset(field.alias for field in fields if isinstance(field.field_info, Query))


CreateKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["create"])]
ListKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["list"])]
StatusKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["status"])]
CancelKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["cancel"])]
AccountsKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["accounts"])]
ManageKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["manage-accounts"])]
XdrsKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["xdrs"])]
TopUpKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["top-up"])]
VouchersKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["vouchers"])]
RatesKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["rates"])]
