"""The prompts: what each is called, what it says in words, and which sounds say it.

The texts stand in `sounds/LANGUAGE/manifest.toml`. An entry is either a list of recorded Asterisk core sounds or
one of our own, rendered beside the manifest. Asterisk finds ours as `LANGUAGE/stasis-callback/NAME`: the folder
`sounds/LANGUAGE` is linked as `LANGUAGE/stasis-callback` into Asterisk's sounds folder. The language is named in
every sound, so that one call can use several languages, regardless of the language of its channel.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog

from stasis_callback.core.errors import CallbackError, InvalidInput

log = structlog.get_logger()

MANIFEST, RENDERED, BRANDS = "manifest.toml", "rendered.json", "brands"
FORMATS = ("ulaw", "g722")
"""File types of a rendered prompt: 8 kHz for telephone trunks, 16 kHz for wideband ones."""


class Prompt(StrEnum):
    """The whole phrases. The words of numbers, money and times are in `speech`."""

    SILENCE = "silence"  # one second, first on an answered leg: the media path is not up at once
    WELCOME = "welcome"
    GOODBYE = "goodbye"
    APOLOGY = "apology"
    PRESS_ONE = "press-one"
    LANGUAGE_MENU = "language-menu"  # + speech.digits: the key that chooses this language
    ENTER_PIN = "enter-pin"
    ENTER_PASSWORD = "enter-password"  # noqa: S105  a prompt, not a password
    LOGIN_WRONG = "login-wrong"  # the same for unknown, blocked and wrong
    REGISTER_OFFER = "register-offer"
    REGISTERED = "registered"
    TRY_AGAIN = "try-again"
    BALANCE_IS = "balance-is"  # + speech.money
    CREDIT_LIMIT_IS = "credit-limit-is"  # + speech.money
    ENTER_DESTINATION = "enter-destination"
    ENTER_ANOTHER = "enter-another"
    SPEED_DIAL_EMPTY = "speed-dial-empty"
    ENTER_VOUCHER = "enter-voucher"
    VOUCHER_WRONG = "voucher-wrong"  # the same for unknown, used, blocked and expired
    VOUCHER_LOCKED = "voucher-locked"
    MAXIMUM_DURATION_IS = "maximum-duration-is"  # + speech.duration
    CALLING = "calling"
    LOW_FUNDS = "low-funds"  # + speech.duration
    CREDIT_USED_UP = "credit-used-up"
    NUMBER_BUSY = "number-busy"
    NUMBER_NO_ANSWER = "number-no-answer"
    NUMBER_UNREACHABLE = "number-unreachable"
    NUMBER_INVALID = "number-invalid"
    DESTINATION_NOT_AVAILABLE = "destination-not-available"
    EMERGENCY_NUMBER = "emergency-number"
    NO_FUNDS = "no-funds"
    ACCOUNT_BLOCKED = "account-blocked"
    ACCOUNT_EXPIRED = "account-expired"
    ACCOUNT_IN_USE = "account-in-use"
    LIMIT_REACHED = "limit-reached"


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something said: ARI media URIs in playing order, and the same in words. Utterances add up."""

    media: tuple[str, ...] = ()
    """Only `sound:` items: Asterisk cannot stop `number:` and `digits:` playbacks when a digit is keyed."""
    text: str = ""

    def __add__(self, other: Utterance) -> Utterance:
        return Utterance(self.media + other.media, f"{self.text} {other.text}".strip())


NOTHING = Utterance()


