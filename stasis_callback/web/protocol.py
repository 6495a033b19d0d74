"""uvicorn's HTTP/1.1 protocol: the head of a request may take so long and no longer, and answers always arrive.

uvicorn waits for ever for the rest of a request line or header; some hundred such connections would be all it takes.
It closes at once after an answer to a request whose body it has not read: the rest of that body then meets a reset,
which takes the answer away from who has not read it yet (RFC 9112, section 9.6). `LingeringTransport` does not.
h11 is strict about what is a request: two lengths, a length and chunks, blanks before colons and bare line ends are
refused, so no proxy and we can disagree about where one ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_TIMEOUT_S = 10.0
LINGER_S = 2.0
"""What is still sent after our last answer is thrown away for so long."""
LINGER_LIMIT_BYTES = 1_048_576


class LingeringTransport:
    """A connection's transport; it is closed only after the other side has been heard out.

    Everything but closing is done by the transport that it stands for.
    """

    def __init__(
        self, transport: Any, loop: asyncio.AbstractEventLoop, is_sending: Callable[[], bool]
    ) -> None:
        """`is_sending`: whether there is more of a request to come."""
        self._transport = transport
        self._loop = loop
        self._is_sending = is_sending
        self._timer: asyncio.TimerHandle | None = None
        self._left_bytes = LINGER_LIMIT_BYTES

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more is answered."""
        return self._timer is not None or self._transport.is_closing()

    def close(self) -> None:
        """Say that nothing more comes from us; the connection ends when the other side does, or after LINGER_S."""
        if self.is_closing():
            return
        if not self._is_sending():
            self._transport.close()
            return
        if self._transport.can_write_eof():  # there is no such word in TLS
            self._transport.write_eof()
        self._transport.resume_reading()
        self._timer = self._loop.call_later(LINGER_S, self._transport.close)

    def throw_away(self, data: bytes) -> None:
        """This came after the last answer."""
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            self._transport.close()

    def stop_waiting(self) -> None:
        """The connection is over."""
        if self._timer is not None:
            self._timer.cancel()


class PatientProtocol(H11Protocol):
    """One connection."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Somebody has connected: the first head is due."""
        super().connection_made(LingeringTransport(transport, self.loop, self._is_sending))  # type: ignore[arg-type]
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Something came; a request that is complete begins to be worked on in here."""
        if self.transport.is_closing():
            self.transport.throw_away(data)  # type: ignore[attr-defined]
            return
        super().data_received(data)
        if self._is_waiting():
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)
        else:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection was closed."""
        self._stop_timer()
        self.transport.stop_waiting()  # type: ignore[attr-defined]
        super().connection_lost(exc)

    def _is_sending(self) -> bool:
        """Whether the rest of a request is still on its way, or what comes cannot be read as one."""
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _is_waiting(self) -> bool:
        """Whether the head of a request is incomplete."""
        return self.cycle is None or self.cycle.response_complete

    def _give_up(self) -> None:
        self._head_timer = None
        if self._is_waiting() and not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
