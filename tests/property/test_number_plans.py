"""Our compiled number plans say what phonenumbers says."""

from __future__ import annotations

import random

import phonenumbers
from phonenumbers import PhoneNumberType, ValidationResult

from stasis_callback.core.number_plans import emergency_lengths, taken_apart
from stasis_callback.core.numbering import CALLING_CODES, is_emergency

SAME = {PhoneNumberType.FIXED_LINE_OR_MOBILE: PhoneNumberType.FIXED_LINE}
"""We do not tell fixed lines from lines that may be either."""


def test_numbers_of_every_country_are_read_as_the_library_reads_them() -> None:
    rng = random.Random(4711)
    compared = 0
    for code in CALLING_CODES:
        for _ in range(12):
            number = f"{code}" + "".join(rng.choices("0123456789", k=rng.randrange(4, 13)))
            apart = taken_apart(number)
            if apart is None:
                continue
            plan, national = apart
            parsed = phonenumbers.parse("+" + number)
            assert phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == "+" + number
            possible = phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE
            assert (len(national) in plan.lengths) == possible, number
            their_type = phonenumbers.number_type(parsed)
            region, our_type = plan.find(national)
            assert our_type == SAME.get(their_type, their_type), number
            assert region == (phonenumbers.region_code_for_number(parsed) or ""), number
            compared += 1
    assert compared > 1000


def test_the_examples_of_every_country_are_found() -> None:
    for region in phonenumbers.SUPPORTED_REGIONS:
        for number_type in PhoneNumberType.values():
            example = phonenumbers.example_number_for_type(region, number_type)
            if example is None:
                continue
            digits = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)[1:]
            apart = taken_apart(digits)
            if apart is not None:
                their_type = phonenumbers.number_type(example)
                assert apart[0].find(apart[1])[1] == SAME.get(their_type, their_type), digits


def test_emergency_numbers_have_the_lengths_that_are_said() -> None:
    assert emergency_lengths("GB") == {3}
    assert is_emergency("112")
    assert not is_emergency("4420712345")