class Prompts:
    """One language's manifest. Raises CallbackError when it is not there or cannot be read.

    A sound of this name in `sounds/LANGUAGE/brands/BRAND` is played instead of the usual one. A brand's folder that
    cannot be read is no reason to end a call: the usual ones are played then.
    """

    def __init__(self, sounds_dir: Path, language: str = "en", brand: str = "") -> None:
        path = sounds_dir / language / MANIFEST
        try:
            manifest: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
            entries: dict[str, dict[str, str]] = manifest["prompts"] | manifest["words"]
            self.texts = {name: entry["text"] for name, entry in entries.items()}
            self.core = {name: entry["core"].split() for name, entry in entries.items() if "core" in entry}
            self.rendered = {
                name: entry.get("say", entry["text"])
                for name, entry in entries.items()
                if name not in self.core
            }
            """Our own recordings: name, and what the synthesiser is given."""
            self.nouns: dict[str, dict[str, str]] = manifest["nouns"]
            self.currencies: dict[str, dict[str, str]] = manifest["currencies"]
        except OSError as error:
            raise CallbackError(
                f"there are no prompts in language {language!r}: {path}: {error.strerror}"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CallbackError(f"{path} is damaged ({error!r}): restore the file") from error
        self.language = language
        self.phrases = frozenset(manifest["prompts"])
        self._brand = brand
        try:
            self._branded = brands_sounds(sounds_dir, language, brand) if brand else set()
        except OSError as error:
            self._branded = set()
            log.warning("brand.not_read", folder=error.filename, error=error.strerror)

    def say(self, name: str) -> Utterance:
        """A prompt or word of the manifest. Raises CallbackError for a name it does not have."""
        if name not in self.texts:
            raise CallbackError(
                f"prompt {name!r} is missing in language {self.language!r}: add it to {MANIFEST}"
            )
        sounds = self.core.get(name, [f"stasis-callback/{name}"])
        if name in self._branded:
            sounds = [f"stasis-callback/{BRANDS}/{self._brand}/{name}"]
        return Utterance(tuple(f"sound:{self.language}/{sound}" for sound in sounds), self.texts[name])

    def media(self, name: str) -> list[str]:
        """The ARI media URIs of a prompt, in playing order."""
        return list(self.say(name).media)

    def text(self, name: str) -> str:
        """The text of a prompt."""
        return self.say(name).text


def brands_sounds(sounds_dir: Path, language: str, brand: str) -> set[str]:
    """The names of a brand's own sounds; none where it has no folder. Raises OSError if that cannot be read."""
    try:
        return {file.stem for file in (sounds_dir / language / BRANDS / brand).iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def languages(sounds_dir: Path) -> list[str]:
    """The languages that have a manifest."""
    return sorted(path.parent.name for path in sounds_dir.glob(f"*/{MANIFEST}"))


def require_language(sounds_dir: Path, language: str) -> None:
    """Raises InvalidInput if there are no prompts in `language`, by whichever door it comes."""
    known = languages(sounds_dir)
    if language not in known:
        raise InvalidInput(f"there are no prompts in language {language!r}: use one of {', '.join(known)}")


def check_sounds(sounds_dir: Path) -> list[str]:
    """What is wrong with the prompts of all languages, one sentence each; empty when they are complete."""
    return [problem for language in languages(sounds_dir) for problem in _check(sounds_dir, language)]


def missing_sounds(prompts: Prompts, folder: Path) -> list[str]:
    """Sounds the manifest needs (`en/digits/1`, `en/stasis-callback/welcome`) that are in no format below `folder`.

    `folder` is Asterisk's, such as `/usr/share/asterisk/sounds`.
    """
    sounds = {uri.removeprefix("sound:") for name in prompts.texts for uri in prompts.say(name).media}
    return sorted(s for s in sounds if not any((folder / s).parent.glob(f"{Path(s).name}.*")))


def _check(sounds_dir: Path, language: str) -> Iterator[str]:
    """The manifest against the code, and our own files against the manifest."""
    folder, prompts = sounds_dir / language, Prompts(sounds_dir, language)
    for name in sorted(prompts.phrases ^ set(Prompt)):
        yield f"{language}: the prompt {name} is not both in {MANIFEST} and in the code"
    record = folder / RENDERED
    record_of = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    files = {path.name for path in folder.iterdir()} - {MANIFEST, RENDERED, BRANDS}
    for name, text in prompts.rendered.items():
        own = {f"{name}.{suffix}" for suffix in FORMATS}
        if not own <= files or record_of.get(name, {}).get("text") != text:
            yield f"{language}: {name} is not rendered from its present text: run `stasis-callback sounds build`"
        files -= own
    for file in sorted(files):
        yield f"{language}: {file} belongs to nothing in {MANIFEST}: delete it"
