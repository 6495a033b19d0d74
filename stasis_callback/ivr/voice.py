"""One language's prompts and spoken values together, loaded once per process."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from stasis_callback.ivr.prompts import Prompts, Utterance
from stasis_callback.ivr.speech import Rounding, Speech


class Voice:
    """Composes and plays what a conversation announces."""

    def __init__(self, sounds: Path, language: str, brand: str) -> None:
        """Raises CallbackError when the language is not installed."""
        self._prompts = Prompts(sounds, language, brand)
        self._speech = Speech(self._prompts)

    def say(self, prompt: str) -> Utterance:
        """A complete prompt."""
        return self._prompts.say(prompt)

    def money(self, amount_micros: int, currency: str) -> Utterance:
        """An amount, rounded down."""
        return self._speech.money(amount_micros, currency)

    def duration(self, seconds: int, rounding: Rounding = "exact") -> Utterance:
        """A duration."""
        return self._speech.duration(seconds, rounding)

    def digits(self, digits: str) -> Utterance:
        """Digits, one by one."""
        return self._speech.digits(digits)


@cache
def voice(sounds: Path, language: str, brand: str = "") -> Voice:
    """The voice of a language, with a brand's own prompts where it has any; the manifest is read once."""
    return Voice(sounds, language, brand)
