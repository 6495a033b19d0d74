"""HTTP to Asterisk: a timeout on every request, what each status means, and when to ask again.

Commands go over HTTP and not over the event websocket: there, one command that waits for a playback to end
would hold up every other one.

All retries are decided here. Requests that were certainly not executed (connection refused, Asterisk not ready) are
retried after pauses, for `PATIENCE_S` in total. Requests that may have been executed (the connection broke before the
response) are retried immediately, but only if they are idempotent. Requests that exceeded the time limit are not
retried: the caller must look for the channel.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from stasis_callback.ari.connections import Connections, NotConnected
from stasis_callback.ari.errors import AriError, AriUnavailable
from stasis_callback.clock import Clock

# The channel, bridge or playback is gone, or is not in a state for the command. Calls end at any moment, so
# these are answers and never errors.
NOT_NOW = frozenset({404, 409, 412, 422})

Params = Mapping[str, str] | Callable[[], Mapping[str, str]] | None

PATIENCE_S = 2.5
"""Maximum silence in a conversation: after that Asterisk has either recovered, or is unavailable for longer."""
ENDS_POOL_SIZE = 8
"""Connections for what ends something, and for nothing else: a missed call is not refused later, nor a leg ended,
because two hundred calls that are taken over ask for something. As many as missed calls are worked on at once."""
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+").fullmatch
"""What is the same when it is quoted: nearly all."""
PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)

# What Asterisk says when the module behind a resource is not loaded (yet): not to be taken for "no such channel".
_NOT_LOADED = "Resource not found"


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and its JSON body (None when empty)."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        """Whether Asterisk did what it was asked."""
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        """Asterisk's own text; it stands under `message`, for some failures under `error`."""
        fields = self.body if isinstance(self.body, dict) else {}
        return str(fields.get("message") or fields.get("error") or "")


class _Broken(AriUnavailable):
    """The connection broke before the answer came."""


