"""How a trunk writes numbers, and the way from there to E.164 and back.

Inside, every number is E.164 digits without `+`. A trunk has a form: a preset, and rules of its own for what the
preset does not cover. What comes in goes through the rules first, then the preset makes E.164 of it; what goes out is
brought into the form of the preset first, then the rules have the last word.

National forms, and numbers with a `phone-context` (RFC 3966), are read and written by phonenumbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbering import in_full, is_emergency
from stasis_callback.core.numbers import NUMBER_LIMIT, clean, parse_rules, translate
from stasis_callback.core.options import option, parse_values

if TYPE_CHECKING:
    import phonenumbers

Identity = Literal["pai", "from"]
CalledFrom = Literal["uri", "to"]
Notes = list[str] | None
"""Where it is told, if anybody wants to know."""

_DIALLED = re.compile(r"\+?[0-9]{3,32}", re.ASCII)
_SHORT = 6
"""Rules may make an emergency number of this length with digits before it that the carrier takes off: 00112, 9911.

Subscribers' numbers are longer, some in small countries only by a digit.
"""
HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}", re.ASCII)
_CONTEXT = re.compile(r"\+[0-9]{1,15}", re.ASCII)
_rules = lru_cache(1000)(parse_rules)


@dataclass(frozen=True, slots=True)
class NumberForm:
    """How a trunk writes numbers. The texts of rules are as in `parse_rules`."""

    numbers: str = option(
        "e164",
        "Form of the trunk's numbers: e164 (420212345678), +e164 (+420212345678), or national:CC (numbers of this "
        "country as they are dialled there, others with its international prefix).",
    )
    called_in: str = option(
        "",
        "Translation rules for called numbers that come in, before `numbers`; also for a contact that is a word.",
    )
    caller_in: str = option("", "Translation rules for callers' numbers that come in, before `numbers`.")
    called_out: str = option("", "Translation rules for called numbers that go out, after `numbers`.")
    caller_out: str = option("", "Translation rules for caller ids that go out, after `numbers`.")
    identity: Identity = option(
        "pai",
        "Header that is read first for the caller: pai (P-Asserted-Identity, then Remote-Party-ID), or from.",
    )
    called_from: CalledFrom = option(
        "uri",
        "Where the called number is: uri (the request's address; To where that has no number), or to (the reverse).",
    )
    attestation: str = option(
        "",
        "Header of the carrier's own that says how sure it is of the caller's number (STIR/SHAKEN), for example "
        "X-Twilio-VerStat; believed as it is. Empty: only `verstat` counts.",
    )

    def __post_init__(self) -> None:
        """Raises InvalidInput, which says what to write."""
        region = self.region
        if self.numbers not in ("e164", "+e164") and (region is None or not _known(region)):
            raise InvalidInput(
                f"number form {self.numbers!r} is invalid: write e164, +e164, or national: and a country, "
                "for example national:CZ"
            )
        if self.attestation and not HEADER_NAME.fullmatch(self.attestation):
            raise InvalidInput(
                f"{self.attestation!r} is not the name of a header: write, for example, X-Twilio-VerStat"
            )
        for rules in (self.called_in, self.caller_in, self.called_out, self.caller_out):
            _rules(rules)

    @classmethod
    def parse(cls, stored: Mapping[str, str]) -> NumberForm:
        """A form from text values. Raises InvalidInput, which names the invalid one."""
        return cls(**parse_values(cls, stored))

    @property
    def region(self) -> str | None:
        """The country of a national form."""
        form, _, region = self.numbers.partition(":")
        return region if form == "national" else None

    # --- what comes in -----------------------------------------------------------------------------------------

    def called(self, written: str, context: str = "", notes: Notes = None) -> str | None:
        """E.164 digits of a called number that came in; None when it is no number. `notes` tell of each stage."""
        return self._read("called_in", written, context, notes)

    def caller(self, written: str, context: str = "", notes: Notes = None) -> str | None:
        """E.164 digits of a caller's number that came in; None when it is no number."""
        return self._read("caller_in", written, context, notes)

    def _read(self, rules: str, written: str, context: str, notes: Notes) -> str | None:
        number = clean(written)
        if number is None and rules == "called_in" and len(written) <= NUMBER_LIMIT:
            number = written  # a contact's name, of which only a rule can make a number
        if number is None:
            return None
        ruled = translate(_rules(getattr(self, rules)), number)
        if getattr(self, rules):
            _tell(notes, rules, ruled)
        number = clean(ruled)
        if number is None:
            return None
        read = self._of_preset(number, context)
        _tell(notes, self.numbers, read)
        return read or None

    def _of_preset(self, number: str, context: str) -> str:
        if number.startswith("+"):
            return number[1:]
        if _CONTEXT.fullmatch(context):
            return _with_context(number, context[1:])
        if self.region is not None:
            # A national number has its trunk prefix, where the country has one; without it, it is whole.
            whole = in_full(number, self.region) is not False
            return number if whole else _of_region(number, self.region) or number
        return number.removeprefix("00")

    # --- what goes out -----------------------------------------------------------------------------------------

    def dialled(self, number: str, notes: Notes = None) -> str:
        """What the trunk is to dial for E.164 digits: 3 to 32 digits after an optional `+` (a carrier's own prefix
        may come on top of E.164's 15); "" when the rules leave something else or an emergency number, or it is no
        number.
        """
        dialled = self._write("called_out", number, notes)
        bare = dialled.removeprefix("+")
        if is_emergency(bare, self.region or "") or (self.called_out and _hides_emergency(bare)):
            return ""
        return dialled

    def shown(self, number: str, notes: Notes = None) -> str:
        """The caller id in the trunk's form; "" when the rules leave nothing that can be shown."""
        return self._write("caller_out", number, notes)

    def _write(self, rules: str, number: str, notes: Notes) -> str:
        if self.region is not None:
            number = _to_region(number, self.region)
        elif self.numbers == "+e164" and number:
            number = f"+{number}"
        _tell(notes, self.numbers, number)
        written = translate(_rules(getattr(self, rules)), number)
        if getattr(self, rules):
            _tell(notes, rules, written)
        return written if _DIALLED.fullmatch(written) else ""


