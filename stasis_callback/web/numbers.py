"""What people write into a number field, in national or international form, as E.164 digits."""

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
        return _read(bare, None)
    return (_read(bare, region) if region else None) or _read("+" + bare, None)


def _read(text: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    # "Possible" goes by length. Whether a range is assigned changes faster than any list of ranges.
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


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
