"""The legs of one call and the one place where its thread waits.

Every event of a call's channels lands in one inbox; `Call.wait` takes them out, brings the legs up to date and
returns when what is waited for has come true. A hang-up of leg A surfaces as `HungUp` at the next wait, so the
conversation above is plain code that never asks whether anybody is still there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog

from stasis_callback.ari.channels import Channel
from stasis_callback.ari.events import (
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelStateChange,
    Dial,
    Event,
    PlaybackFinished,
    StasisStart,
)
from stasis_callback.clock import Clock

log = structlog.get_logger()


class HungUp(Exception):
    """Leg A is gone: the conversation is over."""


@dataclass(frozen=True, slots=True)
class LinkLost:
    """Put into a call's inbox when the link to Asterisk breaks: until then everything was seen."""

    at_us: int


class LinkRestored:
    """Put into a call's inbox when the link to Asterisk is back: events may have been missed."""


class Watcher(Protocol):
    """Routes the events of a channel (`AriLink`)."""

    def watch(self, channel_id: str, put: Callable[[Event], None]) -> None:
        """Send every event of this channel to `put` from now on."""

    def unwatch(self, channel_id: str) -> None:
        """Stop doing so."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a channel as Asterisk reported it."""

    at_us: int
    cause: int
    sip_status: int | None
    source: Literal["events", "cel", "estimated"] = "events"


@dataclass
class Leg:
    """A channel of this call and what is known about it. Times in microseconds by Asterisk's clock."""

    channel: Channel
    clock: Clock
    requested: bool = False
    """Asterisk was asked to make the channel; before that its absence means nothing."""
    entered: bool = False
    """It is under our control: only now can it be bridged."""
    ringing: bool = False
    answered_at_us: int | None = None
    ended: End | None = None
    hung_up_by_us: bool = False
    settled: bool = False
    """Its charge is written: nothing is left to do."""
    digits: deque[str] = field(default_factory=deque)
    finished_playbacks: set[str] = field(default_factory=set)
    _answered_monotonic_s: float = 0.0

    @property
    def id(self) -> str:
        """The channel id, which is the leg's id."""
        return self.channel.id

    @property
    def up(self) -> bool:
        """Answered and not ended."""
        return self.answered_at_us is not None and self.ended is None

    def answer_seen(self, at_us: int, *, ago_s: float = 0.0) -> None:
        """It was answered at `at_us`; `ago_s` when that is only learnt later. The first report counts."""
        if self.answered_at_us is None:
            self.answered_at_us = at_us
            self._answered_monotonic_s = self.clock.monotonic_s() - ago_s

    def elapsed_s(self) -> float:
        """Seconds since the answer, by a clock that never jumps; 0 before."""
        return 0.0 if self.answered_at_us is None else self.clock.monotonic_s() - self._answered_monotonic_s

    def hang_up(self) -> None:
        """End it, if it is not over. Its end is seen by `Call.wait` as usual."""
        if self.ended is None:
            self.hung_up_by_us = True
            self.channel.hang_up()

    def take(self, event: Event) -> None:
        """Bring the leg up to date. Repeated, late and unknown events change nothing."""
        match event:
            case StasisStart():
                # An originated leg enters the application when it is answered; a created one enters at once, in
                # state Down, and reports its answer as a change of state.
                self.entered = True
                if event.channel.state == "Up":
                    self.answer_seen(event.at_us)
            case ChannelStateChange(state="Up"):
                self.answer_seen(event.at_us)
            case ChannelStateChange(state="Ringing") | Dial(dialstatus="RINGING" | "PROGRESS"):
                if not self.ringing:
                    self.ringing = True
                    log.info("leg.ringing", leg=self.id)
            case ChannelDtmfReceived():
                self.digits.append(event.digit)
            case PlaybackFinished():
                self.finished_playbacks.add(event.playback_id)
            case ChannelDestroyed() if self.ended is None:
                self.ended = End(event.at_us, event.cause, event.tech_cause)
            case _:
                pass


class Call:
    """Up to two legs at a time, and their inbox."""

    def __init__(self, clock: Clock, watcher: Watcher, recheck: Callable[[Leg], None]) -> None:
        """`recheck` finds out what became of a leg while events were lost."""
        self.clock = clock
        self.link_restored = False
        self.link_lost_at_us: int | None = None
        self._recheck = recheck
        self._watcher = watcher
        self._inbox = clock.inbox()
        self._legs: dict[str, Leg] = {}
        self._a: Leg | None = None

    @property
    def talked(self) -> bool:
        """Whether a leg beside leg A was ever answered."""
        return any(leg.answered_at_us is not None for leg in self.legs if leg is not self._a)

    @property
    def legs(self) -> list[Leg]:
        """All legs so far, the oldest first."""
        return list(self._legs.values())

    def add(self, channel: Channel, *, is_a: bool) -> Leg:
        """Take a channel into the call. Do so before the request that makes it, so that no event is missed."""
        leg = self._legs[channel.id] = Leg(channel, self.clock)
        self._a = leg if is_a else self._a
        self._watcher.watch(channel.id, self._inbox.put)
        return leg

    def link_is_lost(self, at_us: int) -> None:
        """Called by another thread: nothing after this moment was seen."""
        self._inbox.put(LinkLost(at_us))

    def link_is_back(self) -> None:
        """Called by another thread: events may have been missed."""
        self._inbox.put(LinkRestored())

    def close(self) -> None:
        """Stop watching all channels."""
        for leg_id in self._legs:
            self._watcher.unwatch(leg_id)

    def wait(
        self, done: Callable[[], bool], timeout_s: float | None, *, despite_hangup: bool = False
    ) -> bool:
        """Wait until `done`; False when `timeout_s` seconds passed first.

        Raises HungUp when leg A ends before, unless `despite_hangup`. `done` is asked after every event, so it may
        look at the legs and nothing else.
        """
        deadline_s = None if timeout_s is None else self.clock.monotonic_s() + timeout_s
        while True:
            if done():
                return True
            if self._a and self._a.ended and not despite_hangup:
                raise HungUp
            left_s = None if deadline_s is None else deadline_s - self.clock.monotonic_s()
            if left_s is not None and left_s <= 0:
                return False
            event = self._inbox.get(left_s)
            self._take(event)

    def _take(self, event: object) -> None:
        if isinstance(event, LinkLost):
            self.link_lost_at_us = event.at_us
        elif isinstance(event, LinkRestored):
            self.link_restored = True
            for leg in self.legs:
                if leg.requested and leg.ended is None:
                    self._recheck(leg)
        elif isinstance(event, Event) and event.channel_id in self._legs:
            self._legs[event.channel_id].take(event)
