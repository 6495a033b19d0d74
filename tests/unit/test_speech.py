"""What the subscriber hears for a number, an amount, a time and a row of digits, in every language."""

import re
from pathlib import Path

import pytest

from stasis_callback.core.errors import CallbackError, InvalidInput, InvariantBroken
from stasis_callback.core.money import parse_amount
from stasis_callback.ivr.grammar import GRAMMARS
from stasis_callback.ivr.prompts import Prompt, Prompts
from stasis_callback.ivr.speech import SPOKEN, Rounding, Speech

SOUNDS = Path(__file__).resolve().parents[2] / "sounds"
PROMPTS = {language: Prompts(SOUNDS, language) for language in GRAMMARS}
SPEECH = {language: Speech(prompts) for language, prompts in PROMPTS.items()}
ENGLISH = SPEECH["en"]


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
        ("21.05", "SEK", "twenty one dot zero five"),
        ("7", "SEK", "seven"),
        ("21.05", "HKD", "twenty one dollars and five cents"),
        ("21.05", "PKR", "twenty one rupees and five"),
        ("1.00", "NGN", "one naira"),
        ("1500", "XOF", "one thousand five hundred francs"),
        ("1500.90", "KRW", "one thousand five hundred"),
        ("-1.2345", "KWD", "minus one dot two three five"),
    ],
)
def test_money(amount: str, currency: str, words: str) -> None:
    assert ENGLISH.money(parse_amount(amount), currency).text == words


# The plural categories of the CLDR for whole numbers ("Language plural rules"), written out.
PLURALS = {
    "en": {"one": "1", "other": "0 2 5 11 21 22 25 100 101 111 1000000"},
    "es": {"one": "1", "many": "1000000 2000000", "other": "0 2 5 11 21 22 25 100 101 1000001"},
    "fr": {"one": "0 1", "many": "1000000 2000000", "other": "2 5 11 21 22 25 100 101 1000001"},
    "it": {"one": "1", "many": "1000000 2000000", "other": "0 2 5 11 21 22 25 100 101 1000001"},
    "ru": {
        "one": "1 21 31 101 121 1001 1000001",
        "few": "2 3 4 22 23 24 32 102 104 122 1002 1000003",
        "many": "0 5 6 9 10 11 12 13 14 15 19 20 25 30 100 111 112 113 114 211 212 1000 1011 1000000",
    },
}


@pytest.mark.parametrize("language", GRAMMARS)
def test_plural_categories_are_those_of_the_cldr(language: str) -> None:
    plural = GRAMMARS[language].plural
    assert {
        number: plural(int(number)) for numbers in PLURALS[language].values() for number in numbers.split()
    } == {number: category for category, numbers in PLURALS[language].items() for number in numbers.split()}


@pytest.mark.parametrize(
    ("language", "amount", "currency", "words"),
    [
        ("ru", "1", "USD", "один доллар"),
        ("ru", "2", "USD", "два доллара"),
        ("ru", "5", "USD", "пять долларов"),
        ("ru", "21", "USD", "двадцать один доллар"),
        ("ru", "22", "USD", "двадцать два доллара"),
        ("ru", "25", "USD", "двадцать пять долларов"),
        ("ru", "11.12", "USD", "одиннадцать долларов двенадцать центов"),
        ("ru", "1.01", "RUB", "один рубль одна копейка"),
        ("ru", "1002.22", "RUB", "одна тысяча два рубля двадцать две копейки"),
        ("ru", "2000", "RUB", "две тысячи рублей"),
        ("ru", "5000", "UAH", "пять тысяч гривен"),
        ("ru", "21", "UAH", "двадцать одна гривна"),
        ("ru", "41", "JPY", "сорок одна иена"),
        ("ru", "1.01", "MXN", "одно песо одно сентаво"),
        ("ru", "2.02", "MXN", "два песо два сентаво"),
        ("ru", "3", "PLN", "три злотых"),
        ("ru", "0", "KZT", "ноль тенге"),
        ("ru", "-0.10", "GBP", "минус десять пенсов"),
        ("ru", "21.05", "SEK", "двадцать один запятая ноль пять"),
        ("es", "1.01", "USD", "un dólar y un centavo"),
        ("es", "21.50", "USD", "veintiún dólares y cincuenta centavos"),
        ("es", "31.21", "EUR", "treinta y un euros y veintiún céntimos"),
        ("es", "1.01", "GBP", "una libra y un penique"),
        ("es", "221", "GBP", "doscientas veintiuna libras"),
        ("es", "200000", "GBP", "doscientas mil libras"),
        ("es", "1000000", "EUR", "un millón de euros"),
        ("es", "1000001", "EUR", "un millón un euros"),
        ("es", "100.90", "CHF", "cien francos y noventa céntimos"),
        ("es", "21.05", "SEK", "veintiuno coma cero cinco"),
        ("fr", "0", "EUR", "zéro euro"),
        ("fr", "1.01", "USD", "un dollar et un centime"),
        ("fr", "21.71", "EUR", "vingt et un euros et soixante et onze centimes"),
        ("fr", "21", "GBP", "vingt et une livres"),
        ("fr", "81", "GBP", "quatre-vingt une livres"),
        ("fr", "1000000", "EUR", "un million d'euros"),
        ("fr", "2000000", "USD", "deux million de dollars"),  # "millions" sounds the same
        ("fr", "21.05", "SEK", "vingt et un virgule zéro cinq"),
        ("it", "1.01", "USD", "un dollaro e un centesimo"),
        ("it", "1", "GBP", "una sterlina"),
        ("it", "21.28", "EUR", "ventuno euro e ventotto centesimi"),
        ("it", "101", "GBP", "cento uno sterline"),
        ("it", "2000000", "CHF", "due milioni di franchi"),
        ("it", "21.05", "SEK", "ventuno virgola zero cinque"),
        ("en", "2.02", "RUB", "two rubles and two kopecks"),
        ("en", "1.01", "PLN", "one zloty and one grosz"),
    ],
)
def test_money_in_other_languages(language: str, amount: str, currency: str, words: str) -> None:
    assert SPEECH[language].money(parse_amount(amount), currency).text == words


