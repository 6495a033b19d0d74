"""Scripted phones: what the people at the other end do, written as a scenario.

    subscriber = network.phone("420212345678").answers(after_s=1).dials("442071234567#").hangs_up(after_s=20)
    friend = network.phone("442071234567").answers(after_s=2)
    missed = network.missed_call(ani="420212345678", dnis="420800123456")

A script runs from the top for every call that reaches the phone. A phone can also be led by hand while a call
is up (`subscriber.dial("**")`, `subscriber.hang_up()`), which is how a test acts at the moment it has awaited.
The same phones work on the fake Asterisk and on a real one: a network supplies a `Line` per call (the
primitives), everything else is here.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stasis_callback.clock import Clock

State = Literal["offered", "ringing", "answered", "ended"]

# Q.850 causes by the word a scenario uses; Asterisk turns them into the SIP answer beside them.
BUSY, NO_ANSWER, CONGESTION, REJECTED, UNALLOCATED = 17, 19, 34, 21, 1  # 486, 480, 503, 403, 404
DECLINED = 16  # 603


class Line(ABC):
    """One call at a phone: what its network can do with it. Each method is safe after the call has ended."""

    @abstractmethod
    def ring(self) -> None:
        """Send 180 Ringing."""

    @abstractmethod
    def answer(self) -> None:
        """Send 200 OK."""

    @abstractmethod
    def send_digits(self, digits: str) -> None:
        """Key digits (RFC 4733 on a real line); returns at once."""

    @abstractmethod
    def hang_up(self, cause: int = 16) -> None:
        """End the call; before the answer this refuses it with the Q.850 cause."""

    @abstractmethod
    def redirect(self, number: str) -> None:
        """Refuse with SIP 302 towards `number` (what a toll-fraud trap does)."""

    def record(self) -> Path | None:
        """Record what is heard from now on, into this file; None on a network without sound."""
        return None

    def play(self, sound: str) -> None:  # noqa: B027 - nothing to do on a network without sound
        """Speak into the phone: one of Asterisk's sounds, such as `vm-goodbye`."""


@dataclass
class PhoneCall:
    """What one call at a phone has been through so far. Times by the test's clock, in microseconds."""

    caller_id: str
    line: Line
    offered_at_us: int
    state: State = "offered"
    ringing_at_us: int | None = None
    answered_at_us: int | None = None
    ended_at_us: int | None = None
    digits_heard: str = ""
    recording: Path | None = None
    """A WAV file of what was heard (8 kHz, one channel), complete once the call has ended: `hearing.Hearing`."""


@dataclass(frozen=True)
class Rejection:
    """How an access number treated a call that was never meant to be answered."""

    cause: int
    """Q.850 cause of the end (17 = busy)."""
    sip_status: int | None
    """Final SIP status where the network shows it (486)."""
    answered: bool
    took_s: float


@dataclass(frozen=True)
class Step:
    """One thing a phone does, `after_s` seconds after the step before it."""

    act: Callable[[PhoneCall], None]
    after_s: float


