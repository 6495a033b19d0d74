"""Draws a plan from a seed: a business, people, and what goes wrong.

Most plans are small and have few kinds of faults, often repeated, at moments that matter: what is found is to be
understood by reading its journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from .money import PriceList
from .people import Script
from .plan import (
    ABROAD,
    DEAR,
    FAULTS,
    FORBIDDEN,
    FREE,
    HOME,
    MOMENTS,
    Asked,
    Business,
    Deed,
    Fault,
    FaultKind,
    Moment,
    Plan,
    Subscriber,
    Trigger,
    pin_of,
)
from .situations import make_deaf, make_situation

BUSINESSES, SUBSCRIBERS = 16, 4
WEIGHTS = {
    "service killed": 4,
    "ari 503": 2,
    "ari slow": 2,
    "ari answer lost": 2,
    "error after commit": 2,
    "websocket refused": 0,
    "websocket deaf": 0,
}
"""Faults that are drawn more often than the others; or in `situations` alone."""
PATHS = (
    "", "", "^/channels", "/variable$", "/variable$", "/play", "^/bridges", r"^/channels/[^/]+-a\d+$", "/create$",
    "/dial$", "^/asterisk/info$", "^/channels$",
)  # fmt: skip

ENTRIES_S = (0.0, 0.0, 0.02, 0.4, 7.0)


def make_plan(seed: int) -> Plan:
    """The plan of a seed."""
    return Planner(seed).plan()


def make_business(number: int) -> Business:
    """One of a few businesses."""
    random = Random(f"business {number}")
    free_s, grace_s = random.choice((0, 0, 0, 5)), random.choice((0, 0, 0, 3))
    surcharge, minimum = random.choice((0, 0, 500)), random.choice((0, 0, 20_000))
    unit = random.choice((1, 1, 100, 10_000))
    # Drawn on their own, so that the rest of each business is what it was before there were these.
    at_the_end = Random(f"fees at the end of business {number}")
    end_fee, end_fee_after_s = at_the_end.choice(((0, 0), (0, 0), (20_000, 0), (30_000, 60)))
    maximum = at_the_end.choice((0, 0, 0, 100_000, 300_000))

    def one(prefix: str, per_minute: int, fees: tuple[int, ...], intervals: Any) -> PriceList:
        first_s, next_s = random.choice(intervals)
        return PriceList(
            prefix, random.choice(fees), first_s, per_minute, next_s, per_minute, free_s, grace_s,
            surcharge, minimum, unit, end_fee, end_fee_after_s, maximum,
        )  # fmt: skip

    by_second, by_minute = ((1, 1), (1, 1), (30, 6)), ((60, 60), (60, 1))
    prices = (
        one(HOME[:3], random.choice((0, 60_000, 60_000)), (0, 0, 10_000), by_second),
        one(ABROAD[:2], 120_000, (0, 0, 30_000), by_second),
        one(DEAR[:2], 600_000, (0, 100_000), by_minute),
        one(FREE[:1], 0, (0,), by_second),
    )
    limits = random.choice(((), (), (None, None), (1, 1), (2, None)))
    return Business(prices, tuple(random.choice((0, 0, 0, 100_000)) for _ in range(SUBSCRIBERS)), limits)


@dataclass
class Planner:
    """Draws one plan."""

    seed: int
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        """All choices are drawn from this generator."""
        self.random = Random(f"plan {self.seed}")

    def plan(self) -> Plan:
        """Draw a business, people and faults."""
        random = self.random
        count = random.choice((1, 1, 2, 2, 3, SUBSCRIBERS))
        friends = {f"{prefix}7123456{n}": self._friend() for n, prefix in enumerate((ABROAD, DEAR, FREE))}
        subscribers = tuple(self._subscriber(n, list(friends)) for n in range(count))
        calls = [self._asked(n, count, list(friends)) for n in range(count + random.choice((0, 0, 0, 1, 2)))]
        deeds = [self._deed(count) for _ in range(random.choice((0, 0, 0, 1, 2)))]
        return Plan(
            seed=self.seed,
            business=make_business(random.randrange(BUSINESSES)),
            options=self._options(),
            subscribers=subscribers,
            friends=friends,
            asked=tuple(sorted(calls, key=lambda one: one.at_s)),
            deeds=tuple(sorted(deeds, key=lambda one: one.at_s)),
            faults=self._faults(),
            internal_funds_micros=random.choice((2_000_000, 20_000_000)),
            # Apart, so that older seeds are what they were.
            entry_s=Random(f"entry {self.seed}").choice(ENTRIES_S),
        )

    def _options(self) -> dict[str, str]:
        random = self.random
        drawn = {
            "hold_slice_s": random.choice((10, 15, 30, 60, 180)),
            "hold_extend_before_s": random.choice((5, 8)),
            "talk_limit_s": random.choice((20, 60, 120, 300)),
            "ring_timeout_a_s": random.choice((5, 10, 20)),
            "ring_timeout_b_s": random.choice((5, 10, 20)),
            "menu_limit_s": random.choice((20, 40, 60)),
            "attempts_no_answer": random.choice((1, 2)),
            "attempts_busy": random.choice((1, 2)),
            "attempts_congestion": random.choice((2, 3)),
            "retry_interval_s": random.choice((1, 2, 10)),
            "callback_delay_s": random.choice((0, 0, 0, 3)),
            "dedupe_window_s": random.choice((0, 5, 60)),
            "first_digit_timeout_s": random.choice((6, 8)),
            "inter_digit_timeout_s": random.choice((1, 4)),
            "low_funds_warning_s": random.choice((0, 5, 20, 60)),
            "low_funds_repeat_s": random.choice((0, 5)),
            "low_funds_warning": random.choice(("beep", "voice")),
            "announce_balance": random.choice(("funds", "off")),
            "announce_duration": random.choice(("exact", "off", "minutes")),
            "menu_afterwards": random.choice(("on", "off")),
            "destination_attempts": random.choice((1, 3)),
        }
        return {name: str(value) for name, value in drawn.items()}

    # --- people ------------------------------------------------------------------------------------------------

    def _subscriber(self, number: int, friends: list[str]) -> Subscriber:
        random = self.random
        funds = random.choice(
            (20_000, 50_000, 200_000, 200_000, 1_000_000, 1_000_000, 10_000_000, 10_000_000)
        )
        funds = 0 if random.random() < 0.04 else funds
        pin = pin_of(number) if random.random() < 0.15 else ""
        scripts = tuple(self._callers_script(friends, pin) for _ in range(random.choice((1, 2))))
        return Subscriber(f"{HOME}1234567{number}", funds, scripts, pin)

    def _ringing_s(self) -> float:
        return self.random.choice((0.2, 0.2, 0.2, 1.0, 1.0, 1.0, 3.0, 3.0, 7.0, 15.0))

    def _callers_script(self, friends: list[str], pin: str) -> Script:
        random = self.random
        chance = random.random()
        if chance < 0.05:
            return Script("refuses", 0.5, random.choice((17, 21, 34, 19)))
        if chance < 0.08:
            return Script("ignores")
        keys: list[tuple[float, str]] = []
        if pin:
            keys.append((random.choice((1.0, 3.0)), (pin if random.random() < 0.9 else "12345678") + "#"))
        keys.append((random.choice((0.5, 1.0, 2.0, 4.0, 6.0)), self._keyed(friends)))
        for _ in range(random.choice((0, 0, 1, 2))):
            if random.random() < 0.4:
                keys.append((random.choice((3.0, 10.0, 25.0)), random.choice(("**", "**", "*", "5"))))
            keys.append((random.choice((0.5, 3.0, 8.0, 20.0)), self._keyed(friends)))
        patience = random.choice((2.0, 8.0, 15.0, 30.0, 60.0, 60.0, 90.0, 90.0, None, None))
        return Script("answers", self._ringing_s(), 17, tuple(keys), patience)

    def _keyed(self, friends: list[str]) -> str:
        random = self.random
        if random.random() < 0.88:
            return random.choice(("", "00")) + random.choice(friends) + random.choice(("#", "#", "#", ""))
        return random.choice(
            (ABROAD + "9999#", FORBIDDEN + "1234567#", "12#", "#", "*" + friends[0] + "#", "")
        )

    def _friend(self) -> tuple[Script, ...]:
        return tuple(self._friends_script() for _ in range(self.random.choice((1, 2, 3))))

    def _friends_script(self) -> Script:
        random = self.random
        chance = random.random()
        if chance < 0.10:
            return Script("refuses", random.choice((0.1, 2.0)), random.choice((17, 21, 34, 1)))
        if chance < 0.14:
            return Script("ignores")
        talks_s = random.choice((0.3, 2.0, 5.0, 12.0, 31.0, 70.0, None))
        return Script("answers", self._ringing_s(), hangs_up_after_s=talks_s)

    def _asked(self, number: int, subscribers: int, friends: list[str]) -> Asked:
        random = self.random
        who = number if number < subscribers else random.randrange(subscribers)
        at_s = round(2.0 + random.random() * 20.0, 1)
        trigger: Trigger = random.choice(("missed", "missed", "missed", "dnis", "order", "order"))
        return Asked(at_s, trigger, who, random.choice(friends) if trigger == "order" else "")

    def _deed(self, subscribers: int) -> Deed:
        random = self.random
        at_s = round(3.0 + random.random() * 60.0, 1)
        kind = random.choice(("top up", "top up", "block", "unblock", "take back", "take back"))
        return Deed(at_s, kind, random.randrange(subscribers), random.choice((50_000, 1_000_000)))  # type: ignore[arg-type]

    # --- what goes wrong -----------------------------------------------------------------------------------------

    def _faults(self) -> tuple[Fault, ...]:
        random = self.random
        count = random.choice((0, 1, 1, 2, 2, 3, 4, 8))
        kinds = random.choices(
            FAULTS, [WEIGHTS.get(kind, 1) for kind in FAULTS], k=random.choice((1, 1, 2, 3))
        )
        found = [self._fault(random.choice(kinds)) for _ in range(count)]
        found += [*make_situation(self.seed), *make_deaf(self.seed)]
        return tuple(sorted(found, key=lambda fault: fault.at_s))

    def _fault(self, kind: FaultKind) -> Fault:
        """Draw a fault, mostly at or just after a critical moment of a call."""
        random = self.random
        chance = random.random()
        if chance < 0.15:
            return self._at(kind, round(random.random() * 60.0, 2))
        if chance < 0.45:
            moment: Moment = random.choice(("request", "commit", "committed"))
            return replace(
                self._at(kind, 0.0),
                when=moment,
                turn=random.choice((5, 10, 20, 40, 80)) - random.randrange(5),
            )
        after_s = random.choice((0.0, 0.0, 0.0, 0.002, 0.01, 0.3, 1.0, 3.0, 8.0, 20.0))
        moment = random.choice(
            (*MOMENTS[:8], "A keyed", "A keyed", "B called", "B answered", "B answered", "B ended")
        )
        return replace(self._at(kind, after_s), when=moment, turn=random.choice((1, 1, 1, 2, 3)))

    def _at(self, kind: FaultKind, at_s: float) -> Fault:
        random = self.random
        if kind in ("ari 503", "ari slow", "ari answer lost"):
            # Some requests, or all for some time.
            count = random.choice((1, 1, 2, 4, 10, -1))
            seconds = random.choice((0.3, 1.0, 2.0, 4.0, 6.0, 12.0))
            return Fault(at_s, kind, seconds, count, random.choice(PATHS))
        if kind in ("service clock", "asterisk clock", "machine clock"):
            # Not by whole seconds: people key by tenths, and a key of the same millisecond as one before the step is
            # taken for the same.
            return Fault(
                at_s, kind, random.choice((-1.0, 1.0)) * random.choice((1.037, 5.037, 60.037, 3600.037))
            )
        if kind in ("ari flaky", "store flaky"):
            return Fault(at_s, kind, random.choice((10.0, 60.0, 300.0)), count=random.choice((4, 10, 25)))
        if kind == "events late":
            return Fault(at_s, kind, random.choice((0.5, 2.0, 15.0)), count=random.choice((1, 2)))
        if kind in ("error before commit", "error after commit", "trunk congested"):
            return Fault(at_s, kind, count=random.choice((1, 1, 2, 4)))
        return Fault(at_s, kind, random.choice((0.5, 2.0, 4.0, 8.0, 15.0, 45.0)))
