"""Fraud control: how much a caller, an account or a number may cause in a day before it is set aside.

A budget counts calls, minutes and money of what is settled, by who or what stands behind a leg (`Cause`). Who reaches
one is set aside: nothing more begins until that time is over, or an operator releases it. Number ranges that are
dialled for their price (`RANGES`) and numbers that are called as leg B are stricter: what is held counts too, so
that not even calls at the same time go beyond.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.kinds import Kind
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS, format_amount, parse_amount
from stasis_callback.core.numbering import (
    country_of,
    kind_of,
    known_region,
    names,
    read_beginning,
    read_number,
)
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.requests import MISSED_CALL
from stasis_callback.core.words import FraudTrouble, Refusal

DAY_S, HOUR_S = 86_400, 3600
_CALLS_LIMIT, _MINUTES_LIMIT = 10**8, 10**8
_BUDGET = re.compile(r"([0-9]{1,9})/([0-9]{1,9})/([0-9.]{1,17})", re.ASCII)
_PREFIX = re.compile(r"([1-9][0-9]{0,14})=(\S+)", re.ASCII)

_DIVISORS = {
    10: "CNY CZK DKK EGP HKD MAD MDL MXN MYR NOK PLN SEK TJS TRY TTD UAH ZAR",
    100: "AMD BDT CRC DOP DZD HTG HUF INR ISK JMD JPY KES KGS LRD MKD MUR NPR PHP PKR RSD RUB THB TWD UYU XPF YER",
    1000: "ARS BIF CDF CLP COP DJF GNF IQD KHR KRW KZT LKR MGA MMK MNT MWK NGN PYG RWF SOS TZS UGX UZS XAF XOF",
    10_000: "IDR IRR LAK LBP SLL STN VND",
}
_DIVISOR = {code: divisor for divisor, codes in _DIVISORS.items() for code in codes.split()}
"""How many units of a currency count as one unit of a budget, roughly a US dollar; 1 for all others."""


def worth_micros(amount_micros: int, currency: str) -> int:
    """An amount in the unit of budgets: about a US dollar, so that one default suits most currencies."""
    return amount_micros // _DIVISOR.get(currency, 1)


class Scope(StrEnum):
    """What a budget is for; the name of its setting."""

    CALLER = "caller"
    ACCOUNT = "account"
    SHARED_ACCOUNT = "shared_account"
    NUMBER = "number"
    DESTINATION = "destination"
    LINK = "link"
    SOURCE = "source"
    RANGE = "range"
    COUNTRY = "country"
    TOTAL = "total"

    @property
    def subject(self) -> str:
        """What is set aside when such a budget is reached: an account is one thing, whoever used it."""
        return _SUBJECTS.get(self, self.value)


_SUBJECTS = {Scope.SHARED_ACCOUNT: "account", Scope.DESTINATION: "number"}
SUBJECTS = ("caller", "account", "number", "link", "source", "range", "country", "total")
RANGES = (Kind.PREMIUM, Kind.SHARED_COST, Kind.SATELLITE, Kind.PERSONAL, Kind.UNASSIGNED)
"""The kinds of numbers with a budget of their own."""


class Measure(StrEnum):
    """What of a budget is used up, or who else set something aside."""

    CALLS = "calls"
    MINUTES = "minutes"
    MONEY = "money"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Spent:
    """What was counted: calls, charged seconds, and money in the unit of budgets."""

    calls: int = 0
    seconds: int = 0
    micros: int = 0

    def __add__(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(self.calls + other.calls, self.seconds + other.seconds, self.micros + other.micros)

    def __sub__(self, other: Spent) -> Spent:
        """What is more than the other, or less."""
        return Spent(self.calls - other.calls, self.seconds - other.seconds, self.micros - other.micros)

    def beyond(self, other: Spent) -> Spent:
        """What is more than the other, of each; nothing where it is less."""
        more = self - other
        return Spent(max(more.calls, 0), max(more.seconds, 0), max(more.micros, 0))


@dataclass(frozen=True, slots=True)
class Ahead:
    """What budgets have counted of a leg while it is live.

    Of `total`, what is beyond `earlier` stands in the counters of `day` (UTC, 0 is 1970-01-01). `earlier` was counted
    in days before, or before a release. These counters are gone: nothing of it is given back, or counted again.
    """

    total: Spent
    earlier: Spent
    day: int

    def on(self, day: int) -> Ahead:
        """The same on a day, whose counters begin with nothing."""
        if day <= self.day:  # before: a clock that is a little behind the one by which the day began
            return self
        return Ahead(self.total, self.total + self.earlier.beyond(self.total), day)

    def more(self, total: Spent) -> Spent:
        """What is added to the counters of `day`, or taken from them where it is negative, so that `total` counts."""
        return total.beyond(self.earlier) - self.total.beyond(self.earlier)


@dataclass(frozen=True, slots=True)
class Budget:
    """At most so many calls, minutes and money; 0 of one of them: as much as one likes."""

    calls: int = 0
    minutes: int = 0
    money_micros: int = 0

    def __str__(self) -> str:
        money = format_amount(self.money_micros).removesuffix(".00")
        return f"{self.calls}/{self.minutes}/{money}" if self.is_on else "0"

    @property
    def is_on(self) -> bool:
        """Whether anything is limited."""
        return bool(self.calls or self.minutes or self.money_micros)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Parse `600/3000/300`: calls, minutes and an amount; 0 in a place, or alone, is no limit.

        Raises InvalidInput.
        """
        if text.strip() == "0":
            return cls()
        match = _BUDGET.fullmatch(text.strip())
        try:
            calls, minutes, money = int(match[1]), int(match[2]), parse_amount(match[3])  # type: ignore[index]
        except (TypeError, InvalidInput):
            calls, minutes, money = -1, -1, -1
        if not (
            0 <= calls <= _CALLS_LIMIT
            and 0 <= minutes <= _MINUTES_LIMIT
            and 0 <= money <= AMOUNT_LIMIT_MICROS
        ):
            raise InvalidInput(
                f"{text!r} is not a budget: write calls/minutes/amount, like 600/3000/300, or 0 for none"
            )
        return cls(calls, minutes, money)

    def reached(self, spent: Spent) -> Measure | Literal[""]:
        """What of it is used up; "" while it is not."""
        return self._beyond(spent, 0)

    def exceeded(self, spent: Spent) -> Measure | Literal[""]:
        """What of it is more than used up."""
        return self._beyond(spent, 1)

    def _beyond(self, spent: Spent, more: int) -> Measure | Literal[""]:
        for measure, limit, used in (
            (Measure.CALLS, self.calls, spent.calls),
            (Measure.MINUTES, self.minutes * 60, spent.seconds),
            (Measure.MONEY, self.money_micros, spent.micros),
        ):
            if limit and used >= limit + more:
                return measure
        return ""

    def in_words(self, measure: Measure, spent: Spent) -> str:
        """What was used of how much, for people: `600 of 600 calls`."""
        match measure:
            case Measure.CALLS:
                return f"{spent.calls} of {self.calls} calls"
            case Measure.MINUTES:
                return f"{spent.seconds // 60} of {self.minutes} minutes"
            case _:
                return f"{format_amount(spent.micros)} of {format_amount(self.money_micros)}"


