"""The dialler: claims due requests from the queue and starts a thread for each."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import structlog

from stasis_callback.ari.events import ChannelSnapshot
from stasis_callback.clock import US_PER_S
from stasis_callback.core.words import Ending
from stasis_callback.crashpoint import crashpoint
from stasis_callback.engine.admission.missed_calls import Examination
from stasis_callback.engine.ending import hang_up_legs
from stasis_callback.engine.first_leg import FirstLeg
from stasis_callback.engine.recovery import recover
from stasis_callback.engine.session import Session
from stasis_callback.engine.tools import CallTools
from stasis_callback.ivr.call import Abandoned
from stasis_callback.store.calls.legs import Fare
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.rates.trunks import TrunkView
from stasis_callback.workers import Worker

log = structlog.get_logger()

IDLE_S = 5.0
"""The queue is looked at this often even when nothing says it changed: another process may have added to it."""
PUT_BACK_S = 2.0
"""A wall clock that falls behind the steady one by more than this was put back."""
LOOK_THROUGH_S = 60.0
"""The whole queue is looked through this often for what is due by a clock that was wrong."""


class Dialer:
    """The worker that starts calls, and the register of those under way."""

    def __init__(self, tools: CallTools, live_calls_limit: int, may_dial: Callable[[], bool]) -> None:
        self._tools = tools
        self._limit = live_calls_limit
        self._may_dial = may_dial
        self._sessions: dict[str, Session] = {}
        self._reserved: set[str] = set()
        """Ids of calls that have a place already, and begin as soon as they are accepted."""
        # Held for an instant only: the reader of Asterisk's events looks here.
        self._register = tools.clock.lock()
        # Held over claiming and registering, and over the search for orphans: between the two steps a request would
        # look like one that nobody works on.
        self._claiming = tools.clock.lock()
        self.worker = Worker("dialer", self._work, tools.clock)
        self._waiting = True
        """Something is due that could not be begun at the last look."""
        self._wall_ahead_s = self._look_through_s = -math.inf
        """How far the wall clock was before the steady one at the last look; when the queue is looked through."""

    def start(self) -> None:
        """Start dialling due callbacks."""
        self.worker.start()

    def stop(self) -> None:
        """Start no more calls. Those under way go on in Asterisk and are adopted by the next start."""
        self.worker.stop(IDLE_S)
        for session in self.sessions:
            session.abandon()

    def wake(self) -> None:
        """Check the queue now."""
        self.worker.wake()

    @property
    def sessions(self) -> list[Session]:
        """The sessions of live calls."""
        with self._register:
            return list(self._sessions.values())

    def works_on(self, request_id: str) -> bool:
        """Whether a thread works on this request."""
        with self._register:
            return request_id in self._sessions or request_id in self._reserved

    # --- a call that begins at once ------------------------------------------------------------------------------

    def reserve(self, request_id: str) -> bool:
        """Keep a place for a call that is about to be accepted; False when it has to wait for its turn in the queue.

        A caller that got True must call `begin` or `release`.
        """
        if self._waiting or not self.worker.goes_on or not self._may_dial():
            return False
        with self._register:
            if self._places_taken >= self._limit:
                return False
            self._reserved.add(request_id)
        return True

    def first_leg(self, found: Examination, trunks: list[TrunkView]) -> FirstLeg | None:
        """Leg A of what was examined, to be noted as it is accepted; None where that is not to be."""
        if found.reason or found.payer is None or found.access is None or found.rate is None:
            return None
        tools, payer = self._tools, found.payer
        ways = tools.router.ways(found.number, found.rate, payer.currency, found.access.options, trunks)
        fare = Fare(payer, found.number, found.rate)
        return FirstLeg(tools, fare, ways, tools.client.time.now_us()) if ways else None

    def begin(self, request: RequestView, first: FirstLeg | None) -> None:
        """Begin a call that has a place, and was claimed as it was accepted; `first` is its leg A, if that is noted.

        Not while the service stops: then the next start finds it, as one of which Asterisk was asked nothing.
        """
        crashpoint("claimed")
        if self.worker.goes_on:
            session = Session(self._tools, request, first=first)
            self._start(session, session.run)
        self.release(request.id)

    def release(self, request_id: str) -> None:
        """Give a place back; nothing happens when there is none."""
        with self._register:
            self._reserved.discard(request_id)

    @property
    def _places_taken(self) -> int:
        return len(self._sessions.keys() | self._reserved)

    def renew_leases(self, heard_ago_s: float) -> None:
        """Tell the database that the calls of this node live, those that it sees: when Asterisk was last heard of.

        Where this node dies too, what it did not see is not charged: an Asterisk that is away may be dead.
        """
        ids = [session.request.id for session in self.sessions if session.sees_its_legs]
        if ids:
            self._tools.stores.requests.renew_leases(ids, heard_ago_s)

    def end_taken_back(self) -> None:
        """Hang up the calls that somebody has taken back, at whichever node or in a shell that sees no channel."""
        ids = [session.request.id for session in self.sessions]
        for request_id in self._tools.stores.requests.taken_back(ids) if ids else []:
            hang_up_legs(self._tools.stores, self._tools.client, request_id)

    def has_orphans(self) -> bool:
        """Whether there are calls for `recover_orphans` to take care of."""
        with self._claiming:
            return bool(self._tools.stores.requests.left_open(self.works_on))

    def recover_orphans(self, live: dict[str, ChannelSnapshot]) -> list[Session]:
        """Take care of every call that was begun and that no thread works on, and return these. `live`: Asterisk's
        channels by id.
        """
        found = []
        with self._claiming:
            for request in self._tools.stores.requests.left_open(self.works_on):
                session = Session(self._tools, request, found_open=True)
                self._start(session, partial(recover, self._tools, session, live))
                found.append(session)
        return found

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            self._waiting = True  # until we know: a call that ends meanwhile wakes us
            self._mind_the_clock()
            due_in_s = self._due_in_s()
            if due_in_s <= 0 and self._may_dial() and self._start_due():
                due_in_s = self._due_in_s()
            # What is due but could not be started waits for a call to end or for the link, both of which wake us.
            self._waiting = due_in_s <= 0
            worker.pause(min(due_in_s, IDLE_S) if due_in_s > 0 else IDLE_S)

    def _mind_the_clock(self) -> None:
        """When a callback is due is a time of the wall clock: put back by an hour, the queue would stand for an hour.

        So the queue is looked through after such a step, and at the start: it may have been put back before. And now
        and then: one that was put forward for a moment may have been read in between, by whoever writes to the queue.
        """
        clock = self._tools.clock
        now_s = clock.monotonic_s()
        ahead_s = clock.wall_ahead_s()
        if ahead_s < self._wall_ahead_s - PUT_BACK_S or now_s >= self._look_through_s:
            brought = self._tools.stores.requests.bring_nearer()
            if brought:
                log.warning("queue.clock_put_back", callbacks=brought)
            self._look_through_s = now_s + LOOK_THROUGH_S
        self._wall_ahead_s = ahead_s

    def _start_due(self) -> bool:
        """Begin what is due, as far as there is room; whether that was anything."""
        with self._claiming:
            with self._register:
                room = self._limit - self._places_taken
            claimed = self._tools.stores.requests.claim(room) if room > 0 else []
            for request in claimed:
                crashpoint("claimed")
                session = Session(self._tools, request)
                self._start(session, partial(_end_unreadable, session) if request.unreadable else session.run)
        return bool(claimed)

    def _due_in_s(self) -> float:
        """Seconds until the next queued request is due: 0 or less when one is."""
        due_us = self._tools.stores.requests.next_due_us()
        return IDLE_S if due_us is None else (due_us - self._tools.clock.now_us()) / US_PER_S

    def _start(self, session: Session, entry: Callable[[], None]) -> None:
        request_id = session.request.id

        def work() -> None:
            try:
                entry()
            except Abandoned:
                log.info("call.left", call=request_id)
            except Exception:
                log.exception("call.failed", call=request_id)
            finally:
                self._forget(session)
                if self._waiting or session.begins_again:
                    self.wake()

        with self._register:
            self._sessions[request_id] = session
        try:
            self._tools.clock.start_thread(work, f"call-{request_id}")
        except RuntimeError as error:
            # No thread is left. Nobody works on it then: the next look for orphans finds it.
            log.error("call.no_thread", call=request_id, error=str(error))
            self._forget(session)

    def _forget(self, session: Session) -> None:
        with self._register:
            # Its request may have been claimed again already, for the next attempt.
            if self._sessions.get(session.request.id) is session:
                del self._sessions[session.request.id]


def _end_unreadable(session: Session) -> None:
    """Another version has accepted it with options by which nobody can be called here."""
    log.error("call.unreadable", call=session.request.id, error=session.request.unreadable)
    session.close(Ending.FAILED)
