"""Numbers as people write them, what kind each is, and what a rate sells of them."""

from __future__ import annotations

import phonenumbers
import pytest

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.kinds import OPENABLE, Kind, parse_kinds
from stasis_callback.core.numbering import examples, is_emergency, kind_of, read_number, sells

LONDON, SINGAPORE = "442071234567", "6563456789"


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("001 65 6345 6789",    "HK", SINGAPORE),
        ("001 65 6345 6789",    "KR", SINGAPORE),
        ("001 65 6345 6789",    "TH", SINGAPORE),
        ("001 65 6345 6789",    "ID", SINGAPORE),
        ("008 65 6345 6789",    "SG", SINGAPORE),
        ("0011 44 20 7123 4567", "AU", LONDON),
        ("0014 44 20 7123 4567", "BR", LONDON),
        ("000 44 20 7123 4567", "KE", LONDON),
        ("00700 44 20 7123 4567", "KR", LONDON),
        ("011 44 20 7123 4567", "US", LONDON),
        ("8~10 44 20 7123 4567", "RU", None),
        ("810 44 20 7123 4567", "RU", LONDON),
        ("00 44 20 7123 4567",  "FR", LONDON),
        ("00 44 20 7123 4567",  "US", None),  # nobody dials 00 there
        ("00 44 20 7123 4567",  "",   LONDON),
        ("011 44 20 7123 4567", "",   LONDON),
        ("020 7123 4567",       "GB", LONDON),
        ("020 7123 4567",       "",   None),
        (LONDON,                "",   LONDON),
        (LONDON,                "CZ", LONDON),
        ("656 345 6789",        "US", "16563456789"),
        ("4915123456789",       "DE", "4915123456789"),  # 0 comes before a number of one's own country there
        ("015123456789",        "DE", "4915123456789"),
        (LONDON,                "DE", None),             # or one of Germany without its 0: somebody else's
        ("15123456789",         "DE", None),
        ("0044 20 7123 4567",   "DE", LONDON),
        ("131 2345 6789",       "CN", "8613123456789"),  # mobiles have no prefix in China
        ("84951234567",         "RU", "74951234567"),
        ("393471234567",        "IT", "393471234567"),
        (SINGAPORE,             "",   SINGAPORE),
    ],
)  # fmt: skip
def test_a_number_is_read_as_one_dials_in_its_country(written: str, region: str, number: str | None) -> None:
    assert read_number(written, region) == number


@pytest.mark.parametrize(
    "written",
    [
        "\u202a+442071234567\u202c",
        "+44\u00a020\u202f7123\u00a04567",
        "+44\u201120\u20117123\u20114567",
        "+44–20—7123−4567",
        "tel:+44-20-7123-4567",
        "TEL: +442071234567",
        "+٤٤٢٠٧١٢٣٤٥٦٧",
        "+۴۴۲۰۷۱۲۳۴۵۶۷",
        "＋４４（２０）７１２３．４５６７",
        "• +44 20 7123 4567",
        "- +44 20 7123 4567",
        "+44\u00ad207123\u200b4567",
        "+44(0)2071234567",
        "+44 (0) 20 7123 4567",
        "(+44) 20 7123 4567",
        "+44 20 7123 4567\t",
        "\n+44 20 7123 4567\r\n",
        "☎️ +44 20 7123 4567",
        "► +44 20 7123 4567",
        "📱+442071234567",
        "“+44 20 7123 4567”",
        "„+44 20 7123 4567“",
        "'+44 20 7123 4567'",
        "tel:+44-20-7123-4567;ext=5",
        "tel:+44-20-7123-4567;isub=1;ext=5.1",
    ],
)
def test_pasted_numbers(written: str) -> None:
    assert read_number(written.replace("(0) ", "(0)")) == LONDON


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("00112", "", "112"),
        ("011911", "", "911"),
        ("00112", "CZ", "112"),
        ("011 911", "US", "911"),
        ("0011 000", "AU", "000"),
        ("+112", "", "112"),
        ("+999", "CZ", "999"),
        ("00999", "", "999"),
    ],
)
def test_an_emergency_number_is_known_behind_a_prefix(written: str, region: str, number: str) -> None:
    assert read_number(written, region) == number


@pytest.mark.parametrize(("written", "number"), [("+420", None), ("+420212", None), ("420212", "420212")])
def test_digits_that_claim_to_be_a_whole_number_must_be_one(written: str, number: str | None) -> None:
    assert read_number(written) == number


def test_an_example_belongs_to_the_main_country_of_its_code() -> None:
    assert {one.country for one in examples(44) if one.kind is Kind.PREMIUM} >= {"GB"}
    assert {one.country for one in examples(1) if one.kind is Kind.PREMIUM} >= {"US"}


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+39 (0)6 1234 5678", "390612345678"),  # the zero belongs to it
        ("+36 (0)1 234 5678", "3612345678"),
        ("+49 (0)30 901820", "4930901820"),
        ("+34 (0)912 345 678", "34912345678"),
    ],
)
def test_the_zero_in_brackets(written: str, number: str) -> None:
    assert read_number(written) == number


