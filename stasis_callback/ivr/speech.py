"""Numbers, money, times and digits in words, each word a sound of the manifest.

Money is rounded down, so that no more is promised than there is; a time may be rounded up to the minute. How a
language counts is in `grammar`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Literal

from stasis_callback.core.errors import CallbackError, InvalidInput, require
from stasis_callback.core.money import MICROS, decimals_of
from stasis_callback.ivr.grammar import GRAMMARS, LARGEST_READ
from stasis_callback.ivr.prompts import Prompts, Utterance

_SPOKEN = "AED AUD BRL CAD CHF CNY CZK EUR GBP INR JPY KZT MXN NGN PLN RUB TRY UAH USD"
SPOKEN = frozenset(_SPOKEN.split())
"""Currencies with words in every language."""
_LIKE = {
    "USD": "BBD BMD BND BSD BZD FJD GYD HKD JMD KYD LRD NAD NZD SBD SGD SRD TTD TWD XCD ZWG",
    "GBP": "FKP GIP SHP",
    "CHF": "BIF CDF CHE CHW DJF GNF KMF RWF XAF XOF XPF",
    "MXN": "ARS CLP COP CUP DOP PHP UYU",
    "RUB": "BYN",
    "INR": "LKR MUR NPR PKR SCR",
    "AED": "MAD",
}
_NAMESAKE = {code: like for like, codes in _LIKE.items() for code in codes.split()}
"""Currencies that are called as another one is. An account has one currency, so `dollars` are its own."""
_KEYS = {"*": "star", "#": "pound-key", "+": "plus"}

Rounding = Literal["exact", "minutes"]


class Speech:
    """Says values in the language of the given prompts. Raises CallbackError for a language without grammar."""

    def __init__(self, prompts: Prompts) -> None:
        if prompts.language not in GRAMMARS:
            raise CallbackError(
                f"language {prompts.language!r} is not supported: use one of {', '.join(GRAMMARS)}"
            )
        self._prompts = prompts
        self._grammar = GRAMMARS[prompts.language]

    def number(self, number: int) -> Utterance:
        """A whole number, counted without a noun."""
        return self._count(number)

    def money(self, amount_micros: int, currency: str) -> Utterance:
        """An amount, rounded down to the minor unit of its currency: "twenty one dollars and five cents".

        Down means never more than there is, so a debt of half a cent is "minus one cent". Of a currency without words
        only the amount is said, "twenty one dot zero five": its owner knows which it is.
        """
        decimals = decimals_of(currency)
        minor_total = amount_micros * 10**decimals // MICROS
        main, minor = divmod(abs(minor_total), 10**decimals)
        sign = self._words(["minus"]) if minor_total < 0 else Utterance()
        nouns = self._prompts.currencies.get(_NAMESAKE.get(currency, currency))
        if nouns is None:
            fraction = self._words(["point", *f"{minor:0{decimals}d}"]) if minor else Utterance()
            return sign + self._count(main) + fraction
        return sign + self._listed([(main, nouns["main"]), (minor, nouns.get("minor", ""))])

    def duration(self, seconds: int, rounding: Rounding = "exact") -> Utterance:
        """A time: "one hour two minutes and five seconds". "minutes" rounds up to the minute from one minute on."""
        require(seconds >= 0, f"a negative duration of {seconds} s cannot be announced")
        if rounding == "minutes" and seconds >= 60:
            seconds += -seconds % 60
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        if seconds == 0:
            return self._count(0, "second")
        return self._listed([(hour, "hour"), (minute, "minute"), (second, "second")])

    def digits(self, text: str) -> Utterance:
        """Keys one by one: digits, star, pound and a leading plus. Raises InvalidInput for anything else."""
        if not all(key in "0123456789" or key in _KEYS for key in text):
            raise InvalidInput(f"{text!r} cannot be announced: only digits, *, # and + have sounds")
        return self._words(_KEYS.get(key, key) for key in text)

    def _words(self, names: Iterable[str]) -> Utterance:
        return sum(map(self._prompts.say, names), Utterance())

    def _count(self, number: int, noun: str = "") -> Utterance:
        """A number and, where given, the noun it counts in the plural form that belongs to it."""
        forms = self._prompts.nouns[noun] if noun else {}
        if abs(number) > LARGEST_READ:
            words: Iterable[str] = str(abs(number))
        else:
            words = self._grammar.cardinal(abs(number), forms.get("gender", ""))
        if number < 0:
            words = chain(["minus"], words)
        if noun:
            form = forms.get(self._grammar.plural(abs(number))) or forms["other"]
            words = chain(words, form.split())
        return self._words(words)

    def _listed(self, parts: list[tuple[int, str]]) -> Utterance:
        """Several counted nouns, the zeros left out unless nothing else is there."""
        said = [self._count(number, noun) for number, noun in parts if number] or [self._count(*parts[0])]
        last = said.pop()
        return (
            sum(said, Utterance()) + (self._words(self._grammar.conjunction) if said else Utterance()) + last
        )


def unspeakable(prompts: Prompts) -> list[str]:
    """What a language cannot say because its manifest lacks a word, one sentence each; empty if it is complete."""
    speech = Speech(prompts)
    problems = [f"{prompts.language}: no words for {code}" for code in SPOKEN - prompts.currencies.keys()]
    numbers = (
        *range(101),
        *range(101, 1100, 99),
        *(n * 10**power for power in range(3, 10) for n in (1, 2, 5)),
    )
    try:
        for noun in ("", *prompts.nouns):
            for number in numbers:
                speech._count(number, noun)
        for currency in prompts.currencies:
            speech.money(-1_230_000, currency)
        speech.duration(3661)
        speech.digits("0123456789+*#")
        speech._words(("point",))
    except (CallbackError, KeyError) as error:
        problems.append(f"{prompts.language}: {error}")
    return sorted(problems)
