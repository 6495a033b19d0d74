"""Telephone numbers as people write them, and what kind of number each is. Built on phonenumbers.

`read_number` is the only reader: forms, the API, mails, commands and the keypad all use it. `kind_of` and `sells` say
whether a number may be called at the expense of a rate. Numbers are digits in E.164 form (ITU-T E.164) unless said
otherwise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType, shortnumberinfo

from stasis_callback.core.kinds import OPENABLE, Kind, parse_kinds
from stasis_callback.core.number_plans import (
    CALLING_CODE_DIGITS,
    emergency_lengths,
    may_have_length,
    taken_apart,
)
from stasis_callback.core.numbers import is_dialable

# --- reading -------------------------------------------------------------------------------------------------

TEXT_LIMIT = 128
DIGITS_LIMIT = 32

_WRITTEN = re.compile(r"\(?\+? ?[(]?[0-9][0-9 ().\-/]*")
_SCHEME = re.compile(r"(?:tel|callto):", re.IGNORECASE)
_EXTENSION = re.compile(r"(?:;(?:ext|isub)=[0-9().\-]+)+$", re.IGNORECASE)
"""Parameters of a `tel:` address that do not belong to the number (RFC 3966)."""
_BULLETS = "•‣·*–—-\"' "
_QUOTES = "\"' "
_MARKS = {"So", "Pi", "Pf", "Ps"}
"""Categories of what stands before pasted numbers: pictures and quotation marks."""
_TRUNK_ZERO = "(0)"
NANP = 1
"""The calling code of North America."""
_WHOLE_DIGITS = 11
"""Hardly a country's own numbers are of this length as they are dialled there, but for mobile ones (China)."""
_MOBILE = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE)
_PLUS = "+＋﹢"
_MORE_PREFIXES = {"ID": "00[17]|01017"}
"""International prefixes of carriers that phonenumbers does not know."""
_SPACES_AND_DASHES = {"Zs": " ", "Zl": " ", "Zp": " ", "Cc": "\0", "Pd": "-"}


@lru_cache(maxsize=2_000)
def read_number(written: str, region: str = "") -> str | None:
    """E.164 digits for `+44 (0)20 7123 4567`, `tel:+44…`, `020 7123 4567` (region GB), `442071234567`; None if none.

    A number is read as somebody in `region` would dial it, with that country's own international and carrier
    prefixes; where that makes no number, or there is no region, as international digits, with `00` or `011` for the
    plus. What may be either (`in_full`) is none: somebody else would be called. Digits that can be no number of any
    country are given back as they are: `kind_of` says what they are, an emergency number for example.
    """
    text = _folded(written)
    if text is None:
        return None
    bare = re.sub(r"[^0-9]", "", text)
    if region and "+" not in text and in_full(bare, region) is None:
        return None
    behind_prefix = bare if "+" in text else _without_prefix(bare, region)
    if behind_prefix != bare and is_emergency(behind_prefix):
        return behind_prefix
    possible = [
        number
        for one in _without_trunk_zero(text)
        for number in _readings(one, region)
        if _is_possible(number)
    ]
    number = next(filter(phonenumbers.is_valid_number, possible), possible[0] if possible else None)
    if number is not None:
        return _settled(number)
    if is_emergency(bare):
        return bare
    if not is_dialable(bare) or bare[0] == "0":
        return None
    # Digits alone may be an extension of ours. With a plus they say that they are whole.
    return None if "+" in text and kind_of(bare) is Kind.IMPOSSIBLE else bare


def read_stated(written: str, region: str = "") -> str | None:
    """The same of a number that a gateway or another system states: where digits may be either, they are whole."""
    return read_number(written, region) or read_number(written)


def read_beginning(written: str) -> str | None:
    """The digits with which numbers in E.164 begin: `+44 20`, `004420`, `4420`; None if no number begins so."""
    bare = re.sub(r"[ +]", "", written) if re.fullmatch(r"\+?[0-9 ]+", written, re.ASCII) else ""
    found = bare if written.startswith("+") else _without_prefix(bare, "")
    return found if found and found[0] != "0" else None


