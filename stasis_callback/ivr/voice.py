"""One language's prompts and spoken values together, loaded once per process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from stasis_callback.core.errors import CallbackError
from stasis_callback.ivr.prompts import Prompts, Utterance
from stasis_callback.ivr.speech import Rounding, Speech

DEFAULT_LANGUAGE = "en"
"""Spoken where none of the languages that are wanted has prompts."""


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


def voices(sounds: Path, languages: Sequence[str], brand: str = "") -> list[Voice]:
    """The voices of those languages that have prompts, in this order; never empty.

    A language is checked when it is set, but its prompts may be gone since: that is no reason to end a call. Raises
    CallbackError when those of the default language are gone or cannot be read, too.
    """
    found = [one for language in languages if (one := _voice_or_none(sounds, language, brand)) is not None]
    return found or [voice(sounds, DEFAULT_LANGUAGE, brand)]


def silent(sounds: Path, languages: Sequence[str], brand: str = "") -> list[str]:
    """Those of the languages that have no prompts."""
    return [language for language in languages if _voice_or_none(sounds, language, brand) is None]


def _voice_or_none(sounds: Path, language: str, brand: str) -> Voice | None:
    try:
        return voice(sounds, language, brand)
    except CallbackError:
        return None
