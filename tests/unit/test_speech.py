"""What the subscriber hears for a number, an amount, a time and a row of digits."""

from pathlib import Path

import pytest

from stasis_callback.core.errors import CallbackError, InvalidInput, InvariantBroken
from stasis_callback.core.money import parse_amount
from stasis_callback.ivr.prompts import Prompt, Prompts
from stasis_callback.ivr.speech import Rounding, Speech

PROMPTS = Prompts(Path(__file__).resolve().parents[2] / "sounds")
SPEECH = Speech(PROMPTS)


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        ("21.05", "USD", "twenty one dollars and five cents"),
        ("1.01", "USD", "one dollar and one cent"),
        ("0.50", "EUR", "fifty cents"),
        ("100", "EUR", "one hundred euros"),
        ("2.01", "GBP", "two pounds and one penny"),
        ("0.99", "GBP", "ninety nine pence"),
        ("0", "USD", "zero dollars"),
        ("0.009999", "USD", "zero dollars"),
        ("1.999999", "USD", "one dollar and ninety nine cents"),
        ("-3.20", "USD", "minus three dollars and twenty cents"),
        ("-0.001", "USD", "minus one cent"),  # a debt is never said smaller than it is
        ("1500.90", "JPY", "one thousand five hundred yen"),
        ("21.05", "CZK", "twenty one dot zero five C Z K"),
        ("7", "CZK", "seven C Z K"),
        ("-1.2345", "KWD", "minus one dot two three five K W D"),
    ],
)
def test_money(amount: str, currency: str, words: str) -> None:
    assert SPEECH.money(parse_amount(amount), currency).text == words


@pytest.mark.parametrize(
    ("seconds", "rounding", "words"),
    [
        (0, "exact", "zero seconds"),
        (1, "exact", "one second"),
        (60, "exact", "one minute"),
        (125, "exact", "two minutes and five seconds"),
        (3661, "exact", "one hour one minute and one second"),
        (7200, "exact", "two hours"),
        (119, "minutes", "one minute"),
        (59, "minutes", "fifty nine seconds"),
        (5430, "minutes", "one hour and thirty minutes"),
    ],
)
def test_duration(seconds: int, rounding: Rounding, words: str) -> None:
    assert SPEECH.duration(seconds, rounding).text == words


def test_a_time_cannot_be_negative() -> None:
    with pytest.raises(InvariantBroken):
        SPEECH.duration(-1)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (20, "twenty"),
        (45, "forty five"),
        (110, "one hundred ten"),
        (2000, "two thousand"),
        (1_000_001, "one million one"),
        (
            987_654_321,
            "nine hundred eighty seven million six hundred fifty four thousand three hundred twenty one",
        ),
        (-8, "minus eight"),
        (10**12, "one zero zero zero zero zero zero zero zero zero zero zero zero"),
    ],
)
def test_number(number: int, words: str) -> None:
    assert SPEECH.number(number).text == words


def test_digits_are_said_one_by_one() -> None:
    assert SPEECH.digits("+42*#").text == "plus four two star pound"


def test_other_characters_are_refused() -> None:
    with pytest.raises(InvalidInput, match="only digits"):
        SPEECH.digits("12a")


def test_a_sentence_is_a_prompt_and_a_value() -> None:
    said = PROMPTS.say(Prompt.BALANCE_IS) + SPEECH.money(2_500_000, "EUR")
    assert said.text == "Your balance is two euros and fifty cents"
    assert said.media == (
        "sound:stasis-callback/balance-is",
        "sound:digits/2",
        "sound:stasis-callback/euros",
        "sound:vm-and",
        "sound:digits/50",
        "sound:stasis-callback/cents",
    )


def test_every_noun_and_currency_can_be_said() -> None:
    for forms in PROMPTS.nouns.values():
        assert all(PROMPTS.say(word).text for word in forms.values())
    for currency in PROMPTS.currencies:
        assert SPEECH.money(1_990_000, currency).text.startswith("one ")


def test_a_language_without_grammar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "xx").symlink_to(Path(__file__).resolve().parents[2] / "sounds/en")
    with pytest.raises(CallbackError, match="language 'xx' has no grammar: use one of en"):
        Speech(Prompts(tmp_path, "xx"))
