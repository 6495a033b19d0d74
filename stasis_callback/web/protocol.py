"""uvicorn's HTTP/1.1 protocol, with a limit on how long the head of a request may take.

uvicorn waits for ever for the rest of a request line or header; some hundred such connections would be all it takes.
h11 is strict about what is a request: two lengths, a length and chunks, blanks before colons and bare line ends are
refused, so no proxy and we can disagree about where one ends.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_TIMEOUT_S = 10.0


class PatientProtocol(H11Protocol):
    """One connection."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Somebody has connected: the first head is due."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Something came; a request that is complete begins to be worked on in here."""
        super().data_received(data)
        if self._is_waiting():
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)
        else:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection was closed."""
        self._stop_timer()
        super().connection_lost(exc)

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
