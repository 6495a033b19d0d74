"""What the rates of a tariff do not sell although their prefix fits: found by an example of each kind of number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypedDict

from stasis_callback.core.kinds import Kind
from stasis_callback.core.numbering import (
    CALLING_CODES,
    EMERGENCY_DIGITS,
    Example,
    examples,
    is_emergency,
    nobody_has,
    sells,
)
from stasis_callback.core.rating import Rate


class Unsold(TypedDict):
    """Numbers under a prefix that its rate does not sell: in which countries (ISO 3166), and one of them."""

    prefix: str
    kind: Kind
    countries: list[str]
    example: str


def unsold(read: Callable[[], Iterable[Rate]], opened: str) -> list[Unsold]:
    """What the rates that `read` reads, together a price list, do not sell, by prefix and kind.

    They are read twice and only those kept that an example begins with.
    """
    heads = {rate.prefix[:3] for rate in read() if not rate.discontinued}
    looked_up = list(_examples(heads))
    needed = {one.number[:digits] for one in looked_up for digits in range(1, len(one.number) + 1)}
    by_prefix = {rate.prefix: rate for rate in read() if rate.prefix in needed and not rate.discontinued}
    found: dict[tuple[str, Kind], Unsold] = {}
    for one in looked_up:
        rate = _longest(by_prefix, one.number)
        if rate is None or rate.forbidden or sells(rate.prefix, one.number, opened):
            continue
        row = found.setdefault(
            (rate.prefix, one.kind),
            Unsold(prefix=rate.prefix, kind=one.kind, countries=[], example=one.number),
        )
        if one.country and one.country not in row["countries"]:
            row["countries"].append(one.country)
    return [found[key] for key in sorted(found)]


def _examples(heads: Collection[str]) -> Iterator[Example]:
    """Those of the calling codes that prefixes with these first three digits have to do with."""
    codes = {head[:digits] for head in heads for digits in (1, 2, 3)}
    for code in CALLING_CODES:
        text = str(code)
        if text in codes or any(text[:digits] in heads for digits in (1, 2)):
            yield from examples(code)


def note(rows: list[Unsold]) -> str:
    """A sentence for who has imported such rates; "" when there is nothing to say."""
    if not rows:
        return ""
    first = next((row for row in rows if row["kind"] is Kind.OTHER_COUNTRY), rows[0])
    what = f"in {first['countries'][0]}" if first["kind"] is Kind.OTHER_COUNTRY else f"({first['kind']})"
    prefixes = len({row["prefix"] for row in rows})
    return (
        f"note: {prefixes} of the prefixes do not sell all numbers that begin with them; for example, the rate for "
        f"{first['prefix']} does not sell {first['example']} {what}: see `rate check`"
    )


def never_called(prefix: str) -> bool:
    """Whether a rate for this prefix can never be used: no number begins with 0, emergency numbers are not called."""
    return prefix.startswith("0") or (len(prefix) <= EMERGENCY_DIGITS and _only_emergency(prefix))


def _only_emergency(prefix: str) -> bool:
    """Whether a prefix is an emergency number somewhere and begins no other: 91 does, it is India's country code."""
    return is_emergency(prefix) and nobody_has(prefix)


def prefix_note(prefix: str, own: Collection[str]) -> str:
    """A sentence for who adds a rate under which no call is ever made, else "". `own` are access numbers."""
    if _only_emergency(prefix):
        return f"note: {prefix} is an emergency number, and those are never called"
    if prefix in own:
        return f"note: {prefix} is an access number of this service, and those are never called"
    if nobody_has(prefix):
        return f"note: no phone number is known that begins with {prefix}: check the country code"
    return ""


def _longest(by_prefix: Mapping[str, Rate], number: str) -> Rate | None:
    lengths = range(len(number), 0, -1)
    return next((by_prefix[number[:n]] for n in lengths if number[:n] in by_prefix), None)
