"""What happens in a simulation, as data: all of it follows from the seed, can be printed, and kept as a test."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any, Literal

from .money import PriceList
from .people import Script

HOME, ABROAD, FREE, DEAR, FORBIDDEN = "4202", "4420", "800", "4312", "882"
ACCESS, PIN_ACCESS, INTERNAL = "420800123456", "420800765432", "internal1"

BUSINESSES, SUBSCRIBERS = 16, 4

Trigger = Literal["missed", "dnis", "pin", "order"]
FaultKind = Literal[
    "ari 503", "ari slow", "ari answer lost", "ari flaky", "store flaky", "websocket dropped", "websocket half open",
    "events twice", "events late", "asterisk frozen", "asterisk crashed", "asterisk restarted", "power cut",
    "service killed", "service stopped", "service clock", "asterisk clock", "machine clock", "database locked",
    "database full", "database away", "error before commit", "error after commit", "trunk congested",
    "journal unreadable",
]  # fmt: skip
Moment = Literal["incoming", "A called", "A answered", "B called", "B answered", "B ended", "A ended"]
MOMENTS: tuple[Moment, ...] = Moment.__args__  # type: ignore[attr-defined]
FAULTS: tuple[FaultKind, ...] = FaultKind.__args__  # type: ignore[attr-defined]


WEIGHTS = {"service killed": 4, "ari 503": 2, "ari slow": 2, "ari answer lost": 2, "error after commit": 2}
"""What is drawn more often than the others."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong. `seconds` is how long, or how far a clock is moved."""

    at_s: float
    """So long after the start; or, with `when`, after the `turn`-th time that this happens."""
    kind: FaultKind
    seconds: float = 0.0
    count: int = 1
    """How often; of what is flaky, in how many of a hundred; of late events, 2 when they overtake others."""
    path: str = ""
    """Of ARI requests: a regular expression."""
    commit: int = 0
    """`service killed`: not at a time but at so many commits from then, 0 for at once."""
    when: Moment | Literal[""] = ""
    turn: int = 1


@dataclass(frozen=True)
class Business:
    """What is sold, and over what: the same for many simulations."""

    prices: tuple[PriceList, ...]
    credits: tuple[int, ...]
    """The credit limit of each subscriber, in micros."""
    trunk_limits: tuple[int | None, ...] = ()
    """How many calls each of two trunks carries; empty for the one of the settings."""


@dataclass(frozen=True)
class Subscriber:
    """An account and its phone."""

    number: str
    funds_micros: int
    scripts: tuple[Script, ...] = ()
    pin: str = ""


@dataclass(frozen=True)
class Asked:
    """A callback that somebody asks for."""

    at_s: float
    trigger: Trigger
    subscriber: int
    destination: str = ""


@dataclass(frozen=True)
class Plan:
    """One simulation."""

    seed: int
    business: Business
    options: dict[str, str]
    subscribers: tuple[Subscriber, ...]
    friends: dict[str, tuple[Script, ...]]
    asked: tuple[Asked, ...]
    faults: tuple[Fault, ...] = ()
    internal_funds_micros: int = 0

    def text(self) -> str:
        """As JSON, to read and to keep."""
        return json.dumps(asdict(self), indent=1)


def load(text: str) -> Plan:
    """The plan in a text of `Plan.text`."""
    raw: dict[str, Any] = json.loads(text)

    def script(one: dict[str, Any]) -> Script:
        return Script(**{**one, "keys": tuple((wait, digits) for wait, digits in one["keys"])})

    return Plan(
        seed=raw["seed"],
        business=Business(
            tuple(PriceList(**one) for one in raw["business"]["prices"]),
            tuple(raw["business"]["credits"]),
            tuple(raw["business"]["trunk_limits"]),
        ),
        options=raw["options"],
        subscribers=tuple(
            Subscriber(**{**one, "scripts": tuple(script(s) for s in one["scripts"])})
            for one in raw["subscribers"]
        ),
        friends={number: tuple(script(s) for s in scripts) for number, scripts in raw["friends"].items()},
        asked=tuple(Asked(**one) for one in raw["asked"]),
        faults=tuple(Fault(**one) for one in raw["faults"]),
        internal_funds_micros=raw["internal_funds_micros"],
    )


