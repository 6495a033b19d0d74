"""An asyncio loop in virtual time: as much of one as the fake Asterisk's coroutines need.

Its callbacks are done in their order by the scheduler, its timers are the scheduler's. While it is frozen nothing is
done; what became due meanwhile is done at the end of it. (looptime does the like for tests of one loop.)
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from .scheduler import START_US, US_PER_S, Scheduler, Timer

_Loop: Any = asyncio.AbstractEventLoop
"""Its many other methods are not needed, and say so when they are called."""


class SimLoop(_Loop):  # type: ignore[misc]
    """An event loop that is an actor of the scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: dict[int, Timer] = {}
        self.frozen = False
        scheduler.add(self)

    # --- for the scheduler ---------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether a callback is ready."""
        return bool(self._ready) and not self.frozen

    def act(self) -> None:
        """Run the next callback."""
        handle = self._ready.popleft()
        if handle.cancelled():
            return
        outer = events._get_running_loop()
        events._set_running_loop(self)
        try:
            handle._run()
        finally:
            events._set_running_loop(outer)

    # --- for asyncio ---------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds."""
        return (self._scheduler.now_us - START_US) / US_PER_S

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)

        def due() -> None:
            self._timers.pop(id(handle), None)
            self._ready.append(handle)

        timer = self._scheduler.call_at(START_US + round(when * US_PER_S), due)
        self._timers[id(handle)] = timer
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if (timer := self._timers.pop(id(handle), None)) is not None:
            timer.cancel()

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **kwargs: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, **kwargs)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nothing may fail in the fake Asterisk: it would be a bug of the simulation."""
        error = context.get("exception")
        self._scheduler.failure = self._scheduler.failure or (
            error if isinstance(error, BaseException) else RuntimeError(str(context.get("message")))
        )
