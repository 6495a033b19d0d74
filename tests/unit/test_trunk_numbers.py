"""How trunks write numbers: to E.164 and back."""

from __future__ import annotations

import phonenumbers
import pytest

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.trunk_numbers import NumberForm
from stasis_callback.core.withheld import HIDDEN, KEYED, hidden, withheld

CZ, GB, US, IT = (NumberForm(f"national:{region}") for region in ("CZ", "GB", "US", "IT"))
E164, PLUS = NumberForm(), NumberForm("+e164")


@pytest.mark.parametrize(
    ("form", "written", "context", "read"),
    [
        (E164, "420800123456",    "",       "420800123456"),
        (E164, "+420800123456",   "",       "420800123456"),
        (E164, "00420800123456",  "",       "420800123456"),
        (E164, "0800123456",      "",       "0800123456"),
        (PLUS, "420800123456",    "",       "420800123456"),
        (E164, "800123456",       "+420",   "420800123456"),
        (E164, "420800123456",    "+420",   "420800123456"),
        (E164, "02071234567",     "+44",    "442071234567"),
        (E164, "5551234",         "+1212",  "12125551234"),
        (E164, "800123456",       "x.org",  "800123456"),
        (E164, "800123456",       "+",      "800123456"),
        (CZ,   "800123456",       "",       "420800123456"),
        (CZ,   "420800123456",    "",       "420800123456"),
        (CZ,   "+420800123456",   "",       "420800123456"),
        (CZ,   "00442071234567",  "",       "442071234567"),
        (CZ,   "112",             "",       "112"),
        (GB,   "02071234567",     "",       "442071234567"),
        (US,   "2125551234",      "",       "12125551234"),
        (US,   "011442071234567", "",       "442071234567"),
        (IT,   "0612345678",      "",       "390612345678"),
        (CZ,   "alice",           "",       None),
        (E164, "",                "",       None),
        (E164, "00",              "",       None),
        (NumberForm(called_in="s/^99//"),  "99420800123456", "", "420800123456"),
        (NumberForm(called_in="s/^99/x/"), "99420800123456", "", None),
        (NumberForm("national:CZ", called_in="s/^9//"), "9800123456", "", "420800123456"),
        # Whole numbers come over national trunks too; a number of the country has its trunk prefix.
        (NumberForm("national:DE"), "4915123456789", "", "4915123456789"),
        (NumberForm("national:DE"), "12015550123", "", "12015550123"),
        (NumberForm("national:DE"), "442071234567", "", "442071234567"),
        (NumberForm("national:DE"), "015123456789", "", "4915123456789"),
        (NumberForm("national:CZ"), "442071234567", "", "442071234567"),
        (NumberForm("national:AT"), "0012015550123", "", "12015550123"),
    ],
)  # fmt: skip
def test_what_comes_in_becomes_e164(form: NumberForm, written: str, context: str, read: str | None) -> None:
    assert form.called(written, context) == read


@pytest.mark.parametrize(
    "written", ["112", "0112", "00112", "011911", "9911", "+999", "99112", "44999", "944999"]
)
@pytest.mark.parametrize("form", ["e164", "+e164", "national:CZ", "national:GB"])
def test_rules_write_no_emergency_number_in_any_disguise(form: str, written: str) -> None:
    rules = NumberForm(form, called_out=f"s/^.*/{written}/")
    assert rules.dialled("442071234567") == ""


def test_rules_may_write_short_numbers_that_are_none() -> None:
    assert NumberForm(called_out="s/^44(.*)/9\\1/").dialled("442071234567") == "92071234567"
    assert NumberForm(called_out="s/^.*/1234567/").dialled("442071234567") == "1234567"
    assert NumberForm().dialled("1000") == "1000"


@pytest.mark.parametrize(
    ("form", "number", "written"),
    [
        (E164, "420800123456", "420800123456"),
        (PLUS, "420800123456", "+420800123456"),
        (CZ,   "420800123456", "800123456"),
        (CZ,   "442071234567", "00442071234567"),
        (GB,   "442071234567", "02071234567"),
        (US,   "12125551234",  "2125551234"),
        (US,   "442071234567", "011442071234567"),
        (IT,   "390612345678", "0612345678"),
        (CZ,   "999",          ""),
        (CZ,   "",             ""),
        (PLUS, "",             ""),
        (NumberForm("+e164", called_out="s/^.//; s/^/77/"), "420800123456", "77420800123456"),
        (NumberForm(called_out="s/^/sip/"), "420800123456", ""),
    ],
)  # fmt: skip
def test_what_goes_out_is_in_the_form_of_the_trunk(form: NumberForm, number: str, written: str) -> None:
    assert form.dialled(number) == written


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_countrys_own_numbers_come_back_as_they_went_out(region: str) -> None:
    example = phonenumbers.example_number(region)
    assert example is not None
    number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)[1:]
    form = NumberForm(f"national:{region}")
    assert form.called(form.dialled(number)) == number
    assert form.called(f"+{number}") == number
    foreign = "442071234567" if region != "GB" else "420212345678"
    assert form.called(form.dialled(foreign)) == foreign


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"numbers": "E164"},        "write e164, \\+e164, or national:"),
        ({"numbers": "national:XX"}, "write e164, \\+e164, or national:"),
        ({"numbers": "national"},    "write e164, \\+e164, or national:"),
        ({"identity": "rpid"},       "identity 'rpid' is invalid: write one of pai, from"),
        ({"called_from": "via"},     "write one of uri, to"),
        ({"caller_in": "0 is 44"},   "not a translation rule"),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_is_refused(values: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        NumberForm.parse(values)


def test_words_keyed_on_a_phone_are_no_numbers_of_any_country() -> None:
    # "1" and a word of ten letters may be a number of America, so only "anonymous" goes with it.
    assert {"266696687", "7378742833", "2562533", "8656696", "86282452253", "1266696687"} <= KEYED
    for digits in KEYED:
        assert not phonenumbers.is_valid_number(phonenumbers.parse(f"+{digits}"))
        assert withheld(digits)
        assert withheld(f"+{digits}")


def test_a_missing_name_is_no_wish_to_be_private() -> None:
    assert all(map(hidden, [*HIDDEN, "Private Number", "anonymous "]))
    assert not any(map(hidden, ["", "unknown", "Unavailable", "420212345678"]))
    assert all(map(withheld, ["", " ", "unknown", "Not available"]))
    assert not any(map(withheld, ["420212345678", "alice"]))
