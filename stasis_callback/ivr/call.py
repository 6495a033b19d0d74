"""The legs of one call and the one place where its thread waits.

Every event of a call's channels lands in one inbox; `Call.wait` takes them out, brings the legs up to date and
returns when what is waited for has come true. A hang-up of leg A surfaces as `HungUp` at the next wait, so the
conversation above is plain code that never asks whether anybody is still there.

Two clocks measure a leg: Asterisk's wall clock, whose times are charged, and our own steady one. Asterisk's timers
follow its wall clock; where that is put back they come too late, so each wait also watches over the legs' paid time
by the steady clock, and ends a leg that has outlived it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog

from stasis_callback.ari.channels import ANSWER_CHECK, Channel
from stasis_callback.ari.client import AriClient
from stasis_callback.ari.errors import AriError
from stasis_callback.ari.events import (
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelStateChange,
    Dial,
    Event,
    PlaybackFinished,
    StasisEnd,
    StasisStart,
)
from stasis_callback.ari.time import AsteriskTime
from stasis_callback.clock import Clock
from stasis_callback.core.answers import USUAL, Answers
from stasis_callback.core.transcript import Transcript

log = structlog.get_logger()

OVERTIME_S = 1.0
"""Asterisk's own timer ends a leg first, unless its clock was put back or it does not get round to it."""
AWAY_AGAIN_S = 30.0
"""Asterisk that is away is told so seldom to end a leg: all calls of a node tell it, and nearly always in vain."""
LOOK_AGAIN_S = 2.0
END_FOLLOWS_S = 1.0
"""The end of a leg is reported within so long after it has left our application; else it is asked about."""
THAW_US = 2_000_000
"""Asterisk works off what came while it was frozen within so long after it is heard of again."""
OUTLIVED_US = 250_000
"""A leg that we hang up sooner after that may have been left by its party long before: we end one for the other."""
KEYS_REMEMBERED = 64
"""An event that is reported once more may come after others: more keys than these are not pressed meanwhile."""
_NOT_OVER_US = 1 << 62


class HungUp(Exception):
    """Leg A has ended, and with it the conversation."""


class Abandoned(BaseException):
    """The service is stopping: the call continues in Asterisk, and this thread does nothing more.

    No `Exception`: nobody may take it for a failure of the call, and end that.
    """


@dataclass(frozen=True, slots=True)
class LinkLost:
    """Put into a call's inbox when the link to Asterisk breaks: until `at_us` (Asterisk's clock), which was `at_s` by
    our steady one, all was seen.

    `silent`: Asterisk did not go away, it said nothing any more (it was frozen, or what lies between).
    """

    at_us: int
    at_s: float
    silent: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """Put into a call's inbox: an event, and when it came, by our steady clock. What it reports was before that, also
    where it is read seconds later, and whatever Asterisk's clock says.
    """

    event: Event
    at_s: float


@dataclass(frozen=True, slots=True)
class LinkRestored:
    """Put into a call's inbox when the link to Asterisk is back: events may have been missed.

    Asterisk answered something at `answered_at_us` (its clock) for the first time since.
    """

    answered_at_us: int


class Watcher(Protocol):
    """Routes the events of a channel (`AriLink`)."""

    @property
    def connected(self) -> bool:
        """Whether events are coming in now."""

    @property
    def answered_s(self) -> float | None:
        """When Asterisk first answered anything since the link was lost (steady clock); None before."""

    def watch(self, channel_id: str, put: Callable[[Event], None]) -> None:
        """Send every event of this channel to `put` from now on."""

    def unwatch(self, channel_id: str) -> None:
        """Stop watching its events."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a channel as Asterisk reported it."""

    at_us: int
    cause: int
    sip_status: int | None
    source: Literal["events", "cel", "estimated"] = "events"
    at_s: float | None = None
    """By our steady clock, where it was measured by that: Asterisk's may have been set since."""


