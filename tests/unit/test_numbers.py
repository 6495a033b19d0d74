"""What networks and people write as telephone numbers, and what is made of it."""

from __future__ import annotations

import pytest

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbers import (
    clean,
    dialable,
    is_dialable,
    mask,
    may_be_same,
    parse_rules,
    translate,
)

# --- cleaning ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delivered", "cleaned"),
    [
        ("420212345678",       "420212345678"),
        ("+420212345678",      "+420212345678"),
        ("+420 212-345.678",   "+420212345678"),
        ("(0207) 123/4567",    "02071234567"),
        ("00420212345678",     "00420212345678"),
        ("5",                  "5"),
        ("1" * 31,             "1" * 31),
        ("",                   None),
        ("+",                  None),
        ("anonymous",          None),
        ("unavailable",        None),
        ("ani420212345678",    None),
        ("420212345678;ext=1", None),
        ("4202&SIP/evil",      None),
        ("420,212",            None),
        ("420\t212",           None),
        ("420212\n",           None),
        ("420212\x00",         None),
        ("٤٢٠٢١٢٣٤٥٦٧٨",       None),
        ("４２０２１２３４５",   None),
        ("++420212345678",     None),
        ("420+212345678",      None),
        ("*100#",              None),
        ("1" * 32,             None),
        ("1" * 40,             None),
        (" " * 30 + "123",     None),
    ],
)  # fmt: skip
def test_what_the_network_delivers_is_cleaned_or_is_no_number(delivered: str, cleaned: str | None) -> None:
    assert clean(delivered) == cleaned


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("420212345678",        "420212345678"),
        ("+420212345678",       "420212345678"),
        ("ani420212345678",     "420212345678"),
        ("ANI+420212345678",    "420212345678"),
        ("112",                 "112"),
        ("123456789012345",     "123456789012345"),
        ("12",                  None),
        ("1234567890123456",    None),
        ("",                    None),
        ("ani",                 None),
        ("+",                   None),
        ("++420212345678",      None),
        ("420ani212345678",     None),
        ("420212345678ani",     None),
        ("ani-420212345678",    None),
        ("4202 123",            None),
        ("100&200",             None),
        ("100/PJSIP",           None),
        ("100@other-trunk",     None),
        ("*21",                 None),
        ("100\n",               None),
        ("100\x00",             None),
        ("１００２",             None),
        ("äni420212345678",     None),
    ],
)  # fmt: skip
def test_only_three_to_fifteen_digits_are_dialled(text: str, digits: str | None) -> None:
    assert dialable(text) == digits
    assert digits is None or is_dialable(digits)


@pytest.mark.parametrize(
    ("number", "logged"),
    [
        ("420212345678",  "42021xxxxx78"),
        ("+420212345678", "+4202xxxxxx78"),
        ("123456789",     "12345xx89"),
        ("12345678",      "12xxxxxx"),
        ("112",           "11x"),
        ("12",            "xx"),
        ("1",             "x"),
        ("",              ""),
    ],
)  # fmt: skip
def test_a_log_line_never_shows_a_whole_number(number: str, logged: str) -> None:
    assert mask(number) == logged


# --- translation rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules",                                  "number",         "translated"),
    [
        ("",                                   "0207",           "0207"),
        ("s/^0/44/",                           "0207",           "44207"),
        ("s/^0/44/",                           "207",            "207"),
        ("s/^0/ani44/",                        "0207",           "ani44207"),
        ("s/0/9/",                             "1000",           "1900"),
        (r"s/^\+//",                           "+44207",         "44207"),
        (r"s/^00//; s/^011//; s/^\+//",        "0044207",        "44207"),
        ("s/^00/+/; s/^0/+44/",                "00420123",       "+420123"),
        ("s/^00/+/; s/^0/+44/",                "0207",           "+44207"),
        (r"s/^(\d{2})(\d+)$/$2$1/",            "12345",          "34512"),
        (r"s/^(\d{2})(\d+)$/\2\1/",            "12345",          "34512"),
        ("s/^[2-9]/1/\n",                      "5551234",        "1551234"),
        ("s/^[^0]*//",                         "12300",          "00"),
        (r"s/\*.*$//",                         "123*45",         "123"),
        (r"s/[#*]//",                          "12#3",           "123"),
        ("s/^1?//",                            "123",            "23"),
        ("s/a/1/;;\n\n s/b/2/ ;",              "ab",             "12"),
    ],
)  # fmt: skip
def test_rules_are_applied_in_order_each_once(rules: str, number: str, translated: str) -> None:
    assert translate(parse_rules(rules), number) == translated