@pytest.mark.parametrize(
    "written",
    ["", "+", "12", "call me", "1-800-FLOWERS", "²442071234567", "+44 20 7123 4567; x", "+44 20 7123 4567 ext. 5",
     "442071234567 or 442071234568", "tel:7042;phone-context=+44", "+44&SIP/evil", "4420\n1", "\ufffd42071234567",
     "7\ufe0f\u20e342071234567", "++442071234567",
     "44+2071234567", "1" * 33, " " * 200],
)  # fmt: skip
def test_what_is_no_number(written: str) -> None:
    assert read_number(written) is None


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("420212345678", Kind.ORDINARY),
        ("442071234567", Kind.ORDINARY),
        ("80012345678", Kind.ORDINARY),
        ("911123456789", Kind.ORDINARY),  # Delhi, not the police
        ("14165551234", Kind.ORDINARY),
        ("112", Kind.EMERGENCY),
        ("911", Kind.EMERGENCY),
        ("999", Kind.EMERGENCY),
        ("110", Kind.EMERGENCY),
        ("000", Kind.EMERGENCY),
        ("44999", Kind.EMERGENCY),
        ("1911", Kind.EMERGENCY),
        ("4420712", Kind.IMPOSSIBLE),
        ("1411", Kind.IMPOSSIBLE),
        ("1000", Kind.IMPOSSIBLE),
        ("4402071234567", Kind.IMPOSSIBLE),
        ("00442071234567", Kind.IMPOSSIBLE),
        ("", Kind.IMPOSSIBLE),
        ("447700900123", Kind.UNASSIGNED),
        ("999123456789", Kind.UNASSIGNED),
        ("19005551234", Kind.PREMIUM),
        ("979123456789", Kind.PREMIUM),
        ("448431234567", Kind.PREMIUM),
        ("80812345678", Kind.SHARED_COST),
        ("881612345678", Kind.SATELLITE),
        ("883510012345", Kind.SATELLITE),
        ("447011234567", Kind.PERSONAL),
        ("18765551234", Kind.OTHER_COUNTRY),
        ("77012345678", Kind.OTHER_COUNTRY),
        ("447781123456", Kind.OTHER_COUNTRY),
    ],
)
def test_kinds(number: str, kind: Kind) -> None:
    assert kind_of(number) is kind
    assert is_emergency(number) is (kind is Kind.EMERGENCY)


@pytest.mark.parametrize(
    ("number", "too_short", "naming"),
    [
        ("18765551234", "1", "1876"),
        ("16493331234", "1", "1649"),
        ("19005551234", "1", "1900"),
        ("447011234567", "447", "4470"),
        ("447781123456", "44778", "4477811"),
        ("881612345678", "88", "881"),
        ("77012345678", "7", "77"),
        ("999123456789", "9", "999"),
        ("1000", "100", "1000"),
    ],
)
def test_a_rate_sells_what_it_names_on_purpose(number: str, too_short: str, naming: str) -> None:
    assert not sells(too_short, number)
    assert sells(naming, number)
    kind = kind_of(number)
    assert sells(too_short, number, opened=kind)
    assert not sells(too_short, number, opened=",".join(one for one in OPENABLE if one is not kind))


def test_a_rate_for_a_country_sells_no_number_of_a_length_that_nobody_has_there() -> None:
    assert kind_of("9129633112") is Kind.UNASSIGNED
    assert not sells("91", "9129633112")


@pytest.mark.parametrize("number", ["420", "4420", "4420712"])
def test_a_rate_for_a_country_or_a_town_does_not_sell_its_own_digits(number: str) -> None:
    assert not sells(number, number)


@pytest.mark.parametrize("number", ["112", "911", "44999"])
def test_an_emergency_number_is_never_sold(number: str) -> None:
    assert not sells(number, number, opened=",".join(OPENABLE))


def test_what_a_tariff_can_be_opened_for() -> None:
    assert parse_kinds(" premium, satellite ,") == (Kind.PREMIUM, Kind.SATELLITE)
    for word in ("emergency", "ordinary", "premiums"):
        with pytest.raises(InvalidInput, match="use one or more of"):
            parse_kinds(word)


REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
KINDS = (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE)
NUMBERS = [
    (region, number)
    for region in REGIONS
    for kind in KINDS
    if (number := phonenumbers.example_number_for_type(region, kind)) is not None
]


@pytest.mark.parametrize("region", ["DE", "AT", "GB", "FR", "SE", "RS", "ID"])
def test_a_whole_number_without_plus_is_nobody_elses_where_numbers_have_a_prefix(region: str) -> None:
    """Each country's example: read as itself, or refused because it may be either; never as another number."""
    for _, number in NUMBERS:
        whole = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
        assert read_number(whole, region) in (whole, None)


def test_a_number_as_it_is_written_in_its_country_is_read_there() -> None:
    for region, number in NUMBERS:
        written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        whole = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert read_number(written, region) == whole.removeprefix("+")