class Rest:
    """The HTTP side of one Asterisk. Safe to use from any number of threads."""

    def __init__(
        self, url: str, username: str, password: str, request_timeout_s: float, pool_size: int, clock: Clock
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ValueError(
                "invalid ARI url: write, for example, http://127.0.0.1:8088, without user and password"
            )
        self.base = url.rstrip("/").removesuffix("/ari") + "/ari"
        self.request_timeout_s = request_timeout_s
        self._clock = clock
        # Not `auth=` and not `api_key=`: the header alone, so that no address that is logged can hold the password.
        credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.headers = {"Authorization": f"Basic {credentials}"}
        self._http = Connections(self.base, request_timeout_s, self.headers, clock)
        self._origin_size = len(f"{parts.scheme}://{parts.netloc}")
        # Asterisk closes connections above `sessionlimit` without a word, so their number is bounded here.
        self._free_connections = threading.BoundedSemaphore(pool_size)
        self._free_for_ends = threading.BoundedSemaphore(ENDS_POOL_SIZE)

    def __repr__(self) -> str:
        return f"Rest({self.base})"

    def events_url(self, app: str) -> str:
        """The address of the event websocket."""
        query = urlencode({"app": app, "subscribeAll": "false"})
        return f"ws{self.base.removeprefix('http')}/events?{query}"

    def send(
        self,
        method: str,
        *path: str,
        params: Params = None,
        content: object = None,
        repeatable: bool | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Reply:
        """One request to `/ari/<path>`; any status but 503 is a reply.

        A `repeatable` request is also sent again when the connection broke under it (Asterisk closes idle ones
        after 15 s). By default that is everything but POST; a POST must only say so when a second one is harmless.
        `params` and `content` may be functions, for what must be right at the moment it is sent; one that raises
        `AriUnavailable` keeps it from being sent now.
        Raises `AriUnavailable` when there was no answer.
        """
        url = "/".join([self.base, *map(_quoted, path)])
        if repeatable is None:
            repeatable = method != "POST"
        until_s = self._clock.monotonic_s() + patience_s
        broken_once = False
        for pause_s in (*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]):
            try:
                return self._once(method, url, _now(params), _now(content))
            except AriUnavailable as error:
                again = error.untouched or (repeatable and not broken_once and isinstance(error, _Broken))
                broken_once = broken_once or isinstance(error, _Broken)
                if not again or self._clock.monotonic_s() + pause_s > until_s:
                    raise
                if error.untouched:
                    self.pause(pause_s)
        return self._once(method, url, _now(params), _now(content))

    def pause(self, pause_s: float) -> None:
        """Wait before something is asked again."""
        self._clock.inbox().get(pause_s)

    def _once(self, method: str, url: str, params: Mapping[str, str] | None, content: object) -> Reply:
        free = self._free_for_ends if method == "DELETE" else self._free_connections
        if not free.acquire(timeout=self.request_timeout_s):
            raise AriUnavailable(0, f"every connection to Asterisk is busy ({method} {url})")
        try:
            reply = self._exchange(method, url, params, content)
        finally:
            free.release()
        if reply.status == 503 or (reply.status == 404 and reply.message == _NOT_LOADED):
            words = reply.message or "Asterisk is not ready"
            raise AriUnavailable(reply.status, words, untouched=True)
        return reply

    def _exchange(self, method: str, url: str, params: Mapping[str, str] | None, content: object) -> Reply:
        """One request and its answer, or `AriUnavailable`. A simulation has its own."""
        target = url[self._origin_size :] + (f"?{_query(params)}" if params else "")
        body = None if content is None else json.dumps(content).encode()
        try:
            status, answer = self._http.exchange(method, target, body)
        except NotConnected as error:
            words = f"no connection to {self.base}: {error.__cause__}"
            raise AriUnavailable(0, words, untouched=True) from error
        except TimeoutError as error:
            raise AriUnavailable(0, f"no answer within {self.request_timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            words = f"no connection to {self.base}: {str(error) or type(error).__name__}"
            raise _Broken(0, words) from error
        try:
            return Reply(status, json.loads(answer) if answer else None)
        except ValueError:
            return Reply(status, None)

    def command(
        self,
        method: str,
        *path: str,
        params: Params = None,
        content: object = None,
        repeatable: bool | None = None,
    ) -> bool:
        """Send; True when done, False when what it is about is gone or in no state for it. Raises `AriError`."""
        reply = self.send(method, *path, params=params, content=content, repeatable=repeatable)
        if not reply.ok and reply.status not in NOT_NOW:
            raise AriError(reply.status, reply.message)
        return reply.ok

    def fetch(
        self, *path: str, params: Mapping[str, str] | None = None, patience_s: float = PATIENCE_S
    ) -> dict[str, Any] | None:
        """GET one object; None if it does not exist. Raises `AriError`, also if the response is not an object."""
        reply = self.send("GET", *path, params=params, patience_s=patience_s)
        if reply.status in NOT_NOW:
            return None
        if not reply.ok or not isinstance(reply.body, dict):
            raise AriError(reply.status, reply.message or "not an object")
        return reply.body

    def fetch_list(self, *path: str) -> list[dict[str, Any]]:
        """GET of a collection. Raises `AriError` for anything but a list: no answer must not look like "none"."""
        reply = self.send("GET", *path)
        if not reply.ok or not isinstance(reply.body, list):
            raise AriError(reply.status, reply.message or "not a list")
        return reply.body

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()


def _quoted(text: str) -> str:
    return text if _PLAIN(text) else quote(text, safe="")


def _query(params: Mapping[str, str]) -> str:
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in params.items())


def _now(value: Any) -> Any:
    return value() if callable(value) else value


def checked(value: str, pattern: re.Pattern[str], what: str) -> str:
    """`value` when it matches as a whole; ValueError otherwise. For everything that ends up in a dial string."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"not {what}: {value!r}")
    return value
