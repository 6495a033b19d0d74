"""How each language counts: the words of a whole number, and which form of a noun follows it.

The words are names in the language's manifest. Plural categories are those of the Unicode CLDR (one, few, many,
other), "Language plural rules", for whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

LARGEST_READ = 10**12 - 1
"""Above it a number is read digit by digit."""


@dataclass(frozen=True)
class Grammar:
    """The number grammar of one language."""

    cardinal: Callable[[int, str], Iterator[str]]
    """Words of a number from 0 to `LARGEST_READ` that counts a noun of the given gender: m, f, n, or "" for none."""
    plural: Callable[[int], str]
    """CLDR plural category of a whole number: one, few, many or other."""
    conjunction: tuple[str, ...]
    """Words before the last of several parts: "five minutes AND ten seconds"."""


def _english(number: int, _gender: str) -> Iterator[str]:
    for size, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            yield from _english(number // size, "")
            yield name
            number %= size
            if number == 0:
                return
    if number > 20 and number % 10:
        yield str(number - number % 10)
        number %= 10
    yield str(number)


def _spanish(number: int, gender: str) -> Iterator[str]:
    millions, number = divmod(number, 10**6)
    if millions:
        yield from _spanish(millions, "m")
        yield "million" if millions == 1 else "millions"
        if number == 0:
            return
    thousands, number = divmod(number, 1000)
    if thousands:
        if thousands > 1:  # plain "mil", never "un mil"
            yield from _spanish(thousands, gender or "m")
        yield "thousand"
        if number == 0:
            return
    hundreds, number = divmod(number, 100)
    if hundreds:
        if hundreds > 1:
            yield f"{hundreds}00f" if gender == "f" else f"{hundreds}00"
        else:
            yield "100-and" if number else "hundred"
        if number == 0:
            return
    if number > 30 and number % 10:
        yield str(number - number % 10)
        yield "and"
        number %= 10
    yield (
        f"{number}{gender}" if number in (1, 21) else str(number)
    )  # uno, un, una; veintiuno, veintiún, veintiuna


def _french(number: int, gender: str) -> Iterator[str]:
    for size, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            if number >= 2 * size or size > 1000:  # plain "cent" and "mille", but "un million"
                yield from _french(number // size, "")
            yield name
            number %= size
            if number == 0:
                return
    tens, unit = number // 10, number % 10
    if number > 20 and unit:
        if tens in (7, 9):  # sixty-eleven, four-twenty-eleven
            tens, unit = tens - 1, unit + 10
        yield str(10 * tens)
        if unit in (1, 11) and tens != 8:
            yield "and"
        number = unit
    yield "1f" if number == 1 and gender == "f" else str(number)


def _italian(number: int, gender: str) -> Iterator[str]:
    if number == 1:
        yield f"1{gender}"  # uno, un, una; part of a larger number it is always "uno"
        return
    for size, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            count, number = divmod(number, size)
            if count > 1 or size > 1000:  # plain "cento" and "mille", but "un milione"
                yield from _italian(count, "m")
            yield f"{name}s" if count > 1 and size > 100 else name
            if number == 0:
                return
    if number > 20 and number % 10 not in (
        0,
        1,
        8,
    ):  # ventuno and ventotto swallow a vowel: words of their own
        yield str(number - number % 10)
        number %= 10
    yield str(number)


def _russian(number: int, gender: str) -> Iterator[str]:
    for size, name, its_gender in ((10**9, "billion", "m"), (10**6, "million", "m"), (1000, "thousand", "f")):
        if number >= size:
            count, number = divmod(number, size)
            yield from _russian(count, its_gender)
            yield f"{name}-{_slavic_plural(count)}"
            if number == 0:
                return
    if number >= 100:
        yield str(number - number % 100)
        number %= 100
        if number == 0:
            return
    if number > 20 and number % 10:
        yield str(number - number % 10)
        number %= 10
    if (number, gender) in ((1, "f"), (1, "n"), (2, "f")):
        yield f"{number}{gender}"  # одна, одно; две
    else:
        yield str(number)


def _germanic_plural(number: int) -> str:
    return "one" if number == 1 else "other"


def _romance_plural(number: int) -> str:
    """Spanish and Italian: "many" is a whole number of millions ("un millón DE dólares")."""
    return "many" if number and number % 10**6 == 0 else _germanic_plural(number)


def _french_plural(number: int) -> str:
    return "one" if number == 0 else _romance_plural(number)


def _slavic_plural(number: int) -> str:
    if number % 10 == 1 and number % 100 != 11:
        return "one"
    return "few" if number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14) else "many"


GRAMMARS = {
    "en": Grammar(_english, _germanic_plural, ("and",)),
    "es": Grammar(_spanish, _romance_plural, ("and",)),
    "fr": Grammar(_french, _french_plural, ("and",)),
    "it": Grammar(_italian, _romance_plural, ("and",)),
    "ru": Grammar(_russian, _slavic_plural, ()),
}