def _without_prefix(bare: str, region: str) -> str:
    """The digits without what one dials in this country before a number abroad."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region or "ZZ", None)
    prefix = metadata.international_prefix if metadata else "00|011"
    return re.sub(rf"^(?:{prefix})", "", bare)


def _folded(written: str) -> str | None:
    """The text in ASCII, or None for what nobody writes into a number. Digits of all scripts are digits."""
    if len(written) > TEXT_LIMIT:
        return None
    folded = "".join(map(_ascii, _without_marks(written))).strip().lstrip(_BULLETS)
    bare, schemes = _SCHEME.subn("", folded, count=1)
    folded = (_EXTENSION.sub("", bare) if schemes else bare).strip()
    if not _WRITTEN.fullmatch(folded) or sum(map(str.isdigit, folded)) > DIGITS_LIMIT:
        return None
    return folded


def _without_marks(written: str) -> str:
    """Without white space, pictures, bullets and quotation marks around it; a bracket may belong to the number."""
    text = "".join(c for c in written if not "\ufe00" <= c <= "\ufe0f").strip()  # how an emoji is to look
    while text and _is_mark(text[0]):
        rest = text[1:].lstrip()
        # A picture may be what a broken digit looks like: only a plus says that the number begins behind it.
        if unicodedata.category(text[0]) == "So" and rest[:1] not in tuple(_PLUS):
            break
        text = rest
    while text and (text[-1] in _QUOTES or unicodedata.category(text[-1]) in ("Pi", "Pf")):
        text = text[:-1].rstrip()
    return text


def _is_mark(character: str) -> bool:
    # U+FFFD stands for what could not be decoded: it may have been a digit.
    if character in _BULLETS:
        return True
    return character not in "([（\ufffd" and unicodedata.category(character) in _MARKS


def _ascii(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if character in _PLUS:
        return "+"
    if "！" <= character <= "～":  # the full-width forms of ASCII
        return unicodedata.normalize("NFKC", character)
    category = unicodedata.category(character)
    if category == "Cf":  # marks of writing direction, soft hyphens: nothing that is seen
        return ""
    return "-" if character == "−" else _SPACES_AND_DASHES.get(category, character)


def _without_trunk_zero(text: str) -> Iterator[str]:
    """The text, and without the zero in brackets: Italy and some others dial it also from abroad, most do not."""
    for one in dict.fromkeys((text, text.replace(_TRUNK_ZERO, ""))):
        yield re.sub(r"[^0-9+]", "", one)


def _readings(bare: str, region: str) -> Iterator[phonenumbers.PhoneNumber]:
    """What `bare`, digits after an optional plus, may stand for, the likeliest first."""
    own_prefix = re.match(_MORE_PREFIXES.get(region, "(?!)"), bare)
    if bare.startswith("+"):
        attempts: list[tuple[str, str | None]] = [(bare, None)]
    elif own_prefix:
        attempts = [("+" + bare[own_prefix.end() :], None)]
    elif region:
        attempts = [(bare, region), ("+" + bare, None)]
        if in_full(bare, region):
            attempts.reverse()
    else:
        attempts = [("+" + re.sub(r"^(?:00|011)", "", bare), None)]
    for text, country in attempts:
        number = _parsed(text, country)
        if number is not None:
            yield number


@lru_cache(maxsize=2_000)
def in_full(digits: str, region: str) -> bool | None:
    """Whether digits without a plus are a whole international number, and not one as it is dialled in `region`.

    `4915123456789` is whole in Germany, where 0 is dialled before a number of one's own country. None where they may
    be either: `15123456789` is one of Texas, or of Germany without its 0.
    """
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    whole, national = _parsed(f"+{digits}"), _parsed(digits, region)
    if metadata is None or whole is None or not phonenumbers.is_valid_number(whole):
        return False
    if national is None or not phonenumbers.is_valid_number(national):
        return True
    prefixes = (
        metadata.international_prefix,
        metadata.national_prefix if metadata.country_code != NANP else None,
    )
    if any(prefix and re.match(prefix, digits) for prefix in prefixes):
        return False
    if whole.country_code == metadata.country_code:
        return True
    dialled = phonenumbers.format_number(national, PhoneNumberFormat.NATIONAL)
    if re.sub(r"[^0-9]", "", dialled) != digits:
        return None
    long = len(digits) >= _WHOLE_DIGITS and phonenumbers.number_type(national) not in _MOBILE
    return None if long else False


def _parsed(text: str, region: str | None = None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None


def _is_possible(number: phonenumbers.PhoneNumber) -> bool:
    # By length: a number that is dialled only within its town ("possible, local only") is none here.
    reason = phonenumbers.is_possible_number_with_reason(number)
    return bool(reason == phonenumbers.ValidationResult.IS_POSSIBLE) and is_dialable(_digits(number))


def _digits(number: phonenumbers.PhoneNumber) -> str:
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164)).removeprefix("+")


def _settled(number: phonenumbers.PhoneNumber) -> str | None:
    """The digits, if they are read as themselves; else what they are read as, until nothing changes any more."""
    digits = _digits(number)
    for _ in range(3):
        again = _parsed("+" + digits)
        if again is None or not _is_possible(again):
            return None
        if _digits(again) == digits:
            return digits
        digits = _digits(again)
    return None


def known_region(region: str) -> bool:
    """Whether numbers of this country can be read."""
    return region in phonenumbers.SUPPORTED_REGIONS


def calling_code(region: str) -> str:
    """The code with which international numbers of this country begin: 420 for CZ; "" if the country is not known."""
    return str(phonenumbers.country_code_for_region(region) or "")


@cache
def example(region: str) -> str:
    """A number as one would write it in this country; an international one without a country."""
    number = phonenumbers.example_number(region or "GB")
    if number is None:
        return "+44 20 7946 0958"
    return str(
        phonenumbers.format_number(
            number, PhoneNumberFormat.NATIONAL if region else PhoneNumberFormat.INTERNATIONAL
        )
    )


@cache
def international_example(region: str) -> str:
    """A number of this country as one would write it abroad."""
    number = phonenumbers.example_number(region)
    return str(phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)) if number else example("")


@cache
def calling_codes() -> tuple[tuple[str, str], ...]:
    """The countries (ISO 3166) and their calling codes."""
    return tuple(
        (region, str(phonenumbers.country_code_for_region(region)))
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    )


# --- kinds ---------------------------------------------------------------------------------------------------

_KIND_OF_TYPE = {
    PhoneNumberType.PREMIUM_RATE: Kind.PREMIUM,
    PhoneNumberType.SHARED_COST: Kind.SHARED_COST,
    PhoneNumberType.PERSONAL_NUMBER: Kind.PERSONAL,
    PhoneNumberType.PAGER: Kind.PERSONAL,
    PhoneNumberType.UNKNOWN: Kind.UNASSIGNED,
}
_KIND_OF_CODE = {
    870: Kind.SATELLITE,
    878: Kind.PERSONAL,
    881: Kind.SATELLITE,
    882: Kind.SATELLITE,
    883: Kind.SATELLITE,
}
"""Calling codes of no country (ITU-T E.164, list of assigned codes) whose type says something else, or nothing."""
_SOLD_WITH = {1: ("US", "CA"), 7: ("RU",), 44: ("GB",)}
"""Calling codes that countries of very different prices share, and those that a rate for the code alone is for.

