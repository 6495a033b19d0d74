"""The fake Asterisk in virtual time: its switch and ARI called directly, its websocket a list, its death a fault.

It notes the truth about every channel (`lives`), which the auditor compares with what was charged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stasis_callback.clock import Clock
from stasis_callback.testing.fake.cel import Cel
from stasis_callback.testing.fake.core import Core
from stasis_callback.testing.fake.model import AriError, Channel, Json, Kind, Playback
from stasis_callback.testing.fake.network import PhoneNetwork
from stasis_callback.testing.fake.playback import Sounds
from stasis_callback.testing.fake.switch import FUSE, Switch
from stasis_callback.testing.phones import Phone
from stasis_callback.testing.phones import State as PhoneState

from .loop import SimLoop
from .scheduler import START_US, US_PER_S, Scheduler

if TYPE_CHECKING:
    from .wire import SimSocket

APP, TRUNK = "stasis-callback", "trunk"
SOUND_S = 0.3


@dataclass
class Life:
    """The true history of a channel. `_us` by Asterisk's clock, `_true_us` by virtual time."""

    id: str
    kind: str
    dialled: str
    """The number it called; for an incoming call the access number."""
    began_true_us: int
    offered: bool = False
    """A phone was reached."""
    answered_us: int | None = None
    answered_true_us: int | None = None
    ended_us: int | None = None
    ended_true_us: int | None = None
    rang_before: bool = False
    """An earlier channel of this id had reached a phone."""
    how: str = ""
    """`Channel.ended_by`, or `crash`."""
    stepped: bool = False
    """Asterisk's clock was moved while it was up."""
    journal_lost: bool = False
    """Its end is not in the journal: Asterisk died."""
    before: Life | None = None
    """The earlier life under the same id."""
    stray: bool = False
    """It began when its call was over: what is charged is not for this one."""


class WallClock(Clock):
    """Asterisk's own clock: virtual time plus an offset."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.offset_us = 0

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return self._scheduler.now_us + self.offset_us

    def monotonic_s(self) -> float:
        """Virtual seconds."""
        return (self._scheduler.now_us - START_US) / US_PER_S


class SimCel(Cel):
    """The CEL journal; it also notes the true times."""

    def __init__(self, path: Path, note: Callable[[str, Channel, int], None]) -> None:
        super().__init__(path)
        self._note = note

    def write(self, event: str, channel: Channel, at_us: int, extra: dict[str, object] | None = None) -> None:
        self._note(event, channel, at_us)
        super().write(event, channel, at_us, extra)


class Observer(Protocol):
    """Is called at the moment something takes effect."""

    def leg_made(self, channel: Channel, params: Json) -> None:
        """An outgoing channel was created by a request with these `params`; its timer is set."""

    def timer_set(self, channel: Channel, after_s: float) -> None:
        """The timer of a channel counts from now."""

    def hang_up_asked(self, channel: Channel) -> None:
        """The service ends a channel."""

    def sent(self, method: str, path: str, params: Json, *, within: bool) -> None:
        """The service sends a request to Asterisk; `within` a transaction of the database."""

    def moment(self, channel: Channel, what: str) -> None:
        """A channel is `called`, `answered` or has `ended`."""

    def active(self, channel: Channel, digit: str) -> None:
        """Something is heard, or a digit keyed, on a channel."""

    def gone(self, channel: Channel) -> None:
        """A channel has ended."""

    def link(self, up: bool, *, noticed: bool) -> None:
        """The application's websocket is connected or disconnected; whether the service notices at once."""


class SimSwitch(Switch):
    """A switch that reports to an observer."""

    observer: Observer | None = None

    def new_outgoing(self, channel_id: str, kind: Kind, params: Json) -> Channel:
        channel = super().new_outgoing(channel_id, kind, params)
        if self.observer is not None:
            self.observer.leg_made(channel, params)
        return channel

    def set_variable(self, channel: Channel, name: str, value: str) -> None:
        super().set_variable(channel, name, value)
        if name == FUSE and self.observer is not None and channel.kind != "incoming":
            self.observer.timer_set(channel, float(value))

    def report(self, playback: Playback, event_type: str) -> None:
        channel = self.channels.get(playback.target_uri.partition(":")[2])
        if channel is not None and self.observer is not None:
            self.observer.active(channel, "")
        super().report(playback, event_type)

    def far_keys(self, channel: Channel, digit: str) -> None:
        if self.observer is not None:
            self.observer.active(channel, digit)
        super().far_keys(channel, digit)

    def hang_up(self, channel: Channel, cause: int) -> None:
        """The service ends a channel."""
        if self.observer is not None:
            self.observer.hang_up_asked(channel)
        super().hang_up(channel, cause)


class SimNetwork(PhoneNetwork):
    """The phones, and which of them were reached."""

    def __init__(self, core: SimAsterisk, phones: dict[str, Phone]) -> None:
        super().__init__(core, phones)
        self._asterisk = core

    def offer(self, channel: Channel, caller_id: str) -> bool:
        reached = super().offer(channel, caller_id)
        self._asterisk.lives[channel.id].offered = reached
        return reached

    def heard(self, channel: Channel, state: PhoneState) -> None:
        super().heard(channel, state)
        if state == "ended":
            self._asterisk.note_gone(channel)