NUMBER_FORM_NAMES = frozenset(f.name for f in fields(NumberForm))


def _hides_emergency(written: str) -> bool:
    """Whether a number that rules have made is, or ends with, an emergency number of any country."""
    return len(written) <= _SHORT and any(is_emergency(written[digits:]) for digits in range(_SHORT - 2))


def _tell(notes: Notes, stage: str, result: str) -> None:
    if notes is not None:
        notes.append(f"{stage} makes {result or 'nothing'} of it")


# --- phonenumbers: loaded only where a trunk needs it, since that takes a tenth of a second ----------------------


def _known(region: str) -> bool:
    import phonenumbers

    return region in phonenumbers.SUPPORTED_REGIONS


def _of_region(number: str, region: str) -> str | None:
    """E.164 digits of a number as it is dialled in a country; None when it is none (`112`)."""
    return _digits(_parsed(number, region))


def _with_context(number: str, context: str) -> str:
    """E.164 digits of a number to which a global prefix belongs.

    Some networks add the prefix to numbers that have it already: then it does not count twice.
    """
    import phonenumbers

    region = phonenumbers.region_code_for_country_code(int(context))
    read = None if region == "ZZ" else _of_region(number, region)
    return read or _digits(_parsed(f"+{context}{number}", None)) or context + number


def _to_region(number: str, region: str) -> str:
    """E.164 digits as they are dialled in a country; "" if they are not a number."""
    import phonenumbers

    parsed = _parsed(f"+{number}", None)
    if parsed is None:
        return ""
    if parsed.country_code == phonenumbers.country_code_for_region(region):
        written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    else:
        written = phonenumbers.format_out_of_country_calling_number(parsed, region)
    return re.sub(r"[^0-9+]", "", written)


def _parsed(number: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    import phonenumbers

    try:
        return phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None


def _digits(number: phonenumbers.PhoneNumber | None) -> str | None:
    """E.164 digits of a number of a possible length; None of others."""
    import phonenumbers

    # Not `is_possible_number`: it also takes numbers that can be dialled in a town only.
    reason = number and phonenumbers.is_possible_number_with_reason(number)
    if number is None or reason != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]