@dataclass
class Leg:
    """A channel of this call and what is known about it. Times in microseconds by Asterisk's clock."""

    channel: Channel
    time: AsteriskTime
    dialed_at_us: int = 0
    """When it was noted; 0 before."""
    requested: bool = False
    """Asterisk was asked to make the channel; before that its absence means nothing."""
    seen: bool = False
    """Asterisk has said something about it."""
    entered: bool = False
    """It is under our control: only now can it be bridged."""
    ringing: bool = False
    """Its carrier has shown that the call goes on: it rings (180), or announces something (183).

    Forwarded (181) and queued (182) calls too, once they have been asked about.
    """
    silent: bool = False
    """Its carrier has said nothing at all for too long; it is given up."""
    no_media: bool = False
    """Nothing was heard of this party when the talk was last looked at."""
    answers: Answers = field(default_factory=lambda: USUAL)
    """What answers mean on its trunk, where that differs from the usual."""
    answered_at_us: int | None = None
    answer_guessed: bool = False
    """It was found answered, and nobody could say since when: the journal is asked again at its end."""
    answer_noted: bool = False
    """The database knows of its answer."""
    answer_check: str | None = None
    """What Asterisk's AMD says of who has answered: `HUMAN`, `MACHINE`, `NOTSURE`; None before."""
    not_looked_at: bool = False
    """It was called before this thread knew of it, and was not asked about yet: its answer may have been missed."""
    gone: bool = False
    """Asterisk has reported its end, and not its answer, after events may have been missed: the journal knows."""
    ended: End | None = None
    hung_up_at_us: int | None = None
    """When we asked for its end."""
    hung_up_s: float = math.inf
    """The same by the steady clock; never before."""
    end_is_due: bool = False
    """Asterisk has taken our wish that it ends: its end is to be seen soon, and need not be asked for again."""
    paid_until_s: float | None = None
    """By the steady clock: the leg may not live much longer than this. None: nothing is said about it."""
    digits: deque[str] = field(default_factory=deque)
    """Keys that nobody has taken yet."""
    keyed_since_s: float = 0.0
    """By the steady clock: when the oldest of them came, or one before it."""
    finished_playbacks: set[str] = field(default_factory=set)
    _answered_s: float | None = None
    _funds_since_s: float | None = None
    _ended_s: float | None = None
    unanswered_s: float = -math.inf
    """By the steady clock: it was not answered until then, as far as is known."""
    _noted_s: float = -math.inf
    """When it was noted, by the steady clock; unknown for a leg from before a restart."""
    _keyed: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=KEYS_REMEMBERED))

    @property
    def id(self) -> str:
        """The channel id, which is the leg's id."""
        return self.channel.id

    @property
    def up(self) -> bool:
        """Whether it is answered and has not ended."""
        return self.answered_at_us is not None and self.ended is None

    @property
    def hung_up_by_us(self) -> bool:
        """Whether the service requested the hang-up."""
        return self.hung_up_at_us is not None

    @property
    def is_to_end(self) -> bool:
        """Whether it has ended, or will as soon as Asterisk comes round to it: nothing more is paid for it."""
        return self.ended is not None or self.hung_up_by_us

    def note(self, at_us: int) -> None:
        """It is about to be dialled, at `at_us`."""
        self.dialed_at_us = at_us
        self._noted_s = self.unanswered_s = self._clock.monotonic_s()

    def answer_seen(self, at_us: int, *, guessed: bool = False, by_s: float = math.inf) -> None:
        """It was answered at `at_us`, and not after `by_s` (steady clock), also when that is only learnt later, or
        `guessed`: nobody says since when. The first report counts.

        Never before it was noted: where Asterisk's clock was stepped in between, the time of an answer that is learnt
        from the journal may be off by the step.
        """
        if self.answered_at_us is None:
            self.answered_at_us = at_us
            # Charged is from the latest it may have been, the funds last from the earliest: the doubt goes to the
            # subscriber, and nobody talks past the funds.
            self._funds_since_s, self._answered_s = self.time.between_s(at_us, self._noted_s, by_s)
            if guessed and math.isfinite(self.unanswered_s):
                self._funds_since_s = self.unanswered_s
            self.answer_guessed = guessed

    def answer_known(self, at_us: int, by_s: float = math.inf) -> None:
        """Its answer was guessed, and is known now."""
        self.answered_at_us = None
        self.answer_seen(at_us, by_s=by_s)

    def adopt(self, answered_at_us: int, since_s: float = math.inf, exactly: bool = False) -> None:
        """It was answered before this service started: at `since_s` by the steady clock, `exactly`, or at the latest
        where only the wall clock knows.
        """
        self.answer_seen(answered_at_us)
        self._answered_s = since_s if exactly else min(self._answered_s or 0.0, since_s)
        self._funds_since_s = self._answered_s

    def end_seen(self, end: End, *, by_s: float = math.inf) -> None:
        """Note that it has ended, not after `by_s` (steady clock). Only the first report counts."""
        if self.ended is None:
            self.ended = end
            self._ended_s = min(self.time.steady_s(end.at_us), by_s) if end.at_s is None else end.at_s

    def elapsed_s(self) -> float:
        """Seconds since the answer, by a clock that never jumps; 0 before. The most that they may be."""
        return 0.0 if self._funds_since_s is None else self._clock.monotonic_s() - self._funds_since_s

    @property
    def doubt_s(self) -> float:
        """So much shorter `elapsed_s` may be: nobody could say exactly when it was answered."""
        if self._answered_s is None or self._funds_since_s is None:
            return 0.0
        return max(self._answered_s - self._funds_since_s, 0.0)

    @property
    def steady_s(self) -> float | None:
        """Answer to end by the steady clock; None before both. Of an adopted leg, what was before its adoption is a
        time of the wall clock, as that was then.

        Too short, down to nothing, when Asterisk's clock was stepped after the end and before we heard of it: the age
        of the end, which places it on the steady clock, is wrong by the step. The doubt goes to the subscriber.
        """
        if self._answered_s is None or self._ended_s is None:
            return None
        return max(self._ended_s - self._answered_s, 0.0)

    def pay_until(self, left_s: float) -> None:
        """Its hold covers this many more seconds."""
        self.paid_until_s = self._clock.monotonic_s() + left_s

    def hang_up(self) -> None:
        """End it, if it is not over. Its end is seen by `Call.wait` as usual. Raises AriError."""
        if self.ended is None:
            if self.hung_up_at_us is None:
                self.hung_up_at_us, self.hung_up_s = self.time.now_us(), self._clock.monotonic_s()
            self.channel.hang_up()
            self.end_is_due = True

    @property
    def _clock(self) -> Clock:
        return self.channel.clock

    def observe(self, event: Event, at_s: float) -> None:
        """Bring the leg up to date by an event that came `at_s` (steady clock). Repeated, late and unknown events
        change nothing.
        """
        self.seen = True
        match event:
            case StasisStart():
                self._enters(event, at_s)
            case ChannelStateChange(state="Up") if self.answer_guessed:
                self.answer_known(event.at_us, at_s)
            case ChannelStateChange(state="Up"):
                self.answer_seen(event.at_us, by_s=at_s)
            case ChannelStateChange(state="Ringing") | Dial(dialstatus="RINGING" | "PROGRESS"):
                if not self.ringing:
                    self.ringing = True
                    log.info("leg.ringing", leg=self.id)
                    # Where Asterisk's clock was set before this, it is found now. At the answer it may be set back,
                    # and nothing would show by which of the two the answer's time is.
                    self.time.ago_s(event.at_us)
            case ChannelDtmfReceived():
                # Asterisk's times have milliseconds: the same key at the same one is the same event once more.
                key = event.at_us, event.digit
                if key not in self._keyed or not event.at_us:
                    self.keyed_since_s = self.keyed_since_s if self.digits else self._clock.monotonic_s()
                    self.digits.append(event.digit)
                self._keyed.append(key)
            case PlaybackFinished():
                self.finished_playbacks.add(event.playback_id)
            case ChannelDestroyed():
                self.end_seen(End(event.at_us, event.cause, event.tech_cause), by_s=at_s)
            case _:
                pass

    def _enters(self, event: StasisStart, at_s: float) -> None:
        # An originated leg enters the application when it is answered; a created one enters at once, in state Down,
        # and reports its answer as a change of state.
        self.entered = True
        if event.args[:1] == (ANSWER_CHECK,):
            self.answer_check = verdict(event.args[1:])
        if event.channel.state == "Up":
            # Where the answer itself was reported, that was known before. Else nobody says how long ago it was.
            self.answer_seen(event.at_us, guessed=True, by_s=at_s)


