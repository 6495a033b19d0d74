"""The number plans of phonenumbers with their patterns compiled once: for what looks at many numbers in a row.

The answers are those of its `parse`, `number_type`, `region_code_for_number` and `is_possible_number_with_reason` (a
test compares them), in a tenth of the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberDesc, PhoneNumberType

CALLING_CODE_DIGITS = 3
_NEVER = "(?!)"
_TYPES = (
    (PhoneNumberType.PREMIUM_RATE, "premium_rate"),
    (PhoneNumberType.TOLL_FREE, "toll_free"),
    (PhoneNumberType.SHARED_COST, "shared_cost"),
    (PhoneNumberType.VOIP, "voip"),
    (PhoneNumberType.PERSONAL_NUMBER, "personal_number"),
    (PhoneNumberType.PAGER, "pager"),
    (PhoneNumberType.UAN, "uan"),
    (PhoneNumberType.VOICEMAIL, "voicemail"),
    (PhoneNumberType.FIXED_LINE, "fixed_line"),
    (PhoneNumberType.MOBILE, "mobile"),
)
"""In the order in which they are looked at: the first that fits is the type. Fixed lines that may be mobile ones are
not told apart from other fixed lines.
"""


Fits = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Country:
    """The ranges of one country. `leads` finds its numbers among those of its calling code, if any digits do."""

    region: str
    leads: Fits | None
    fits: Fits
    """Whether a number is in any range at all."""
    ranges: Mapping[int, tuple[tuple[int, Fits], ...]]
    """The types of numbers by their length, and the pattern of each."""

    def type_of(self, national: str) -> int:
        """The PhoneNumberType; UNKNOWN for what is in no range."""
        ranges = self.ranges.get(len(national), ())
        if ranges and self.fits(national):
            for number_type, fits in ranges:
                if fits(national):
                    return number_type
        return PhoneNumberType.UNKNOWN


@dataclass(frozen=True, slots=True)
class CallingCode:
    """The countries of a calling code, the main one first."""

    code: int
    lengths: frozenset[int]
    begins_otherwise: Fits
    """Whether digits begin with the prefix of national calls, which is not part of the number."""
    countries: tuple[Country, ...]

    def find(self, national: str) -> tuple[str, int]:
        """The country of a number ("" for none) and its type."""
        if len(self.countries) == 1:
            (only,) = self.countries
            return only.region, only.type_of(national)
        for country in self.countries:
            if country.leads is not None:
                if country.leads(national):
                    return country.region, country.type_of(national)
            elif (found := country.type_of(national)) != PhoneNumberType.UNKNOWN:
                return country.region, found
        return "", PhoneNumberType.UNKNOWN


def taken_apart(number: str) -> tuple[CallingCode, str] | None:
    """The calling code of a number in E.164 digits, and the digits behind it.

    None where `phonenumbers.parse` may read it otherwise: there is no such code, or what follows begins with a zero
    or the prefix of national calls.
    """
    plan = _plan_of(number)
    if plan is None:
        return None
    national = number[len(str(plan.code)) :]
    plain = len(national) > 1 and national[0] != "0" and not plan.begins_otherwise(national)
    return (plan, national) if plain else None


def may_have_length(prefix: str, length: int) -> bool:
    """Whether a number that begins with a prefix may have this number of digits, as far as its calling code tells."""
    plan = _plan_of(prefix)
    return plan is None or length - len(str(plan.code)) in plan.lengths


def _plan_of(number: str) -> CallingCode | None:
    for digits in range(1, min(CALLING_CODE_DIGITS, len(number)) + 1):
        plan = _plan(number[:digits])
        if plan is not None:
            return plan
    return None


@cache
def emergency_lengths(region: str) -> frozenset[int]:
    """How many digits the emergency numbers of a country have."""
    metadata = PhoneMetadata.short_metadata_for_region(region)
    return frozenset(metadata.emergency.possible_length) if metadata and metadata.emergency else frozenset()


@lru_cache(maxsize=2_000)
def _plan(calling_code: str) -> CallingCode | None:
    code = int(calling_code)
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code)
    if regions is None or str(code) != calling_code:
        return None
    every = [(region, PhoneMetadata.metadata_for_region_or_calling_code(code, region)) for region in regions]
    main = every[0][1]
    general = main.general_desc if main else None
    if main is None or general is None:
        return None
    return CallingCode(
        code=code,
        lengths=frozenset(general.possible_length) - frozenset(general.possible_length_local_only),
        begins_otherwise=re.compile(main.national_prefix_for_parsing or _NEVER).match,
        countries=tuple(
            _country(region, metadata, metadata.general_desc)
            for region, metadata in every
            if metadata is not None and metadata.general_desc is not None
        ),
    )


def _country(region: str, metadata: PhoneMetadata, general: PhoneNumberDesc) -> Country:
    described = [(number_type, getattr(metadata, name)) for number_type, name in _TYPES]
    # A range that names no lengths has those of the country.
    ranges = [
        (number_type, one, one.possible_length or general.possible_length)
        for number_type, one in described
        if one
    ]
    return Country(
        region=region,
        leads=re.compile(metadata.leading_digits).match if metadata.leading_digits is not None else None,
        fits=_fits(general),
        ranges={
            length: tuple(
                (number_type, _fits(one)) for number_type, one, lengths in ranges if length in lengths
            )
            for length in general.possible_length
        },
    )


def _fits(described: PhoneNumberDesc) -> Fits:
    return re.compile(described.national_number_pattern or _NEVER).fullmatch
