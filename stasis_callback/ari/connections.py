"""Kept HTTP connections to one Asterisk: every command of every call goes over them, so they are made of little.

`http.client` opens them, and reads what is unusual. What is usual (a status line, a length, a body) is read here, in
a third of its time; both are far from what `requests` takes (docs/decisions/0024-what-a-callback-costs.md,
docs/decisions/0038-where-the-milliseconds-went.md).
"""

from __future__ import annotations

import http.client
import io
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
REFUSED_S = 0.04
"""So long after a refused connection nobody tries another: of thousands of calls that ask an Asterisk which is away,
one does. Shorter than the first pause before a request is sent again."""
READ_SIZE = 4096
"""Nearly every answer is shorter. Room for so much is taken before there is something to read, by each that waits:
of large pieces little could be given back, for all the small ones that were taken behind them meanwhile."""
READ_LIMIT = 1 << 20
"""What is missing of a longer one is read in pieces of up to so much."""
HEAD_LIMIT = 65_536
"""The head of an answer is not longer, of whatever server."""
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
        lines = {"Host": parts.netloc.encode("idna").decode(), **headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._clock = clock
        self._idle: deque[_Connection] = deque()
        self._refused: ConnectionRefusedError | None = None
        self._refused_s = 0.0
        """When that was, by the steady clock."""
        weakref.finalize(self, _close_all, self._idle)

    def exchange(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        """One request, and the status and body of its answer. `target` is quoted already.

        Raises NotConnected when nothing was sent, TimeoutError when no answer came in time, and OSError or
        HTTPException when the connection broke before it.
        """
        connection = self._kept() or self._new()
        head = f"{method} {target} HTTP/1.1\r\n{self._headers}"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        elif method == "POST":
            head += "Content-Length: 0\r\n"
        try:
            connection.sock.sendall(f"{head}\r\n".encode("ascii") + (body or b""))
            status, content, stays_open = _answer(connection.sock, method)
        except BaseException:
            connection.close()
            raise
        if stays_open:
            connection.used_s = self._clock.monotonic_s()
            self._idle.append(connection)
        else:
            connection.close()
        return status, content

    def close(self) -> None:
        """Close the idle connections."""
        _close_all(self._idle)

    def _kept(self) -> _Connection | None:
        """The connection that was used last, if it is still good; those that are not are closed."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if self._clock.monotonic_s() - connection.used_s < IDLE_LIMIT_S and not connection.has_news():
                return connection
            connection.close()

    def _new(self) -> _Connection:
        refused = self._refused
        if refused and self._clock.monotonic_s() - self._refused_s < REFUSED_S:
            raise NotConnected from refused
        if self._tls is None:
            opened = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        else:
            opened = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=self._tls
            )
        try:
            opened.connect()
        except OSError as error:
            opened.close()
            if isinstance(error, ConnectionRefusedError):
                self._refused, self._refused_s = error.with_traceback(None), self._clock.monotonic_s()
            raise NotConnected from error
        for option in (_AT_ONCE, _RESET):
            opened.sock.setsockopt(*option)
        return _Connection(opened.sock)


class _Connection:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.used_s = 0.0
        """When it was used last, by the steady clock."""
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def has_news(self) -> bool:
        """Whether there is something to read although nothing was asked: its end."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Close it."""
        self.sock.close()


def _close_all(idle: deque[_Connection]) -> None:
    while idle:
        idle.pop().close()


def _answer(sock: socket.socket, method: str) -> tuple[int, bytes, bool]:
    """Status and body of an answer, and whether the connection stays open behind it (RFC 9112)."""
    read = b""
    while (end := read.find(b"\r\n\r\n")) < 0 and len(read) <= HEAD_LIMIT:
        read += _received(sock)
    version, _, status = (lines := read[: max(end, 0)].split(b"\r\n"))[0][:12].partition(b" ")
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip().lower()
    length = b"0" if status == b"204" else fields.get(b"content-length", b"")
    if version != b"HTTP/1.1" or not status.isdigit() or status[:1] == b"1" or not length.isdigit():
        return _read_by_http_client(sock, read, method)
    body = read[end + 4 :]
    while len(body) < int(length):
        body += _received(sock, min(int(length) - len(body), READ_LIMIT))
    stays_open = fields.get(b"connection") != b"close" and len(body) == int(length)
    return int(status), body[: int(length)], stays_open


def _received(sock: socket.socket, size: int = READ_SIZE) -> bytes:
    """What there is to read, at least something."""
    data = sock.recv(size)
    if not data:
        raise http.client.RemoteDisconnected("the connection was closed before the end of the answer")
    return data


def _read_by_http_client(sock: socket.socket, begun: bytes, method: str) -> tuple[int, bytes, bool]:
    """The same, by the standard library: an answer in chunks, one of an old or a very talkative server."""
    with http.client.HTTPResponse(_Begun(sock, begun), method=method) as response:  # type: ignore[arg-type]
        response.begin()
        return response.status, response.read(), not response.will_close


class _Begun(io.RawIOBase):
    """A socket of which the beginning was read already, as `http.client` reads one."""

    def __init__(self, sock: socket.socket, begun: bytes) -> None:
        self._sock, self._begun = sock, begun

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What is read."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        """First what was read already."""
        data = self._begun[: len(into)] or self._sock.recv(len(into))
        self._begun = self._begun[len(data) :]
        into[: len(data)] = data
        return len(data)
