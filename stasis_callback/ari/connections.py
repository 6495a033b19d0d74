"""Kept HTTP connections to one Asterisk: every command of every call goes over them, so they are made of little.

`http.client` and not `requests`, which takes five times the processor for the same command
(docs/decisions/0024-what-a-callback-costs.md).
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import struct
import weakref
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

from stasis_callback.clock import Clock

IDLE_LIMIT_S = 10.0
"""Asterisk closes a connection after 15 s without a request (`session_keep_alive`), without a word."""
_AT_ONCE = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
# The kernel would go on delivering what was sent before the connection was closed: a request that was given up while
# the network was cut would arrive many seconds later, beside the one that was sent in its place, and a phone would
# ring twice. A close with a reset drops what is not delivered.
_RESET = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class NotConnected(Exception):
    """There was no connection at all, so nothing was asked. The cause is an OSError."""


class Connections:
    """Connections to one server. Safe to use from any number of threads; each has one to itself while it asks."""

    def __init__(self, base: str, timeout_s: float, headers: Mapping[str, str], clock: Clock) -> None:
        """`timeout_s` goes for the connection and for each answer; `headers` go with every request."""
        parts = urlsplit(base)
        self._host, self._port = parts.hostname or "", parts.port
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._timeout_s = timeout_s
        self._headers = tuple(headers.items())
        self._clock = clock
        self._idle: deque[tuple[http.client.HTTPConnection, float]] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def exchange(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        """One request, and the status and body of its answer.

        Raises NotConnected when nothing was sent, TimeoutError when no answer came in time, and OSError or
        HTTPException when the connection broke before it.
        """
        connection = self._kept() or self._new()
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in self._headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Type", "application/json")
            if body is not None or method == "POST":
                connection.putheader("Content-Length", str(len(body or b"")))
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append((connection, self._clock.monotonic_s()))
        return response.status, content

    def close(self) -> None:
        """Close the idle connections."""
        _close_all(self._idle)

    def _kept(self) -> http.client.HTTPConnection | None:
        """The connection that was used last, if it is still good; those that are not are closed."""
        while True:
            try:
                connection, since_s = self._idle.pop()
            except IndexError:
                return None
            if self._clock.monotonic_s() - since_s < IDLE_LIMIT_S and not _has_news(connection.sock):
                return connection
            connection.close()

    def _new(self) -> http.client.HTTPConnection:
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=self._tls
            )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise NotConnected from error
        for option in (_AT_ONCE, _RESET):
            connection.sock.setsockopt(*option)
        return connection


def _close_all(idle: deque[tuple[http.client.HTTPConnection, float]]) -> None:
    while idle:
        idle.pop()[0].close()


def _has_news(sock: socket.socket) -> bool:
    """Whether a connection on which nothing was asked has something to read: its end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