def verdict(heard: tuple[str, ...]) -> str:
    """What AMD found: status and cause, and the same again where it has looked twice at somebody who spoke for long.

    To it somebody who says nothing is a machine; that is not known. Nor is it of somebody who stops after a sentence.
    """
    looks = list(zip(heard[::2], heard[1::2], strict=False))
    if [status for status, _ in looks] == ["HUMAN"]:
        return "HUMAN"
    spoke_on = all(status == "MACHINE" and not cause.startswith("INITIALSILENCE") for status, cause in looks)
    return "MACHINE" if looks and spoke_on else "NOTSURE"


class Call:
    """Up to two legs at a time, and their inbox."""

    def __init__(self, client: AriClient, watcher: Watcher, recheck: Callable[[Leg], None]) -> None:
        """`recheck` finds out what became of a leg while events were lost; it may raise AriError."""
        self.clock = client.clock
        self.link_restored = False
        self.deaf_until_s = -math.inf
        """By the steady clock: until then events were missed; for ever while the link is down."""
        self.lost: LinkLost | None = None
        """Since when nothing was seen; None while the link is up and every leg was looked at after it came back."""
        self._blind = False
        self.loss_unread = False
        """The link was lost, and this thread has not read so yet: what it finds out now says nothing."""
        self._client = client
        self._recheck = recheck
        self._watcher = watcher
        self._inbox = self.clock.inbox()
        self._legs: dict[str, Leg] = {}
        self._a: Leg | None = None
        self.transcript = Transcript()
        self.abandoned = False
        """The service stops: nothing may be ended any more."""
        self.may_have_bridge = False
        """Asterisk was asked to make the call's bridge, or may have been before this service started."""
        self._talked = False
        self._silence = (0, 0)
        self.silent_since_s = 0.0
        """When the last silence began, by the steady clock."""
        self._unclear: set[str] = set()
        self._look_again_s = 0.0
        self._left_look_s: dict[str, float] = {}
        """By leg that has left our application, which is its end: when to look what became of it (steady clock)."""
        self._told_again_s: dict[str, float] = {}
        """By leg that has outlived its timer and was told to end: when to tell it once more."""

    @property
    def talked(self) -> bool:
        """Whether a leg beside leg A was ever answered."""
        return self._talked or any(leg.answered_at_us is not None for leg in self.legs if leg is not self._a)

    @property
    def legs(self) -> list[Leg]:
        """All legs so far, oldest first."""
        return list(self._legs.values())

    @property
    def live_a(self) -> Leg | None:
        """Leg A, if it is up."""
        return self._a if self._a is not None and self._a.up else None

    @property
    def sees_its_legs(self) -> bool:
        """Whether what lives is known to live now: the link is up, every leg was looked at since it was down, and
        none has ended that is not settled. For other threads too.
        """
        return not self._blind and all(leg.ended is None for leg in self.legs)

    def add(self, leg_id: str, *, is_a: bool) -> Leg:
        """Take a channel into the call. Do so before the request that makes it, so that no event is missed."""
        leg = self._legs[leg_id] = Leg(self._client.channel(leg_id), self._client.time)
        self._a = leg if is_a else self._a
        self._watcher.watch(leg_id, self._hear)
        return leg

    def add_found(self, leg_id: str, *, is_a: bool, dialed_at_us: int) -> Leg:
        """Take in a channel that was called before this thread knew of it: its answer may have been missed."""
        leg = self.add(leg_id, is_a=is_a)
        leg.dialed_at_us = dialed_at_us
        leg.requested = leg.not_looked_at = True
        return leg

    def drop(self, leg: Leg) -> None:
        """Forget a leg that is over for good: settled, or never noted."""
        self._talked = self.talked
        self._watcher.unwatch(leg.id)
        self._legs.pop(leg.id, None)
        self._unclear.discard(leg.id)
        self._left_look_s.pop(leg.id, None)
        self._told_again_s.pop(leg.id, None)

    def _hear(self, event: Event) -> None:
        """Called by the reader's thread."""
        self._inbox.put(Arrival(event, self.clock.monotonic_s()))

    def link_is_lost(self, lost: LinkLost) -> None:
        """Called by another thread: nothing after this moment was seen."""
        self._blind = self.loss_unread = True
        self._inbox.put(lost)

    def link_is_back(self, answered_at_us: int) -> None:
        """Called by another thread: events may have been missed. Asterisk answers since then (its clock)."""
        self._inbox.put(LinkRestored(answered_at_us))

    def abandon(self) -> None:
        """Called by another thread: leave the call to itself, at the next wait."""
        self.abandoned = True
        self._inbox.put(None)

    def close(self) -> None:
        """Stop watching all channels."""
        for leg_id in self._legs:
            self._watcher.unwatch(leg_id)

    def wait(
        self, done: Callable[[], bool], timeout_s: float | None, *, despite_hangup: bool = False
    ) -> bool:
        """Wait until `done`; False when `timeout_s` seconds passed first.

        Raises HungUp when leg A ends before, unless `despite_hangup`, and Abandoned. `done` is asked after every
        event, so it may look at the legs and nothing else.
        """
        deadline_s = None if timeout_s is None else self.clock.monotonic_s() + timeout_s
        while True:
            while (event := self._inbox.get(0)) is not None:
                self._observe(event)
            self._watch_over()
            if self.abandoned:
                raise Abandoned
            if done():
                return True
            if self._a and self._a.ended and not despite_hangup:
                raise HungUp
            left_s = None if deadline_s is None else deadline_s - self.clock.monotonic_s()
            if left_s is not None and left_s <= 0:
                return False
            due = [s for s in (left_s, self._next_look_s()) if s is not None]
            self._observe(self._inbox.get(min(due, default=None)))

    def _observe(self, event: object) -> None:
        if isinstance(event, LinkLost):
            # What was lost before and never looked into was lost at the first moment.
            self.lost, self._blind, self.loss_unread = self.lost or event, True, False
            self.deaf_until_s = math.inf
            if self.lost.silent:
                # What was heard last may be dated a little later: how far the two clocks are apart is an estimate.
                heard = [leg.answered_at_us for leg in self.legs if leg.answered_at_us is not None]
                self._silence = max(self.lost.at_us, *heard, 0), _NOT_OVER_US
                self.silent_since_s = self.lost.at_s
        elif isinstance(event, LinkRestored):
            self.link_restored = True
            self.deaf_until_s = self.clock.monotonic_s()
            # The first events may have come before this was said: they are of the silence too.
            if self._silence[1] == _NOT_OVER_US:
                self._silence = self._silence[0], event.answered_at_us + THAW_US
            self._unclear = {leg.id for leg in self.legs if leg.requested and leg.ended is None}
            self._look_again_s = 0.0
            self._told_again_s.clear()
            self._look()
        elif isinstance(event, Arrival) and event.event.channel_id in self._legs:
            self._observe_leg(self._legs[event.event.channel_id], event.event, event.at_s)

    def _observe_leg(self, leg: Leg, event: Event, at_s: float) -> None:
        if isinstance(event, ChannelDestroyed):
            if (self.lost is not None or leg.not_looked_at) and leg.answered_at_us is None:
                # Its answer may be among what was missed, and nobody could ask about it yet.
                leg.gone = True
                self._recheck(leg)
            silent_since_us = self.ended_in_silence_at_us(leg, event.at_us)
            if silent_since_us is not None:
                cause, status = event.cause, event.tech_cause
                leg.end_seen(End(silent_since_us, cause, status, "estimated", self.silent_since_s))
        self._note_whose(leg, event)
        leg.observe(event, at_s)

    def _note_whose(self, leg: Leg, event: Event) -> None:
        """A leg leaves our application for good, or for the dialplan, which gives it back."""
        if isinstance(event, StasisEnd):
            leg.entered = False
            # One that was called in a moment without a link may not report its end: nobody subscribed to it.
            self._left_look_s[leg.id] = self.clock.monotonic_s() + END_FOLLOWS_S
        elif isinstance(event, StasisStart):
            self._left_look_s.pop(leg.id, None)

    def ended_in_silence_at_us(self, leg: Leg, ended_at_us: int) -> int | None:
        """When the silence began in which a leg ended that was up before it; None for a leg it was not the end of.

        A frozen Asterisk reports an end late, by events and in its journal alike. Nobody heard anybody meanwhile;
        that the other side had hung up long ago is the likely reason. Not of a leg that was answered since: then it
        was the network that fell silent, Asterisk went on. Nor of one that outlived the silence until we hung it up.
        """
        lost_at_us, thawed_at_us = self._silence
        answered_s = self._watcher.answered_s
        if thawed_at_us == _NOT_OVER_US and answered_s is not None:
            # It answers, and the link is not back yet for another reason: ends since then are ends of now.
            thawed_at_us = self._client.time.at_us(answered_s) + THAW_US
        outlived_at_us = thawed_at_us - THAW_US + OUTLIVED_US
        if leg.hung_up_at_us is not None and outlived_at_us < leg.hung_up_at_us <= ended_at_us:
            return None
        if leg.answered_at_us is None or leg.answered_at_us > lost_at_us:
            return None
        return lost_at_us if lost_at_us < ended_at_us <= thawed_at_us else None

    # --- what nobody reports ---------------------------------------------------------------------------------------

    def _next_look_s(self) -> float | None:
        """Seconds until something is to be looked at though nothing was reported; None for never."""
        now_s = self.clock.monotonic_s()
        times = [self._overtime_s(leg) for leg in self.legs]
        times += [due_s for leg_id, due_s in self._left_look_s.items() if self._legs[leg_id].ended is None]
        if self._unclear:
            times.append(self._look_again_s)
        due_s = min(times, default=math.inf)
        return max(due_s - now_s, 0.0) if due_s < math.inf else None

    def _overtime_s(self, leg: Leg) -> float:
        """When a leg that is still up then is to be ended, because its funds are used up."""
        if not leg.up or leg.paid_until_s is None:
            return math.inf
        return max(leg.paid_until_s + OVERTIME_S, self._told_again_s.get(leg.id, 0.0))

    def _watch_over(self) -> None:
        """End legs that outlive their paid time, and look at those whose fate is not clear."""
        now_s = self.clock.monotonic_s()
        for leg in self.legs:
            if now_s >= self._overtime_s(leg):
                log.warning("leg.outlived_its_timer", leg=leg.id)
                self._told_again_s[leg.id] = now_s + (OVERTIME_S if self._watcher.connected else AWAY_AGAIN_S)
                try:
                    leg.hang_up()
                except AriError as error:
                    log.warning("leg.end_unknown", leg=leg.id, error=str(error))
            if leg.ended is None and now_s >= self._left_look_s.get(leg.id, math.inf):
                self._left_look_s[leg.id] = now_s + LOOK_AGAIN_S
                self._asked_about(leg)
        if self._unclear and now_s >= self._look_again_s:
            self._look()

    def _asked_about(self, leg: Leg) -> bool:
        """Find out what became of a leg; False when Asterisk cannot be asked now."""
        try:
            self._recheck(leg)
        except AriError as error:
            log.warning("leg.unclear", leg=leg.id, error=str(error))
            return False
        return True

    def look_at(self, leg: Leg) -> None:
        """Find out now what became of a leg. Raises AriError."""
        self._recheck(leg)

    def _look(self) -> None:
        """Find out what became of the legs while the link was down; what cannot be found out is asked again."""
        for leg in [leg for leg in self.legs if leg.id in self._unclear]:
            if leg.ended is not None or self._asked_about(leg):
                self._unclear.discard(leg.id)
            else:
                self._look_again_s = self.clock.monotonic_s() + LOOK_AGAIN_S
        if not self._unclear:
            lost, self.lost, self._blind = self.lost, None, False
            # The link that came back may be gone again. Asked afterwards, as its loss is noted by another thread.
            if not self._watcher.connected:
                self.lost, self._blind = lost, True
