"""Parses national or international phone numbers from forms to E.164 digits."""

from __future__ import annotations

import re
from functools import cache

import phonenumbers

_WRITTEN = re.compile(r"\+?[0-9][0-9 ().\-/]*", re.ASCII)
NUMBER_LIMIT = 40


def to_e164(written: str, region: str) -> str | None:
    """E.164 digits for `+44 20 7123 4567`, `0044...`, `020 7123 4567` (with region GB) or `442071234567`.

    Without a plus or 00 the number is read as one of `region`; where there is none, or it is none of that country, as
    international digits. None when it can be no number. Whether it may be called the tariff decides, not this.
    """
    text = written.strip()
    if len(text) > NUMBER_LIMIT or not _WRITTEN.fullmatch(text.removeprefix("(")):
        return None
    bare = re.sub(r"[^0-9+]", "", text)
    if bare.startswith("00"):
        bare = "+" + bare[2:]
    if bare.startswith("+"):
        readings = [_read(bare, None)]
    else:
        readings = [_read(bare, region) if region else None, _read("+" + bare, None)]
    # "Possible" goes by length, and that suffices: ranges are assigned faster than any list of them is renewed. The
    # list tells only which of two readings is the likelier.
    possible = [number for number in readings if number is not None and _is_possible(number)]
    number = next(filter(phonenumbers.is_valid_number, possible), possible[0] if possible else None)
    if number is None:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def _read(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None


def _is_possible(number: phonenumbers.PhoneNumber) -> bool:
    reason = phonenumbers.is_possible_number_with_reason(number)
    return bool(reason == phonenumbers.ValidationResult.IS_POSSIBLE)


@cache
def example(region: str) -> str:
    """A number as one would write it in this country; an international one without a country."""
    number = phonenumbers.example_number(region) if region else phonenumbers.example_number("GB")
    if number is None:
        return "+44 20 7946 0958"
    style = (
        phonenumbers.PhoneNumberFormat.NATIONAL if region else phonenumbers.PhoneNumberFormat.INTERNATIONAL
    )
    return phonenumbers.format_number(number, style)


def known_region(region: str) -> bool:
    """Whether numbers of this country can be read."""
    return region in phonenumbers.SUPPORTED_REGIONS