class SimAsterisk(Core):
    """One Asterisk. `up` is False while it is being restarted."""

    switch_kind = SimSwitch
    switch: SimSwitch

    def __init__(self, scheduler: Scheduler, folder: Path, phones: dict[str, Phone]) -> None:
        self.scheduler = scheduler
        self.loop = SimLoop(scheduler)
        self.wall = WallClock(scheduler)
        super().__init__(
            app=APP, trunk=TRUNK, speed=1.0, sounds=Sounds(default_s=SOUND_S), cel_dir=folder, clock=self.wall
        )
        self.up = True
        self.lives: dict[str, Life] = {}
        self.sockets: list[SimSocket] = []
        self.refuses_until_us = 0
        """Until then no websocket is accepted, as above `sessionlimit`; requests are."""
        self.told_up_us: dict[str, int] = {}
        """By channel: when the service first received an event that says that it was answered."""
        self.unanswered: dict[int, tuple[str, int]] = {}
        """Requests whose answers are waited for, by their identity: the path, and when each was sent."""
        self.switch.cel = SimCel(folder / "cel.csv", self._note_life)
        self.network = SimNetwork(self, phones)
        self._crashing = False
        self._freezes = 0

    # --- what the core asks of a wire --------------------------------------------------------------------------

    def soon(self, act: Callable[[], None]) -> None:
        self.loop.call_soon(act)

    def drop_websockets(self) -> None:
        for socket in list(self.sockets):
            socket.cut()

    def refuse_websockets(self, seconds: float) -> None:
        """Cut them, and accept none for `seconds`."""
        self.refuses_until_us = self.scheduler.now_us + round(seconds * US_PER_S)
        self.drop_websockets()

    async def admit(self, method: str, path: str, params: Json | AriError, *, allowed: bool) -> bool:
        """The same; a request that waits when Asterisk dies is never carried out."""
        born = self.switch.started_us
        lost = await super().admit(method, path, params, allowed=allowed)
        if self.switch.started_us != born:
            raise AriError(503, "Asterisk has died meanwhile")
        return lost

    def freeze(self, seconds: float) -> None:
        """Stop it (SIGSTOP), and resume it after `seconds`."""
        self._freezes += 1
        self.loop.frozen = True
        self.scheduler.call_in(seconds, self._thaw)

    def _thaw(self) -> None:
        self._freezes -= 1
        self.loop.frozen = self._freezes > 0

    # --- faults beyond those of the core -----------------------------------------------------------------------

    def crash(self, down_s: float, *, with_hangups: bool) -> None:
        """Restart it as after `kill -9`: all calls are lost. With hang-ups, the journal has their ends."""
        self._crashing = True
        self.up = False
        self.loop.frozen = False
        if with_hangups:
            for channel in list(self.switch.channels.values()):
                self.switch.cel.write("HANGUP", channel, self.wall.now_us(), {"hangupcause": 0})
        self.restart()
        self._crashing = False
        self.scheduler.call_in(down_s, self._start)

    def _start(self) -> None:
        self.up = True
        self.switch.started_us = self.wall.now_us()

    def step_clock(self, seconds: float) -> None:
        """Move Asterisk's wall clock. Its timers go by it ([src] `ast_tvnow`), so they move too."""
        self.wall.offset_us += round(seconds * US_PER_S)
        for channel in list(self.switch.channels.values()):
            self.lives[channel.id].stepped = True
            if channel.fuse is not None:
                left_s = channel.fuse.when() - self.loop.time() - seconds
                channel.fuse.cancel()
                channel.fuse = self.loop.call_later(max(left_s, 0.0), self.switch.fuse_fires, channel)

    def requested(self, method: str, path: str, params: Json, *, within: bool) -> None:
        """A request is about to be sent; `within` a transaction of the database, where none may be."""
        if self.switch.observer is not None:
            self.switch.observer.sent(method, path, params, within=within)

    def link(self, *, up: bool, noticed: bool) -> None:
        if self.switch.observer is not None:
            self.switch.observer.link(up, noticed=noticed)

    # --- the truth ---------------------------------------------------------------------------------------------

    def _note_life(self, event: str, channel: Channel, at_us: int) -> None:
        now_us = self.scheduler.now_us
        if self.switch.observer is not None:
            names = {"CHAN_START": "called", "ANSWER": "answered", "HANGUP": "ended"}
            self.switch.observer.moment(channel, names[event])
        if event == "CHAN_START":
            before = self.lives.get(channel.id)
            life = self.lives[channel.id] = Life(channel.id, channel.kind, channel.exten, now_us)
            life.before = before
            life.rang_before = before is not None and (before.offered or before.rang_before)
            return
        life = self.lives[channel.id]
        life.dialled = channel.dial_string.partition("@")[0] or channel.exten
        if event == "ANSWER":
            life.answered_us, life.answered_true_us = at_us, now_us
        elif event == "HANGUP":
            life.ended_us, life.ended_true_us = at_us, now_us

    def note_gone(self, channel: Channel) -> None:
        life = self.lives[channel.id]
        if life.ended_us is None:
            life.ended_us, life.ended_true_us = self.wall.now_us(), self.scheduler.now_us
            life.journal_lost = True
        if self.switch.observer is not None:
            self.switch.observer.gone(channel)
        life.how = "crash" if self._crashing else channel.ended_by
        if life.stray and life.before is not None:
            self.lives[channel.id] = life.before
        elif life.stray:
            del self.lives[channel.id]

    def snapshot(self) -> list[Json]:
        """The channels that have not ended."""
        return [channel.json() for channel in self.switch.channels.values()]

    def cancel_tasks(self) -> None:
        """Cancel all coroutines at the end of a simulation."""
        for task in list(self.switch.tasks):
            task.cancel()