@dataclass(frozen=True, slots=True)
class Cause:
    """Who is behind a leg, and where it goes. What is not known is ""."""

    account: str
    number: str
    side: Literal["a", "b"]
    shared: bool = False
    """The account pays for others: for leg A of a PIN callback, for a hosted form."""
    caller: str = ""
    """Of a missed call."""
    link: str = ""
    source: str = ""
    """The address or sender of a form, a program, a mail."""


NOBODY_REACHED = (Outcome.CONGESTION, Outcome.FAILED, Outcome.NOT_DIALED)
"""Legs that ended so count for no budget."""


def cause_of_leg(
    account: str,
    number: str,
    side: Literal["a", "b"],
    shared: bool,
    trigger: str,
    ani: str,
    link: str,
    source: str,
) -> Cause:
    """Who is behind a leg, by its request. An ANI counts for missed calls only: else it is the number of leg A."""
    caller = ani if trigger in MISSED_CALL and ani.isdigit() else ""
    return Cause(account, number, side, shared, caller, link, source)


def spent_by(outcome: str, charged_s: int, amount_micros: int, currency: str) -> Spent:
    """What a leg took; no call where nobody was reached."""
    return Spent(int(outcome not in NOBODY_REACHED), charged_s, worth_micros(amount_micros, currency))


@dataclass(frozen=True, slots=True)
class Counter:
    """What counts for one budget of one subject in a day or an hour (UTC)."""

    scope: Scope
    who: str
    budget: Budget
    period_s: int = DAY_S

    @property
    def key(self) -> str:
        """Its key among all counters."""
        return f"fraud:{self.scope}:{self.who}" + ("" if self.period_s == DAY_S else f":{self.period_s}")

    @property
    def subject(self) -> str:
        """What is set aside when its budget is reached."""
        return subject_of(self.scope.subject, self.who)

    @property
    def period(self) -> str:
        """For people, with the article."""
        return "a day" if self.period_s == DAY_S else "an hour"