@pytest.mark.parametrize("language", GRAMMARS)
def test_the_important_currencies_have_words_of_their_own(language: str) -> None:
    for currency in SPOKEN:
        one, few, many = (SPEECH[language].money(n * 1_010_000, currency).text for n in (1, 2, 5))
        assert currency not in {one, few, many}
        assert not re.search(r"\b[A-Z]\b", one + few + many)
        assert len({one, few, many}) == 3


@pytest.mark.parametrize(
    ("seconds", "rounding", "words"),
    [
        (0, "exact", "zero seconds"),
        (1, "exact", "one second"),
        (60, "exact", "one minute"),
        (125, "exact", "two minutes and five seconds"),
        (3661, "exact", "one hour one minute and one second"),
        (7200, "exact", "two hours"),
        (0, "minutes", "zero seconds"),
        (59, "minutes", "fifty nine seconds"),
        (60, "minutes", "one minute"),
        (61, "minutes", "two minutes"),
        (349, "minutes", "six minutes"),
        (3599, "minutes", "one hour"),
        (5430, "minutes", "one hour and thirty one minutes"),
    ],
)
def test_duration(seconds: int, rounding: Rounding, words: str) -> None:
    assert ENGLISH.duration(seconds, rounding).text == words


@pytest.mark.parametrize(
    ("language", "seconds", "words"),
    [
        ("es", 3661, "una hora un minuto y un segundo"),
        ("es", 75721, "veintiuna horas dos minutos y un segundo"),
        ("fr", 3661, "une heure une minute et une seconde"),
        ("fr", 21 * 60, "vingt et une minutes"),
        ("it", 3661, "un' ora un minuto e un secondo"),
        ("it", 21 * 60 + 28, "ventuno minuti e ventotto secondi"),
        ("ru", 3661, "один час одна минута одна секунда"),
        ("ru", 7322, "два часа две минуты две секунды"),
        ("ru", 5 * 3661, "пять часов пять минут пять секунд"),
        ("ru", 21 * 61, "двадцать одна минута двадцать одна секунда"),
        ("ru", 22 * 61, "двадцать две минуты двадцать две секунды"),
        ("ru", 25 * 61, "двадцать пять минут двадцать пять секунд"),
        ("ru", 11 * 60 + 12, "одиннадцать минут двенадцать секунд"),
    ],
)
def test_duration_in_other_languages(language: str, seconds: int, words: str) -> None:
    assert SPEECH[language].duration(seconds).text == words


def test_a_time_cannot_be_negative() -> None:
    with pytest.raises(InvariantBroken):
        ENGLISH.duration(-1)


