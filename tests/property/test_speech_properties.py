"""Rules that hold for every number, amount and time: read back, the words say what is there, never more of money.

English is read back by a reader written for that. The other languages say the same parts of an amount in the same
order, so for them it is enough that everything said is in the manifest and that no two numbers are said alike.
"""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.core.money import AMOUNT_LIMIT_MICROS
from stasis_callback.ivr.grammar import GRAMMARS, LARGEST_READ
from stasis_callback.ivr.prompts import Prompts, Utterance
from stasis_callback.ivr.speech import SPOKEN, Speech

SOUNDS = Path(__file__).resolve().parents[2] / "sounds"
LANGUAGES = {language: Speech(Prompts(SOUNDS, language)) for language in GRAMMARS}
SPEECH = LANGUAGES["en"]
KNOWN_MEDIA = {
    uri
    for prompts in (Prompts(SOUNDS, language) for language in GRAMMARS)
    for name in prompts.texts
    for uri in prompts.media(name)
}
UNIT_WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen"""
TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
VALUES = {word: value for value, word in enumerate(UNIT_WORDS.split())} | {
    word: 10 * tens for tens, word in enumerate(TEN_WORDS.split(), 2)
}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
amounts = st.integers(-AMOUNT_LIMIT_MICROS, AMOUNT_LIMIT_MICROS)


def read(words: list[str]) -> int:
    """The number that English number words stand for: the opposite way to the product's."""
    total = group = 0
    for word in words:
        if word == "hundred":
            group *= 100
        elif word in SCALES:
            total, group = total + group * SCALES[word], 0
        else:
            group += VALUES[word]
    return total + group


def read_counted(text: str, values: dict[str, int]) -> int:
    """The value of `twenty one dollars and five cents`, each noun worth what `values` says."""
    total = 0
    words: list[str] = []
    for word in text.removeprefix("minus ").replace(" and ", " ").split():
        if word in values:
            total, words = total + read(words) * values[word], []
        else:
            words.append(word)
    assert not words, f"{words} count nothing"
    return -total if text.startswith("minus ") else total


def assert_playable(said: Utterance) -> None:
    assert said.media
    assert set(said.media) <= KNOWN_MEDIA


@given(st.integers(0, 999_999_999))
def test_a_number_reads_back(number: int) -> None:
    said = SPEECH.number(number)
    assert_playable(said)
    assert read(said.text.split()) == number


def test_every_number_below_ten_thousand_reads_back() -> None:
    assert [n for n in range(10_000) if read(SPEECH.number(n).text.split()) != n] == []


@given(amounts)
def test_money_is_never_more_than_there_is_and_less_by_under_a_cent(micros: int) -> None:
    said = SPEECH.money(micros, "USD")
    assert_playable(said)
    heard = read_counted(said.text, {"dollars": 10**6, "dollar": 10**6, "cents": 10**4, "cent": 10**4})
    assert 0 <= micros - heard < 10**4


@given(amounts, st.from_regex(r"[A-Z]{3}", fullmatch=True) | st.sampled_from(sorted(SPOKEN)))
def test_money_of_any_currency_can_be_said_in_any_language(micros: int, currency: str) -> None:
    for speech in LANGUAGES.values():
        assert_playable(speech.money(micros, currency))


@given(amounts, st.sampled_from(sorted(SPOKEN - {"JPY"})))
def test_the_fraction_of_a_cent_is_never_heard(micros: int, currency: str) -> None:
    whole = micros - micros % 10**4
    for speech in LANGUAGES.values():
        assert speech.money(micros, currency) == speech.money(whole, currency)


numbers = st.integers(0, LARGEST_READ) | st.integers(0, 1000) | st.integers(0, 999).map(lambda n: n * 1000)


@given(numbers, numbers)
def test_no_two_numbers_are_said_alike(one: int, other: int) -> None:
    for speech in LANGUAGES.values():
        said = speech.number(one)
        assert_playable(said)
        assert (said.text == speech.number(other).text) == (one == other)


def test_no_two_numbers_below_three_thousand_are_said_alike_in_any_gender() -> None:
    for grammar in GRAMMARS.values():
        for gender in ("", "m", "f", "n", "fv"):
            assert len({tuple(grammar.cardinal(number, gender)) for number in range(3000)}) == 3000


@given(st.integers(0, 10**7))
def test_a_time_reads_back(seconds: int) -> None:
    values = {"hour": 3600, "minute": 60, "second": 1}
    values |= {f"{noun}s": value for noun, value in values.items()}
    assert read_counted(SPEECH.duration(seconds).text, values) == seconds
    minutes = read_counted(SPEECH.duration(seconds, "minutes").text, values)
    assert minutes == seconds if seconds < 60 else 0 <= minutes - seconds < 60 and minutes % 60 == 0
    for speech in LANGUAGES.values():
        assert_playable(speech.duration(seconds))
        assert_playable(speech.duration(seconds, "minutes"))
