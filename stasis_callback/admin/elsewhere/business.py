"""A business as it is moved in, in our words, whatever it was called where it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from stasis_callback.admin.days import until_us
from stasis_callback.admin.elsewhere.dumps import Row
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount, parse_amount
from stasis_callback.core.numbering import is_emergency, read_stated
from stasis_callback.core.numbers import checked_prefix
from stasis_callback.core.rating import Rate

KEYS_LIMIT = 2
NAMED_ROWS = 100
"""So many bad rows of a table are named one by one, the others counted."""


@dataclass
class Person:
    """A subscriber: one customer with one account."""

    key: str
    """Names it for ever in its old system: its money is moved in once."""
    number: str
    name: str
    tariff: str
    balance_micros: int
    credit_limit_micros: int = 0
    callers: list[str] = field(default_factory=list)
    speed_dials: dict[str, str] = field(default_factory=dict)
    language: str = ""
    blocked: bool = False
    expires_at_us: int | None = None
    simultaneous_calls: int = 1


@dataclass
class Business:
    """What is moved in, and in `left` what is not, a sentence each, with how often."""

    system: str
    currency: str
    tariffs: dict[str, dict[str, Rate]] = field(default_factory=dict)
    """The rates of each tariff, by prefix."""
    people: list[Person] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    bad_rows: Counter[str] = field(default_factory=Counter)
    """How many rows of each table have a value that cannot be used."""

    def amount(self, text: str) -> int:
        """An amount of the old system in micros; a seventh decimal is rounded down."""
        whole, point, decimals = (text or "0").strip().partition(".")
        return parse_amount(f"{whole or '0'}.{decimals[:6] or '0'}" if point else whole)

    def caller(self, text: str, region: str) -> str:
        """A caller's number in E.164; "" is left out."""
        number = read_stated(text, region) or ""
        if not number:
            self.left["caller ids that are no phone numbers (anonymous, names, too short)"] += 1
        return number

    def dials(self, rows: Iterable[Row], region: str) -> dict[str, str]:
        """Speed dials of one subscriber: numbers in E.164 by their one or two digits."""
        found: dict[str, str] = {}
        for row in rows:
            number, key = read_stated(row["phone"], region), row["speeddial"]
            is_key = key.isascii() and key.isdigit() and len(key) <= KEYS_LIMIT
            if number and is_key and not is_emergency(number):
                found[key] = number
            else:
                self.left["speed dials that are not one or two digits for a phone number"] += 1
        return found

    @contextmanager
    def leaving_out(self, table: str, row: Row) -> Iterator[None]:
        """What the block does with a row is left out, and said, when a value of it cannot be used."""
        try:
            yield
        except InvalidInput as error:
            self.bad_rows[table] += 1
            named = f"{table} row {row.get('id') or '?'}: {error}"
            further = f"further rows of {table} with values that cannot be used"
            self.left[named if self.bad_rows[table] <= NAMED_ROWS else further] += 1

    def rate(self, prefix: str, row: Row, unsaid: Mapping[str, str]) -> Rate | None:
        """The rate of a row of A2Billing's ratecards, or of MagnusBilling's rates, which have its columns.

        None for a prefix that is none. `unsaid` are columns that our rates do not have, and what to say of them.
        Raises InvalidInput when a value cannot be used.
        """
        if not (prefix.isascii() and prefix.isdigit()):
            self.left[f"rates whose prefix is no digits ({prefix or 'empty'})"] += 1
            return None
        price = self.amount(row["rateinitial"])
        rate = Rate(
            checked_prefix(prefix),
            connect_fee_micros=self.amount(row["connectcharge"]),
            first_interval_s=whole(row["initblock"]) or 1,
            first_price_micros=price,
            next_interval_s=whole(row["billingblock"]) or 1,
            next_price_micros=price,
        )
        said = [what for column, what in unsaid.items() if self.amount(row.get(column, ""))]
        self.left.update(said)
        return rate

    def debt(self, person: Person) -> None:
        """A prepaid account below zero begins with nothing: we have no such accounts."""
        if person.balance_micros + person.credit_limit_micros < 0:
            owed = format_amount(-person.balance_micros, self.currency)
            self.left[f"debt of {owed} of the prepaid account {person.number}, which opens with 0"] += 1
            person.balance_micros = 0


def whole(text: str) -> int:
    """A whole number of the old system. Raises InvalidInput."""
    try:
        return int(text or "0")
    except ValueError:
        raise InvalidInput(f"{text[:40]!r} is not a whole number") from None


def end_of_day_us(text: str) -> int | None:
    """The end of a day written as `2027-12-31` or `2027-12-31 00:00:00`, the operator's; None for 0000-00-00."""
    try:
        return until_us(text[:10])
    except InvalidInput:
        return None


def named(row: Row, number: str, otherwise: str = "") -> str:
    """What a subscriber's customer is called: by name, with the account id, which makes it unique."""
    name = " ".join(filter(None, (row["firstname"], row["lastname"]))) or otherwise
    return f"{name} ({number})" if name else number


def grouped(rows: list[Row], by: str, keep: Callable[[Row], bool]) -> dict[str, list[Row]]:
    """Rows by the value of a column."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if keep(row):
            found.setdefault(row[by], []).append(row)
    return found
