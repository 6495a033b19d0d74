"""A POST with a deadline, whatever the receiver does.

A time-out of requests is for each read: a receiver that sends a byte now and then holds its sender for ever. Here all
reading of an answer ends at a deadline, which runs from when the connection was begun.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Mapping
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from stasis_callback.clock import Clock

CONNECT_TIMEOUT_S, DEADLINE_S = 5.0, 10.0


class Poster:
    """Posts, each on a connection of its own: what a receiver sends after its status is never read.

    `at_once` is how many threads use it.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # neither a proxy nor .netrc
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _InTimeAdapter(pool_maxsize=at_once))

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> str:
        """Send it; "" when it was taken, else why not."""
        try:
            # Redirections are not followed: what was signed is for this address.
            answer = self._session.post(
                url,
                data=body,
                headers=dict(headers),
                allow_redirects=False,
                stream=True,
                timeout=(CONNECT_TIMEOUT_S, DEADLINE_S),
            )
            answer.close()
        except Exception as error:  # noqa: BLE001  of any kind: what a receiver or the DNS says is read by many
            return type(error).__name__
        return "" if 200 <= answer.status_code < 300 else f"status {answer.status_code}"

    def close(self) -> None:
        """Forget what is known of the receivers."""
        self._session.close()


class _Reading(io.RawIOBase):
    """What comes from a socket until the deadline."""

    def __init__(self, sock: socket.socket, deadline_s: float) -> None:
        self._socket = sock
        self._deadline_s = deadline_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_s = self._deadline_s - Clock().monotonic_s()
        if left_s <= 0:
            raise TimeoutError("the answer did not come in time")
        self._socket.settimeout(left_s)
        return self._socket.recv_into(buffer)


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *words: Any, deadline_s: float, **options: Any) -> None:
        super().__init__(sock, *words, **options)
        self.fp = io.BufferedReader(_Reading(sock, deadline_s))


class _InTime:
    """A connection whose answer is read until the deadline."""

    response_class: Any

    def connect(self) -> None:
        self.response_class = partial(_Answer, deadline_s=Clock().monotonic_s() + DEADLINE_S)
        super().connect()  # type: ignore[misc]  # urllib3's own


class _ConnectionInTime(_InTime, HTTPConnection):
    pass


class _TlsConnection(_InTime, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _ConnectionInTime


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _InTimeAdapter(HTTPAdapter):
    def init_poolmanager(self, *words: Any, **options: Any) -> None:
        super().init_poolmanager(*words, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