def test_rules_cannot_make_a_number_grow_without_end() -> None:
    doubling = parse_rules(";".join(["s/^([0-9]*)$/$1$1/"] * 40))
    assert len(translate(doubling, "123")) == 64


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("hello",                   "write, for example, s/"),
        ("s/0/1",                   "write, for example, s/"),
        ("s//1/",                   "write, for example, s/"),
        ("s/0/1/g",                 "write, for example, s/"),
        ("s/0/1/2/",                "write, for example, s/"),
        ("S/0/1/",                  "write, for example, s/"),
        ("s/0/1\x00/",              "on the right"),
        ("s/" + "1" * 100 + "/2/",  "write, for example, s/"),
        ("s/a|b/1/",                "on the left"),
        ("s/(?:a)/1/",              "on the left"),
        ("s/(?=a)/1/",              "on the left"),
        (r"s/\w/1/",                "on the left"),
        (r"s/\1/1/",                "on the left"),
        ("s/a b/1/",                "on the left"),
        ("s/١/1/",                  "on the left"),
        ("s/[a--]/1/",              "on the left"),
        ("s/[]/1/",                 "on the left"),
        ("s/^*/1/",                 "on the left"),
        ("s/a{100}/1/",             "on the left"),
        ("s/a/&/",                  "on the right"),
        ("s/a/1 2/",                "on the right"),
        ("s/a/１/",                 "on the right"),
        ("s/(a/1/",                 "missing )"),
        ("s/a)/1/",                 "unbalanced parenthesis"),
        ("s/[9-0]/1/",              "bad character range"),
        ("s/a{3,1}/1/",             "min repeat greater than max"),
        ("s/a/$1/",                 "group"),
        ("s/(a)/$1$2/",             "group"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_used_is_refused_and_named(rule: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_rules(f"s/^0/44/; {rule}")
    assert why in str(refused.value)
    assert repr(rule) in str(refused.value)


@pytest.mark.parametrize(
    "rule",
    [
        r"s/(\d+)+#/x/",                  # a repeat of a repeat
        r"s/(\d*)*#/x/",
        r"s/(\d+)*#/x/",
        r"s/((\d+)+)+#/x/",
        r"s/(\d+){9}#/x/",
        r"s/\d++#/x/",
        "s/a" + "+" * 90 + "!/x/",        # hard to read even for the grammar of rules
        "s/" + r"\d*" * 4 + "#/x/",       # many repeats that can share the digits in many ways
        "s/" + r"\d?" * 30 + "#/x/",
        "s/" + r"\d{0,99}" * 9 + "#/x/",
        "s/" + r"\d{1,}" * 9 + "#/x/",
    ],
)  # fmt: skip
def test_a_pattern_that_could_run_away_never_gets_in(rule: str) -> None:
    with pytest.raises(InvalidInput):
        parse_rules(rule)


def test_there_is_a_limit_to_the_number_of_rules() -> None:
    assert len(parse_rules("s/0/1/;" * 50)) == 50
    with pytest.raises(InvalidInput, match=r"too many translation rules \(51\): at most 50"):
        parse_rules("s/0/1/;" * 51)


@pytest.mark.parametrize(
    ("own", "number", "same"),
    [
        ("420800123456", "420800123456", True),
        ("800123456", "420800123456", True),
        ("0800123456", "420800123456", True),
        ("420800123456", "800123456", True),
        ("420800123456", "420800123457", False),
        ("420800123456", "442071234567", False),
        # Of short numbers many end alike.
        ("112233", "420112233", False),
        # No country code has so many digits.
        ("8001234567", "44208001234567", False),
    ],
)
def test_our_own_number_is_known_with_and_without_its_country_code(own: str, number: str, same: bool) -> None:
    assert may_be_same(own, number) is same