Elsewhere (39, 47, 61, 212, 262, 358, 590, 599) all that share a code are reached at about one price.
"""
EMERGENCY_DIGITS = 6
_SHORTEST_ABROAD = 7
"""Digits of an international number; a shorter one of no country is a mistyped number, not an unassigned range."""


@lru_cache(maxsize=20_000)
def kind_of(number: str) -> Kind:
    """The kind of a number in E.164 digits.

    Impossible goes by length, unassigned by the library's list of ranges: that is younger than the release of it, so
    operators can open a tariff for what it does not know.
    """
    if is_emergency(number):
        return Kind.EMERGENCY
    if not is_dialable(number) or number.startswith("0"):
        return Kind.IMPOSSIBLE
    return _kind_by_plan(number)


def _kind_by_plan(number: str) -> Kind:
    """The kind of a dialable number that is not an emergency number."""
    apart = taken_apart(number)
    if apart is not None:
        plan, national = apart
        if len(national) not in plan.lengths:
            return Kind.IMPOSSIBLE
        return _kind_in(plan.code, *plan.find(national))
    parsed = _parsed("+" + number)
    if parsed is None:
        return Kind.UNASSIGNED if len(number) >= _SHORTEST_ABROAD else Kind.IMPOSSIBLE
    if _digits(parsed) != number or not _is_possible(parsed):
        return Kind.IMPOSSIBLE
    region = phonenumbers.region_code_for_number(parsed)
    return _kind_in(parsed.country_code or 0, region or "", phonenumbers.number_type(parsed))


@lru_cache(maxsize=20_000)
def country_of(number: str) -> str:
    """The country of a number in E.164 digits (ISO 3166); "" for one that belongs to none."""
    apart = taken_apart(number)
    if apart is not None:
        plan, national = apart
        found = plan.find(national)[0]
    else:
        parsed = _parsed("+" + number)
        found = phonenumbers.region_code_for_number(parsed) or "" if parsed else ""
    return found if found in phonenumbers.SUPPORTED_REGIONS else ""


def _kind_in(calling_code: int, region: str, number_type: int) -> Kind:
    """The kind of a number that is possible."""
    kind = _KIND_OF_TYPE.get(number_type, Kind.ORDINARY)
    kind = _KIND_OF_CODE.get(calling_code, kind)
    sold_with = _SOLD_WITH.get(calling_code)
    if kind is Kind.ORDINARY and sold_with and region not in sold_with:
        return Kind.OTHER_COUNTRY
    return kind


@lru_cache(maxsize=20_000)
def is_emergency(digits: str, region: str = "") -> bool:
    """Whether these digits, alone or behind a calling code, are an emergency number of some country.

    Of any country: who keys 112 or 911 means the nearest, wherever our carrier is. With a `region` they are as they
    are written in that country: what is an emergency number elsewhere may be a subscriber there.
    """
    if region:
        return _is_emergency_in(digits, [region])
    if len(digits) > EMERGENCY_DIGITS + CALLING_CODE_DIGITS:
        return False
    if len(digits) <= EMERGENCY_DIGITS and _is_emergency_in(digits, phonenumbers.SUPPORTED_SHORT_REGIONS):
        return True
    for length in range(1, min(CALLING_CODE_DIGITS, len(digits) - 1) + 1):
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length]), ())
        rest = digits[length:]
        if digits[0] != "0" and len(rest) <= EMERGENCY_DIGITS and _is_emergency_in(rest, regions):
            return True
    return False


def _is_emergency_in(digits: str, regions: Iterable[str]) -> bool:
    return any(
        len(digits) in emergency_lengths(region) and shortnumberinfo.is_emergency_number(digits, region)
        for region in regions
    )


# --- what a rate sells ---------------------------------------------------------------------------------------


def sells(prefix: str, number: str, opened: str = "") -> bool:
    """Whether a rate for `prefix`, of a tariff opened for these kinds, is meant for `number`, which begins with it.

    For ordinary numbers it is. For others only if the rate names them on purpose: nothing ordinary begins with its
    prefix. An emergency number is never sold.
    """
    kind = kind_of(number)
    if kind is Kind.ORDINARY:
        return True
    if kind is Kind.EMERGENCY:
        return False
    return kind in parse_kinds(opened) or names(prefix, number, kind)


def names(prefix: str, number: str, kind: Kind) -> bool:
    """Whether a prefix is meant for numbers like this one, of a kind that is not ordinary: nothing ordinary begins
    with it.
    """
    return _names(prefix, len(number), kind)


_TRIED_DIGITS = 3
_FILLING = "2"
_HARMLESS = frozenset((Kind.UNASSIGNED, Kind.IMPOSSIBLE))


@lru_cache(maxsize=4_000)
def _names(prefix: str, length: int, kind: Kind) -> bool:
    """Whether a prefix is meant for numbers of this kind, found out by trying numbers of all lengths below it."""
    if kind is Kind.IMPOSSIBLE and len(prefix) < length:
        return False
    others = [(one, 2) for one in range(max(len(prefix) + 1, _SHORTEST_ABROAD), 16) if one != length]
    for of_length, digits in [(length, _TRIED_DIGITS), *others]:
        found = _kinds_below(prefix, of_length, digits)
        if Kind.ORDINARY in found or (kind in _HARMLESS and not found <= _HARMLESS):
            return False
    return True


def nobody_has(prefix: str) -> bool:
    """Whether no assigned phone number begins with this prefix: its country does not exist, or it is too long."""
    return _names(prefix, max(len(prefix), _SHORTEST_ABROAD), Kind.UNASSIGNED)


@lru_cache(maxsize=20_000)
def _kinds_below(prefix: str, length: int, digits: int) -> frozenset[Kind]:
    """The kinds of numbers of this length below a prefix, by all `digits` behind it; ordinary ends the search."""
    may_be_emergency = length <= EMERGENCY_DIGITS + CALLING_CODE_DIGITS
    if not may_be_emergency and not may_have_length(prefix, length):
        return frozenset((Kind.IMPOSSIBLE,))
    look = kind_of.__wrapped__ if may_be_emergency or prefix.startswith("0") else _kind_by_plan
    found = set()
    for tried in product("0123456789", repeat=max(min(length - len(prefix), digits), 0)):
        found.add(look((prefix + "".join(tried)).ljust(length, _FILLING)))
        if Kind.ORDINARY in found:
            break
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Example:
    """A number of a range that a rate sells only by naming it. `country` is an ISO 3166 code, "" for none."""

    kind: Kind
    country: str
    number: str


CALLING_CODES = tuple(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))


@cache
def examples(calling_code: int) -> tuple[Example, ...]:
    """A number of each kind of range of each country of a calling code."""
    found = []
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[calling_code]:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            found.append(("", phonenumbers.example_number_for_non_geo_entity(calling_code)))
            continue
        for of_type in (*_KIND_OF_TYPE, PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE):
            found.append((region, phonenumbers.example_number_for_type(region, of_type)))
    known: dict[str, str] = {}
    for region, number in found:  # the main country of a code comes first
        if number is not None:
            known.setdefault(_digits(number), region)
    kinds = ((kind_of(number), region, number) for number, region in known.items())
    return tuple(Example(*one) for one in kinds if one[0] in OPENABLE and one[0] is not Kind.UNASSIGNED)