# In each language every number below ten thousand and 20,000 more below a thousand million were compared with
# num2words 0.5.14. What differs: its "uno mil" and "uno millones" in Spanish, where the Academy has "un"; its
# "centotto" and "milioni e" in Italian, where both ways are said; hyphens, and letters that are not heard.
NUMBERS = {
    "en": {
        0: "zero",
        13: "thirteen",
        20: "twenty",
        45: "forty five",
        110: "one hundred ten",
        2000: "two thousand",
        1_000_001: "one million one",
        987_654_321: "nine hundred eighty seven million six hundred fifty four thousand three hundred twenty one",
        -8: "minus eight",
        10**12: "one zero zero zero zero zero zero zero zero zero zero zero zero",
    },
    "es": {
        0: "cero",
        1: "uno",
        16: "dieciséis",
        21: "veintiuno",
        31: "treinta y uno",
        40: "cuarenta",
        100: "cien",
        101: "ciento uno",
        199: "ciento noventa y nueve",
        500: "quinientos",
        999: "novecientos noventa y nueve",
        1000: "mil",
        1001: "mil uno",
        2022: "dos mil veintidós",
        21_000: "veintiún mil",
        31_000: "treinta y un mil",
        100_000: "cien mil",
        101_101: "ciento un mil ciento uno",
        1_000_000: "un millón",
        21_000_000: "veintiún millones",
        700_100_001: "setecientos millones cien mil uno",
        10**9: "mil millones",
    },
    "fr": {
        0: "zéro",
        1: "un",
        17: "dix-sept",
        21: "vingt et un",
        22: "vingt deux",
        61: "soixante et un",
        70: "soixante-dix",
        71: "soixante et onze",
        72: "soixante douze",
        79: "soixante dix-neuf",
        80: "quatre-vingt",
        81: "quatre-vingt un",
        91: "quatre-vingt onze",
        97: "quatre-vingt dix-sept",
        100: "cent",
        101: "cent un",
        200: "deux cent",
        1000: "mille",
        1999: "mille neuf cent quatre-vingt dix-neuf",
        80_000: "quatre-vingt mille",
        100_000: "cent mille",
        1_000_000: "un million",
        71_001_071: "soixante et onze million mille soixante et onze",
        10**9: "un milliard",
    },
    "it": {
        0: "zero",
        1: "uno",
        20: "venti",
        21: "ventuno",
        23: "venti tre",
        28: "ventotto",
        38: "trentotto",
        41: "quarantuno",
        99: "novanta nove",
        100: "cento",
        101: "cento uno",
        108: "cento otto",
        200: "due cento",
        1000: "mille",
        1001: "mille uno",
        2000: "due mila",
        21_000: "ventuno mila",
        100_000: "cento mila",
        1_000_000: "un milione",
        3_001_000: "tre milioni mille",
        10**9: "un miliardo",
        2 * 10**9: "due miliardi",
    },
    "ru": {
        0: "ноль",
        1: "один",
        2: "два",
        14: "четырнадцать",
        40: "сорок",
        90: "девяносто",
        100: "сто",
        200: "двести",
        312: "триста двенадцать",
        1000: "одна тысяча",
        2000: "две тысячи",
        5000: "пять тысяч",
        11_000: "одиннадцать тысяч",
        21_000: "двадцать одна тысяча",
        102_000: "сто две тысячи",
        1_000_000: "один миллион",
        2_000_001: "два миллиона один",
        25_000_000: "двадцать пять миллионов",
        999_112_542: "девятьсот девяносто девять миллионов сто двенадцать тысяч пятьсот сорок два",
        2 * 10**9: "два миллиарда",
        5 * 10**9: "пять миллиардов",
    },
}


@pytest.mark.parametrize(
    ("language", "number", "words"),
    [(language, *example) for language, examples in NUMBERS.items() for example in examples.items()],
)
def test_number(language: str, number: int, words: str) -> None:
    assert SPEECH[language].number(number).text == words


def test_digits_are_said_one_by_one() -> None:
    assert ENGLISH.digits("+42*#").text == "plus four two star pound"
    assert SPEECH["ru"].digits("+12#").text == "плюс один два решётка"


def test_other_characters_are_refused() -> None:
    with pytest.raises(InvalidInput, match="only digits"):
        ENGLISH.digits("12a")


def test_a_sentence_is_a_prompt_and_a_value() -> None:
    said = PROMPTS["en"].say(Prompt.BALANCE_IS) + ENGLISH.money(2_500_000, "EUR")
    assert said.text == "Your balance is two euros and fifty cents"
    assert said.media == (
        "sound:en/stasis-callback/balance-is",
        "sound:en/digits/2",
        "sound:en/stasis-callback/euros",
        "sound:en/vm-and",
        "sound:en/digits/50",
        "sound:en/stasis-callback/cents",
    )


def test_a_language_menu_speaks_several_languages_in_one_breath() -> None:
    said = PROMPTS["es"].say(Prompt.LANGUAGE_MENU) + SPEECH["es"].digits("1")
    said += PROMPTS["ru"].say(Prompt.LANGUAGE_MENU) + SPEECH["ru"].digits("2")
    assert said.text == "Para español, marque uno Для русского языка нажмите два"
    assert [uri.split("/")[0] for uri in said.media] == ["sound:es", "sound:es", "sound:ru", "sound:ru"]


def test_a_language_without_grammar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "xx").symlink_to(SOUNDS / "en")
    with pytest.raises(CallbackError, match="language 'xx' is not supported: use one of en, es"):
        Speech(Prompts(tmp_path, "xx"))
