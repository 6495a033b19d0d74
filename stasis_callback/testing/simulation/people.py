"""The people at the phones, in virtual time: what each does in its first call, its second, and so on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from stasis_callback.testing.phones import Line, Phone, PhoneCall
from stasis_callback.testing.phones import State as PhoneState

from .scheduler import Scheduler, Timer


@dataclass(frozen=True)
class Script:
    """What a person does in one call. Times in seconds from the previous step."""

    does: Literal["answers", "refuses", "ignores"] = "answers"
    after_s: float = 1.0
    cause: int = 17
    keys: tuple[tuple[float, str], ...] = ()
    """(seconds after the last keys, digits) after the answer."""
    hangs_up_after_s: float | None = None
    """After the answer; None leaves it to the other side."""


@dataclass
class SimPhone(Phone):
    """A phone whose scripts are timers of the scheduler."""

    scheduler: Scheduler = field(kw_only=True)
    scripts: tuple[Script, ...] = field(kw_only=True)
    noted: Callable[[str], None] = field(kw_only=True)

    def take(self, caller_id: str, line: Line) -> PhoneCall:
        """Start the next script for an incoming call, or repeat the last one."""
        script = self.scripts[min(len(self.calls), len(self.scripts) - 1)]
        call = PhoneCall(caller_id, line, self.scheduler.now_us)
        self.calls.append(call)
        self.noted(f"phone {self.number} is called")
        timers: list[Timer] = []

        def later(seconds: float, act: Callable[[], None]) -> None:
            def unless_over() -> None:
                if call.state != "ended":
                    act()

            timers.append(self.scheduler.call_in(seconds, unless_over))

        if script.does == "refuses":
            later(script.after_s, lambda: line.hang_up(script.cause))
            return call
        later(0.0, line.ring)
        if script.does == "answers":
            later(script.after_s, line.answer)
            at_s = script.after_s
            for wait_s, digits in script.keys:
                at_s += wait_s
                later(at_s, lambda digits=digits: line.send_digits(digits))  # type: ignore[misc]
            if script.hangs_up_after_s is not None:
                later(script.after_s + script.hangs_up_after_s, line.hang_up)
        return call

    def note(self, call: PhoneCall, state: PhoneState, at_us: int = 0) -> None:
        if call.state != "ended":
            call.state = state
        self.noted(f"phone {self.number}: {state}")

    def note_digit(self, call: PhoneCall, digit: str) -> None:
        call.digits_heard += digit
