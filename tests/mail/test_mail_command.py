"""The command of a mail: the grammar, its tolerances, and any text at all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.core.mail_command import MailCommand, Unreadable, VoucherCommand, find_command
from stasis_callback.core.words import Dropped

NUMBERS = st.from_regex(r"(420[2-7][0-9]{8}|4420[78][0-9]{7})", fullmatch=True)
SPACES = st.sampled_from([" ", "  ", "\t", "\u00a0", "\u3000", "\n", "\r\n", " \n "])
CASES = st.sampled_from([str.upper, str.lower])


def test_the_seeds_example() -> None:
    command = find_command("P 6192345678 1ak45 SN 6581433653 DN 420212345678")
    assert command == MailCommand("6192345678", "1ak45", "6581433653", "420212345678")
    assert "1ak45" not in repr(command)


@pytest.mark.parametrize(
    "text",
    [
        "P 6192345678 1ak45 VC K7PW-3XQ2-MN4T",
        "Hello,\n> quoted P 1 a VC B\n\np +6192345678 1ak45\nvc K7PW‑3XQ2‑MN4T. Thanks",
        "P 6192345678 1ak45 VC K7PW-3XQ2-MN4T\n\nBest regards",
    ],
)
def test_a_voucher_is_a_command_of_its_own(text: str) -> None:
    command = find_command(text)
    assert command == VoucherCommand("6192345678", "1ak45", "K7PW-3XQ2-MN4T")
    assert not [secret for secret in ("1ak45", "K7PW") if secret in repr(command)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("P 6192345678 VC K7PW3XQ2", "malformed"),
        ("P 6192345678 1ak45 VC", "malformed"),
        ("P 6192345678 1ak45 VC K7PW 3XQ2", "malformed"),
        ("P 6192345678 1ak45 VC K7PW\n\n3XQ2", "malformed"),
        ("P 6192345678 1ak45 VC AAAA\n\nP 6192345678 1ak45 VC BBBB", "several_commands"),
        ("P 1 a VC AAAA\nP 1 a SN 442071234567 DN 420212345678", "several_commands"),
    ],
)
def test_a_voucher_whose_code_is_in_doubt_is_not_redeemed(text: str, reason: str) -> None:
    with pytest.raises(Unreadable) as unreadable:
        find_command(text)
    assert unreadable.value.reason == reason


@pytest.mark.parametrize(
    "text",
    [
        "P 1 a SN 65814 DN 420 212",
        "P 1 a SN 12 DN 420212345678",
        "P 1 a SN 0201234567 DN 420212345678",
        "P 1 SN 65814 DN 420212",
        "P 1 a DN 65814 SN 42021",
    ],
)
def test_what_is_nearly_a_command_is_malformed(text: str) -> None:
    with pytest.raises(Unreadable) as unreadable:
        find_command(text)
    assert unreadable.value.reason is Dropped.MALFORMED


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("+44(0)2071234567", "", "442071234567"),
        ("0044-20-7123-4567", "", "442071234567"),
        ("02071234567", "GB", "442071234567"),
        ("0116563456789", "US", "6563456789"),
        ("+٤٤٢٠٧١٢٣٤٥٦٧", "", "442071234567"),
        ("112", "GB", "112"),
    ],
)
def test_numbers_of_a_mail_are_read_as_everywhere(written: str, region: str, number: str) -> None:
    command = find_command(f"P 6192345678 1ak45 SN {written} DN {written}.", region)
    assert isinstance(command, MailCommand)
    assert (command.number_a, command.number_b) == (number, number)


TIMED = "P 6192345678 1ak45 SN 442071234567 DN 420212345678"


@pytest.mark.parametrize(
    ("more",                            "at"),
    [
        (" AT 17:30",                   "17:30"),
        ("\nat 17:30.\nThanks, 5 of us", "17:30"),
        (", \u00a0At １７:３０",             "17:30"),
        (" AT 2027-01-29T17:30+01:00",  "2027-01-29T17:30+01:00"),
        (" AT 2027-01-29T16:30:00Z",    "2027-01-29T16:30:00Z"),
        ("\n\nSee you at the station",  ""),
        ("\nAt your convenience",       ""),
        (" AT 5:30",                    None),
        (" AT 05:30 PM",                None),
        (" AT 17:30 tomorrow",          None),
        (" AT noon",                    None),
        (" AT",                         None),
        (" AT 1730",                    None),
        ("\n\nAT 17:30",                None),
        (" AT 17:30\n\n45",              None),
    ],
)  # fmt: skip
def test_a_time_is_the_whole_time_or_the_command_is_malformed(more: str, at: str | None) -> None:
    if at is None:
        with pytest.raises(Unreadable) as unreadable:
            find_command(TIMED + more)
        assert unreadable.value.reason is Dropped.MALFORMED
    else:
        command = MailCommand("6192345678", "1ak45", "442071234567", "420212345678", at)
        assert find_command(TIMED + more) == command
        assert find_command(f"{TIMED}{more}\n\n> {TIMED}") == command


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Unreadable):
        find_command(text)


@given(
    NUMBERS,
    st.from_regex(r"[A-Za-z0-9]{1,20}", fullmatch=True),
    NUMBERS,
    NUMBERS,
    st.lists(SPACES, min_size=6, max_size=6),
    CASES,
)
def test_noise_that_is_tolerated_changes_nothing(account, secret, a, b, spaces, case) -> None:  # type: ignore[no-untyped-def]
    words = [case("p"), account, secret, case("sn"), f"+{a}", case("dn"), b]
    text = words[0] + "".join(space + word for space, word in zip(spaces, words[1:], strict=True))
    assert find_command(f"Hi,\n\n{text}.\n\nBye") == MailCommand(account, secret, a, b)