@dataclass
class Phone:
    """A phone with a script. Without one it rings and is never answered."""

    number: str
    clock: Clock = field(default_factory=Clock)
    calls: list[PhoneCall] = field(default_factory=list)
    mute: bool = False
    """No sound comes from it, not even silence. Only on the fake network."""
    reports: bool = False
    """But it goes on sending reports (RTCP), as where silence is suppressed."""
    _steps: list[Step] = field(default_factory=list)
    _rings: bool = True
    _changed: threading.Condition = field(default_factory=threading.Condition)

    # --- the script ------------------------------------------------------------------------------------------

    def answers(self, *, after_s: float = 0.2) -> Phone:
        """Answer `after_s` seconds after the call came in."""
        return self._then(lambda call: call.line.answer(), after_s)

    def dials(self, digits: str, *, after_s: float = 0.5) -> Phone:
        """Key `digits`."""
        return self._then(lambda call: call.line.send_digits(digits), after_s)

    def records(self) -> Phone:
        """Record what is heard; put it before `answers` to miss nothing."""

        def record(call: PhoneCall) -> None:
            call.recording = call.line.record()

        return self._then(record, 0.0)

    def says(self, sound: str, *, after_s: float = 0.5) -> Phone:
        """Speak into the phone: one of Asterisk's sounds, such as `vm-goodbye`."""
        return self._then(lambda call: call.line.play(sound), after_s)

    def hangs_up(self, *, after_s: float = 0.0) -> Phone:
        """Put the phone down."""
        return self._then(lambda call: call.line.hang_up(), after_s)

    def refuses(self, cause: int, *, after_s: float = 0.0) -> Phone:
        """Refuse the call with a Q.850 cause (`BUSY`, `CONGESTION`, ...) without ringing first."""
        self._rings = False
        return self._then(lambda call: call.line.hang_up(cause), after_s)

    def redirects_to(self, number: str) -> Phone:
        """Answer the INVITE with 302 towards another number."""
        self._rings = False
        return self._then(lambda call: call.line.redirect(number), 0.0)

    def never_answers(self) -> Phone:
        """Ring until the caller gives up."""
        self._steps.clear()
        return self

    def says_nothing(self) -> Phone:
        """Neither ring nor answer nor refuse: the carrier in between is dead."""
        self._rings = False
        self._steps.clear()
        return self

    def forget(self) -> Phone:
        """Drop the script, to write another one for the calls to come."""
        self._steps.clear()
        self._rings = True
        return self

    def _then(self, act: Callable[[PhoneCall], None], after_s: float) -> Phone:
        self._steps.append(Step(act, after_s))
        return self

    # --- by hand, on the newest call -------------------------------------------------------------------------

    def answer(self) -> None:
        """Answer the newest call now."""
        self.calls[-1].line.answer()

    def dial(self, digits: str) -> None:
        """Key digits in the newest call now."""
        self.calls[-1].line.send_digits(digits)

    def say(self, sound: str) -> None:
        """Speak into the phone in the newest call now."""
        self.calls[-1].line.play(sound)

    def hang_up(self) -> None:
        """End the newest call now."""
        self.calls[-1].line.hang_up()

    # --- what happened ---------------------------------------------------------------------------------------

    def wait_for(self, state: State, *, call: int = 1, timeout_s: float = 15.0) -> PhoneCall:
        """Block until call number `call` (counted from 1) has reached `state`; AssertionError when it does not."""
        order = ("offered", "ringing", "answered", "ended")

        def reached() -> bool:
            if len(self.calls) < call:
                return False
            now = self.calls[call - 1]
            if state == "answered":
                return now.answered_at_us is not None
            return order.index(now.state) >= order.index(state)

        with self._changed:
            if not self._changed.wait_for(reached, timeout_s):
                seen = [c.state for c in self.calls]
                raise AssertionError(
                    f"phone {self.number}: call {call} is not {state} after {timeout_s} s: {seen}"
                )
            return self.calls[call - 1]

    @property
    def recording(self) -> Path:
        """What was heard in the newest call; AssertionError when it was not recorded."""
        recording = self.calls[-1].recording if self.calls else None
        assert recording is not None, f"phone {self.number} has recorded nothing"
        return recording

    # --- for the network -------------------------------------------------------------------------------------

    def take(self, caller_id: str, line: Line) -> PhoneCall:
        """A call has come in: note it and run the script in a thread of its own."""
        call = PhoneCall(caller_id, line, self.clock.now_us())
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        threading.Thread(target=self._run, args=(call, list(self._steps)), daemon=True).start()
        return call

    def note(self, call: PhoneCall, state: State, at_us: int = 0) -> None:
        """The network saw the call reach `state`, at this time by its own clock; 0: now."""
        with self._changed:
            now_us = at_us or self.clock.now_us()
            if state == "ringing":
                call.ringing_at_us = now_us
            elif state == "answered":
                call.answered_at_us = now_us
            elif state == "ended":
                call.ended_at_us = now_us
            if call.state != "ended":
                call.state = state
            self._changed.notify_all()

    def note_digit(self, call: PhoneCall, digit: str) -> None:
        """A digit keyed by the other side was heard here."""
        with self._changed:
            call.digits_heard += digit
            self._changed.notify_all()

    def _run(self, call: PhoneCall, steps: list[Step]) -> None:
        if self._rings:
            call.line.ring()
            self.note(call, "ringing")
        for step in steps:
            with self._changed:
                if self._changed.wait_for(lambda: call.state == "ended", step.after_s):
                    return
            step.act(call)


SECOND_TRUNK = "second"
"""A further endpoint of the product's Asterisk that leads to the same phones."""


class Network(ABC):
    """A telephone network reached over the product's trunk: phones by number, and calls to access numbers."""

    key_s: float
    """How long a phone is busy with each key that it sends."""

    def __init__(self) -> None:
        self.phones: dict[str, Phone] = {}

    def phone(self, number: str) -> Phone:
        """The phone with this number (digits only), made at its first mention; all others are unallocated."""
        return self.phones.setdefault(number, Phone(number))

    @abstractmethod
    def missed_call(self, *, ani: str, dnis: str, gives_up_after_s: float = 10.0) -> Rejection:
        """Ring the access number `dnis` from `ani` ("" = no caller id) and wait until the call ends."""
