"""From the queue to calls: claims requests when they are due and gives each a thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from stasis_callback.clock import US_PER_S
from stasis_callback.engine.recovery import recover
from stasis_callback.engine.services import Services
from stasis_callback.engine.session import Session
from stasis_callback.workers import Worker

log = structlog.get_logger()

IDLE_S = 5.0
"""The queue is looked at this often even when nothing says it changed: another process may have added to it."""


class Dialer:
    """The thread that starts calls, and the register of those under way."""

    def __init__(self, services: Services, live_calls_limit: int, may_dial: Callable[[], bool]) -> None:
        self._s = services
        self._limit = live_calls_limit
        self._may_dial = may_dial
        self._inbox = services.clock.inbox()
        self._sessions: dict[str, Session] = {}
        # Held for an instant only: the reader of Asterisk's events looks here.
        self._register = services.clock.lock()
        # Held over claiming and registering, and over the search for orphans: between the two steps a request would
        # look like one that nobody works on.
        self._claiming = services.clock.lock()
        self._stopped = False
        self._worker = Worker("dialer", lambda worker: self._work(), services.clock)

    def start(self) -> None:
        """Begin to dial."""
        self._worker.start()

    def stop(self) -> None:
        """Start no more calls. Those under way go on in Asterisk and are adopted by the next start."""
        self._stopped = True
        self.wake()
        self._worker.stop(IDLE_S)

    def wake(self) -> None:
        """Something may be due now."""
        self._inbox.put(None)

    @property
    def sessions(self) -> list[Session]:
        """The calls under way."""
        with self._register:
            return list(self._sessions.values())

    def works_on(self, request_id: str) -> bool:
        """Whether a thread works on this request."""
        with self._register:
            return request_id in self._sessions

    def renew_leases(self) -> None:
        """Tell the database that this node still works on its calls."""
        ids = [session.request.id for session in self.sessions]
        if ids:
            self._s.stores.requests.renew_leases(ids)

    def recover_orphans(self) -> None:
        """Take care of every call that was begun and that no thread works on."""
        live = {channel.id: channel for channel in self._s.client.channels.list()}
        with self._claiming:
            for request in self._s.stores.requests.left_open():
                if not self.works_on(request.id):
                    session = Session(self._s, request)
                    self._start(session, partial(recover, self._s, session, live))

    def _work(self) -> None:
        while not self._stopped:
            try:
                if self._may_dial():
                    self._start_due()
                wait_s = self._until_next_s()
            except Exception:
                log.exception("dialer.failed")
                wait_s = 1.0
            self._inbox.get(wait_s)

    def _start_due(self) -> None:
        with self._claiming:
            room = self._limit - len(self.sessions)
            for request in self._s.stores.requests.claim(room) if room > 0 else []:
                session = Session(self._s, request)
                self._start(session, session.run)

    def _until_next_s(self) -> float:
        due_us = self._s.stores.requests.next_due_us()
        if due_us is None:
            return IDLE_S
        due_in_s = (due_us - self._s.clock.now_us()) / US_PER_S
        # What is due but could not be started waits for a call to end or for the link, both of which wake us.
        return min(due_in_s, IDLE_S) if due_in_s > 0 else IDLE_S

    def _start(self, session: Session, entry: Callable[[], None]) -> None:
        def work() -> None:
            try:
                entry()
            except Exception:
                log.exception("call.failed", call=session.request.id)
            finally:
                with self._register:
                    del self._sessions[session.request.id]
                self.wake()

        with self._register:
            self._sessions[session.request.id] = session
        self._s.clock.start_thread(work, f"call-{session.request.id}")