def make_plan(seed: int) -> Plan:
    """The plan of a seed."""
    return Planner(seed).plan()


def pin_of(subscriber: int) -> str:
    """The PIN of a subscriber who logs in."""
    return f"9000000{subscriber}"


def make_business(number: int) -> Business:
    """One of some businesses."""
    random = Random(f"business {number}")
    free_s, grace_s = random.choice((0, 0, 0, 5)), random.choice((0, 0, 0, 3))
    surcharge, minimum = random.choice((0, 0, 500)), random.choice((0, 0, 20_000))
    unit = random.choice((1, 1, 100, 10_000))

    def one(prefix: str, per_minute: int, fees: tuple[int, ...], intervals: Any) -> PriceList:
        first_s, next_s = random.choice(intervals)
        return PriceList(
            prefix, random.choice(fees), first_s, per_minute, next_s, per_minute, free_s, grace_s,
            surcharge, minimum, unit,
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
    """Draws a plan."""

    seed: int
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        """Everything comes from here."""
        self.random = Random(f"plan {self.seed}")

    def plan(self) -> Plan:
        """A business, people, and what goes wrong."""
        random = self.random
        count = random.choice((1, 1, 2, 2, 3, SUBSCRIBERS))
        friends = {f"{prefix}7123456{n}": self._friend() for n, prefix in enumerate((ABROAD, DEAR, FREE))}
        subscribers = tuple(self._subscriber(n, list(friends)) for n in range(count))
        asked = tuple(
            sorted(
                (self._asked(n, count, list(friends)) for n in range(self._callbacks(count))),
                key=lambda one: one.at_s,
            )
        )
        return Plan(
            seed=self.seed,
            business=make_business(random.randrange(BUSINESSES)),
            options=self._options(),
            subscribers=subscribers,
            friends=friends,
            asked=asked,
            faults=self._faults(max((one.at_s for one in asked), default=0.0)),
            internal_funds_micros=random.choice((2_000_000, 20_000_000)),
        )

    def _callbacks(self, subscribers: int) -> int:
        return subscribers + self.random.choice((0, 0, 1, 2))

    # --- the business ------------------------------------------------------------------------------------------

    def _options(self) -> dict[str, str]:
        random = self.random
        slice_s = random.choice((10, 15, 30, 60, 180))
        drawn = {
            "hold_slice_s": slice_s,
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
            "first_digit_timeout_s": random.choice((4, 8)),
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
            (0, 20_000, 50_000, 200_000, 200_000, 1_000_000, 1_000_000, 10_000_000, 10_000_000)
        )
        scripts = tuple(self._callers_script(friends, "") for _ in range(random.choice((1, 2))))
        pin = ""
        if random.random() < 0.15:
            pin = pin_of(number)
            scripts = tuple(self._callers_script(friends, pin) for _ in range(random.choice((1, 2))))
        return Subscriber(f"{HOME}1234567{number}", funds, scripts, pin)

    def _ringing_s(self) -> float:
        return self.random.choice((0.2, 0.2, 1.0, 1.0, 1.0, 3.0, 3.0, 7.0, 15.0))

    def _callers_script(self, friends: list[str], pin: str) -> Script:
        random = self.random
        chance = random.random()
        if chance < 0.06:
            return Script("refuses", 0.5, random.choice((17, 21, 34, 19)))
        if chance < 0.10:
            return Script("ignores")
        keys: list[tuple[float, str]] = []
        if pin:
            keys.append((random.choice((1.0, 3.0)), (pin if random.random() < 0.8 else "12345678") + "#"))
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            keys.append((random.choice((0.5, 2.0, 5.0, 12.0, 30.0)), self._keyed(friends)))
            if random.random() < 0.2:
                keys.append((random.choice((3.0, 10.0, 25.0)), random.choice(("**", "**", "*", "5"))))
        patience = random.choice((2.0, 8.0, 15.0, 30.0, 60.0, 60.0, 90.0, 90.0, None, None))
        return Script("answers", self._ringing_s(), 17, tuple(keys), patience)

    def _keyed(self, friends: list[str]) -> str:
        random = self.random
        chance = random.random()
        if chance < 0.8:
            return random.choice(("", "00")) + random.choice(friends) + random.choice(("#", "#", ""))
        return random.choice(
            (ABROAD + "9999#", FORBIDDEN + "1234567#", "12#", "#", "*" + friends[0] + "#", "")
        )

    def _friend(self) -> tuple[Script, ...]:
        return tuple(self._friends_script() for _ in range(self.random.choice((1, 2, 3))))

    def _friends_script(self) -> Script:
        random = self.random
        chance = random.random()
        if chance < 0.12:
            return Script("refuses", random.choice((0.1, 2.0)), random.choice((17, 21, 34, 1)))
        if chance < 0.18:
            return Script("ignores")
        return Script(
            "answers",
            self._ringing_s(),
            hangs_up_after_s=random.choice((0.3, 2.0, 5.0, 12.0, 31.0, 70.0, None)),
        )

    def _asked(self, number: int, subscribers: int, friends: list[str]) -> Asked:
        random = self.random
        who = number if number < subscribers else random.randrange(subscribers)
        at_s = round(2.0 + random.random() * 25.0, 1)
        trigger: Trigger = random.choice(("missed", "missed", "missed", "dnis", "order", "order"))
        return Asked(at_s, trigger, who, random.choice(friends) if trigger == "order" else "")

    # --- what goes wrong -----------------------------------------------------------------------------------------

    def _faults(self, last_s: float) -> tuple[Fault, ...]:
        random = self.random
        count = random.choice((0, 1, 1, 1, 2, 2, 3, 5))
        # Few kinds at a time, so that what is found can be understood, but any of them often.
        kinds = random.choices(
            FAULTS, [WEIGHTS.get(kind, 1) for kind in FAULTS], k=random.choice((1, 1, 2, 3))
        )
        found = [self._fault(random.choice(kinds), last_s) for _ in range(count)]
        return tuple(sorted(found, key=lambda fault: fault.at_s))

    def _fault(self, kind: FaultKind, last_s: float) -> Fault:
        random = self.random
        if random.random() < 0.2:
            return self._at(kind, round(random.random() * (last_s + 45.0), 2))
        # Mostly where it hurts: in a call, at a moment that matters, or a little after.
        after_s = random.choice((0.0, 0.0, 0.002, 0.01, 0.3, 1.0, 3.0, 8.0, 20.0))
        moment = random.choice((*MOMENTS, "A answered", "B called", "B answered", "B answered", "B answered"))
        return replace(self._at(kind, after_s), when=moment, turn=random.choice((1, 1, 1, 2, 3)))

    def _at(self, kind: FaultKind, at_s: float) -> Fault:
        random = self.random
        if kind in ("ari 503", "ari slow", "ari answer lost"):
            path = random.choice(
                ("", "", "^/channels", "/variable$", "/play", "^/bridges", r"^/channels/[^/]+-a\d+$", "/create$",
                 "/dial$", "^/asterisk/info$", "^/channels$")
            )  # fmt: skip
            seconds = random.choice((0.3, 1.0, 2.0, 4.0, 6.0, 12.0)) if kind == "ari slow" else 0.0
            return Fault(at_s, kind, seconds, random.choice((1, 1, 2, 4, 10)), path)
        if kind in ("service clock", "asterisk clock", "machine clock"):
            return Fault(at_s, kind, random.choice((-1.0, 1.0)) * random.choice((1.0, 5.0, 60.0, 3600.0)))
        if kind in ("ari flaky", "store flaky"):
            return Fault(at_s, kind, random.choice((10.0, 60.0, 300.0)), count=random.choice((4, 10, 25)))
        if kind == "events late":
            return Fault(at_s, kind, random.choice((0.5, 2.0, 15.0)), count=random.choice((1, 2)))
        if kind == "service killed":
            return Fault(
                at_s, kind, random.choice((0.5, 2.0, 10.0, 40.0)), commit=random.choice((0, 0, 1, 2, 3, 5))
            )
        if kind in ("error before commit", "error after commit", "trunk congested"):
            return Fault(at_s, kind, count=random.choice((1, 1, 2, 4)))
        return Fault(at_s, kind, random.choice((0.5, 2.0, 4.0, 8.0, 15.0, 45.0)))