def subject_of(what: str, who: str) -> str:
    """`number:420212345678`; `total` for all calls together."""
    return f"{what}:{who}" if who else what


def parse_subject(text: str) -> str:
    """A subject as operators write it. Raises InvalidInput."""
    what, _, who = text.strip().partition(":")
    if what not in SUBJECTS or bool(who) is (what == "total") or len(who) > 200:
        raise InvalidInput(
            f"{text[:60]!r} cannot be set aside: write, for example, number:420212345678, with one of "
            f"{', '.join(SUBJECTS)} before the colon; total stands alone"
        )
    return f"{what}:{who}" if who else what


def subject_that_matches(subject: str, prefixes: Collection[str]) -> str:
    """A subject as legs have it: its number in E.164 digits, its country in capitals. Accounts stay as they are.

    `prefixes` are those with a budget. Raises InvalidInput for what would match no leg.
    """
    what, _, who = subject.partition(":")
    match what:
        case "number" | "caller":
            found, write = read_number(who), "a phone number with its country code: 420212345678"
        case "country":
            found, write = who.upper(), "the two letters of a country: CZ"
            found = found if known_region(found) else None
        case "range":
            found = who.lower() if who.lower() in RANGES else read_beginning(who)
            write = f"one of {', '.join(RANGES)}, or a prefix that has a budget in `fraud.prefixes`"
            found = found if found in RANGES or found in prefixes else None
        case _:
            return subject
    if not found:
        raise InvalidInput(f"{subject[:60]!r} would hold nothing back: write {what}: and {write}")
    return subject_of(what, found)


@dataclass(frozen=True, slots=True)
class Alarms:
    """Who is told of what is set aside."""

    webhook: str = ""
    """The web instance whose receiver is told; "" for none."""
    mail_from: str = ""
    """The e-mail instance that writes; "" for none."""
    mail_to: tuple[str, ...] = ()
    """Whom it writes to."""


class NotAllowed(Exception):
    """A leg must not be called; nothing is noted or held."""

    def __init__(self, reason: FraudTrouble) -> None:
        super().__init__(reason)
        self.reason: FraudTrouble = reason


class OverBudget(NotAllowed):
    """The hold of a leg would exceed a budget, whose subject is to be set aside."""

    def __init__(self, counter: Counter, measure: Measure, spent: Spent) -> None:
        super().__init__(Refusal.SET_ASIDE)
        self.counter, self.measure, self.spent = counter, measure, spent


