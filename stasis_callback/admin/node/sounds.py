"""`sounds`: what subscribers hear, in every language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, whole
from stasis_callback.admin.output import print_json
from stasis_callback.core.errors import CallbackError, InvalidInput
from stasis_callback.core.money import parse_amount
from stasis_callback.resources import sounds_dir

if TYPE_CHECKING:
    from stasis_callback.ivr.prompts import Prompts, Utterance

app = typer.Typer(name="sounds", help="The prompts: what subscribers hear, in every language.")


class Kind(StrEnum):
    """What can be said."""

    BALANCE = "balance"
    DURATION = "duration"
    NUMBER = "number"
    DIGITS = "digits"
    PROMPT = "prompt"


_WANTED = {
    Kind.BALANCE: "an amount and a currency",
    Kind.DURATION: "seconds",
    Kind.NUMBER: "one whole number",
    Kind.DIGITS: "keys in one word",
    Kind.PROMPT: "a prompt's name",
}


@app.command()
def check(
    asterisk: Annotated[
        Path | None,
        typer.Option(help="Also look for every sound in this folder of Asterisk's.", metavar="FOLDER"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that every language is complete; exit code 1 when something is missing or out of date.

    Example: `stasis-callback sounds check --asterisk /usr/share/asterisk/sounds`.
    """
    from stasis_callback.ivr.prompts import languages

    present, problems = languages(sounds_dir()), list(_problems(asterisk))
    if as_json:
        print_json({"ok": not problems, "languages": present, "findings": problems})
    else:
        for sentence in problems or [f"all prompts are there, in {', '.join(present)}"]:
            typer.echo(sentence)
    raise typer.Exit(1 if problems else 0)


def _problems(asterisk: Path | None) -> Iterator[str]:
    from stasis_callback.ivr.grammar import GRAMMARS
    from stasis_callback.ivr.prompts import Prompts, check_sounds, languages, missing_sounds
    from stasis_callback.ivr.speech import unspeakable

    folder = sounds_dir()
    yield from check_sounds(folder)
    for language in sorted(GRAMMARS.keys() | languages(folder)):
        try:
            prompts = Prompts(folder, language)
            yield from unspeakable(prompts)
        except CallbackError as error:
            yield str(error)
            continue
        if asterisk is not None:
            yield from (f"{asterisk}: no {sound}" for sound in missing_sounds(prompts, asterisk))


@app.command()
def build(
    everything: Annotated[
        bool, typer.Option("--all", help="Render everything anew, changed or not.")
    ] = False,
) -> None:
    """Render the prompts that are missing or whose text has changed, in a checkout of the repository.

    The first time, about 400 MB of speech synthesis are fetched into the checkout's `.cache`.
    """
    import subprocess

    from stasis_callback.ivr.prompts import check_sounds

    if not everything and not check_sounds(sounds_dir()):
        typer.echo("nothing to build: every prompt is rendered from its present text")
        return
    tool = sounds_dir().parent / "tools" / "render-prompts"
    if not tool.is_file():
        raise CallbackError(
            "prompts are built in a checkout of the repository: an installation has no tool for it"
        )
    if subprocess.run([tool, *["--all"][: int(everything)]], check=False).returncode:
        raise CallbackError(f"not everything could be built: {tool} says why, above")


@app.command()
def say(
    kind: Annotated[Kind, typer.Argument(help="What to say.")],
    values: Annotated[
        list[str], typer.Argument(help="AMOUNT CURRENCY, SECONDS, NUMBER, KEYS or the NAME of a prompt.")
    ],
    language: Annotated[str, typer.Option(help="The language's code, like en or ru.")] = "en",
    brand: Annotated[str, typer.Option(help="With this brand's own prompts.")] = "",
    rounded: Annotated[bool, typer.Option("--minutes", help="A duration rounded up to minutes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a subscriber would hear: the words, and the sounds that say them.

    Example: `stasis-callback sounds say --language ru balance 21.50 USD`.
    """
    from stasis_callback.ivr.prompts import Prompts

    said = _said(Prompts(sounds_dir(), language, brand), kind, values, rounded)
    sounds = [uri.removeprefix("sound:") for uri in said.media]
    if as_json:
        print_json({"words": said.text, "sounds": sounds})
        return
    for line in (said.text, *sounds):
        typer.echo(line)


def _said(prompts: Prompts, kind: Kind, values: list[str], rounded: bool) -> Utterance:
    """Raises InvalidInput for values that do not belong to the kind, CallbackError for an unknown prompt."""
    from stasis_callback.ivr.grammar import LARGEST_READ
    from stasis_callback.ivr.prompts import Prompt
    from stasis_callback.ivr.speech import Speech

    speech, whole_number = Speech(prompts), whole(0, LARGEST_READ)
    match kind, values:
        case Kind.BALANCE, [amount, currency]:
            if not re.fullmatch("[A-Z]{3}", currency):
                raise InvalidInput(f"{currency!r} is no currency: write its code, like USD")
            return prompts.say(Prompt.BALANCE_IS) + speech.money(parse_amount(amount), currency)
        case Kind.DURATION, [seconds]:
            time = speech.duration(whole_number(seconds), "minutes" if rounded else "exact")
            return prompts.say(Prompt.MAXIMUM_DURATION_IS) + time
        case Kind.NUMBER, [number]:
            return speech.number(whole_number(number))
        case Kind.DIGITS, [keys]:
            return speech.digits(keys)
        case Kind.PROMPT, [name]:
            return prompts.say(name)
    raise InvalidInput(f"{kind} with {' '.join(values)!r}: write {_WANTED[kind]}")