def _budget(default: str, meaning: str) -> Any:
    return field(default=Budget.parse(default), metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Budgets:
    """All budgets of a day. What is reached is set aside for `set_aside_hours`."""

    caller: Budget = _budget("600/3000/300", "What the missed calls of one number cause.")
    account: Budget = _budget("600/3000/300", "The legs that one account pays for.")
    shared_account: Budget = _budget(
        "20000/40000/1000",
        "The same for an account that pays for others: of PIN access numbers and hosted forms.",
    )
    number: Budget = _budget("100/1500/150", "Callbacks to one number, as leg A.")
    destination: Budget = _budget("2000/10000/1000", "Calls to one number, as leg B.")
    link: Budget = _budget("2000/10000/500", "What comes by one signed link.")
    source: Budget = _budget(
        "2000/10000/500", "What comes from one address, by a form or a program, or from one sender."
    )
    premium: Budget = _budget("20/60/50", "All calls to premium rate numbers.")
    shared_cost: Budget = _budget("100/300/50", "All calls to shared cost numbers.")
    satellite: Budget = _budget(
        "20/60/100", "All calls to satellite and other networks that belong to no country."
    )
    personal: Budget = _budget("50/200/50", "All calls to personal and pager numbers.")
    unassigned: Budget = _budget("200/1000/100", "All calls to ranges that are not assigned.")
    country: Budget = _budget("0", "All calls to one country.")
    total: Budget = _budget("0", "All calls.")
    prefixes: tuple[tuple[str, Budget], ...] = ()
    """Budgets for all calls to prefixes, the longest first."""
    number_hour: int = 20
    """Callbacks to one number in an hour; 0: as many as one likes."""
    set_aside_hours: int = 24
    """0: until an operator releases it."""

    def counters(self, cause: Cause) -> Iterator[Counter]:
        """What a leg counts for, where there is a budget."""
        scopes: list[tuple[Scope, str, Budget]] = [
            (Scope.SHARED_ACCOUNT, cause.account, self.shared_account)
            if cause.shared
            else (Scope.ACCOUNT, cause.account, self.account),
            (Scope.NUMBER, cause.number, self.number)
            if cause.side == "a"
            else (Scope.DESTINATION, cause.number, self.destination),
            (Scope.CALLER, cause.caller, self.caller),
            (Scope.LINK, cause.link, self.link),
            (Scope.SOURCE, cause.source, self.source),
            (Scope.COUNTRY, country_of(cause.number) if self.country.is_on else "", self.country),
        ]
        yield from (Counter(*one) for one in scopes if one[1] and one[2].is_on)
        if self.total.is_on:
            yield Counter(Scope.TOTAL, "", self.total)
        if self.number_hour and cause.side == "a":
            yield Counter(Scope.NUMBER, cause.number, Budget(self.number_hour), HOUR_S)
        yield from self.ranges_of(cause.number)

    def ahead(self, number: str, side: Literal["a", "b"]) -> list[Counter]:
        """The budgets that count what is held for a leg while it is live: of its range, and of the number of a leg B.

        A number has one callback at a time, so there is nothing to count ahead for leg A.
        """
        to_number = Counter(Scope.DESTINATION, number, self.destination)
        found = [to_number] if side == "b" and self.destination.is_on else []
        return [*found, *self.ranges_of(number)]

    def ranges_of(self, number: str) -> list[Counter]:
        """The budgets of the ranges of a number: of the longest prefix that has one, and of its kind.

        A prefix that is for this kind, since nothing ordinary begins with it, has its budget in place of the kind's.
        """
        kind, found = kind_of(number), []
        prefix, budget = self._prefix_of(number)
        if prefix and budget.is_on:
            found.append(Counter(Scope.RANGE, prefix, budget))
        if kind in RANGES and not (prefix and names(prefix, number, kind)):
            of_kind: Budget = getattr(self, kind.value)
            found += [Counter(Scope.RANGE, kind.value, of_kind)] if of_kind.is_on else []
        return found

    def _prefix_of(self, number: str) -> tuple[str, Budget]:
        """The longest prefix of a number among those that the settings name; "" where there is none."""
        return next((one for one in self.prefixes if number.startswith(one[0])), ("", Budget()))

    def subjects(self, cause: Cause) -> list[str]:
        """Everything that may be set aside and then holds this leg back, whether it has a budget or not."""
        kind, country = kind_of(cause.number), country_of(cause.number)
        found = [
            ("account", cause.account),
            ("number", cause.number),
            ("caller", cause.caller),
            ("link", cause.link),
            ("source", cause.source),
            ("range", self._prefix_of(cause.number)[0]),
            ("range", kind.value if kind in RANGES else ""),
            ("country", country),
        ]
        return [subject_of(what, who) for what, who in found if who] + ["total"]

    def all_of(self, what: str, who: str) -> list[Counter]:
        """The counters of a subject, for whoever releases it."""
        scopes = [scope for scope in Scope if scope.subject == what]
        found = [Counter(scope, who, Budget()) for scope in scopes]
        return [*found, Counter(Scope.NUMBER, who, Budget(), HOUR_S)] if what == "number" else found


BUDGET_NAMES = tuple(f.name for f in fields(Budgets) if "meaning" in f.metadata)


def describe_budgets() -> list[tuple[str, str, str]]:
    """Name, default and meaning of each budget."""
    return [
        (f.name, str(f.default), f.metadata["meaning"]) for f in fields(Budgets) if f.name in BUDGET_NAMES
    ]


def parse_prefixes(text: str) -> tuple[tuple[str, Budget], ...]:
    """Parse `252=20/60/50, 8835=0`: budgets of prefixes, separated by commas. Raises InvalidInput."""
    found: dict[str, Budget] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _PREFIX.fullmatch(part)
        if match is None:
            raise InvalidInput(f"{part!r} is not a prefix with its budget: write, for example, 252=20/60/50")
        found[match[1]] = Budget.parse(match[2])
    return tuple(sorted(found.items(), key=lambda one: (-len(one[0]), one[0])))


@dataclass
class Meter:
    """Counts like the database does, in memory: for what would have happened with other budgets."""

    budgets: Budgets
    _spent: dict[tuple[str, int], Spent] = field(default_factory=dict)

    def count(self, cause: Cause, at_s: int, used: Spent) -> Iterator[tuple[Counter, Measure, Spent]]:
        """The budgets that a leg is the first one to use up."""
        for counter in self.budgets.counters(cause):
            place = counter.key, at_s // counter.period_s
            before = self._spent.get(place, Spent())
            after = self._spent[place] = before + used
            measure = counter.budget.reached(after)
            if measure and not counter.budget.reached(before):
                yield counter, measure, after
