"""`sounds`: the prompts that subscribers hear."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, whole
from stasis_callback.admin.output import print_json
from stasis_callback.core.errors import CallbackError, InvalidInput
from stasis_callback.core.money import parse_amount, parse_currency
from stasis_callback.resources import sounds_dir

if TYPE_CHECKING:
    from stasis_callback.ivr.prompts import Prompts, Utterance

app = typer.Typer(name="sounds", help="Voice prompts in all languages.")


class Sayable(StrEnum):
    """What `sounds say` can say."""

    BALANCE = "balance"
    DURATION = "duration"
    NUMBER = "number"
    DIGITS = "digits"
    PROMPT = "prompt"


_WANTED = {
    Sayable.BALANCE: "an amount and a currency",
    Sayable.DURATION: "seconds",
    Sayable.NUMBER: "one whole number",
    Sayable.DIGITS: "keys without spaces, for example 12#",
    Sayable.PROMPT: "a prompt's name",
}


@app.command()
def check(
    asterisk: Annotated[
        Path | None,
        typer.Option(help="Also check that this Asterisk sounds folder has every sound.", metavar="FOLDER"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that all languages are complete; exit code 1 if a prompt is missing or out of date.

    Example: `stasis-callback sounds check --asterisk /usr/share/asterisk/sounds`.
    """
    from stasis_callback.ivr.prompts import languages

    present, problems = languages(sounds_dir()), list(_problems(asterisk))
    if as_json:
        print_json({"ok": not problems, "languages": present, "findings": problems})
    else:
        for sentence in problems or [f"all prompts are complete, in {', '.join(present)}"]:
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
            yield from (f"{asterisk}: {sound} is missing" for sound in missing_sounds(prompts, asterisk))


@app.command()
def build(
    everything: Annotated[
        bool, typer.Option("--all", help="Render all prompts, even unchanged ones.")
    ] = False,
) -> None:
    """Render missing and changed prompts. Works only in a checkout of the repository.

    The first run downloads about 400 MB of speech synthesis into the checkout's `.cache`.
    """
    import subprocess

    from stasis_callback.ivr.prompts import check_sounds

    if not everything and not check_sounds(sounds_dir()):
        typer.echo("nothing to build: all prompts are up to date")
        return
    tool = sounds_dir().parent / "tools" / "render-prompts"
    if not tool.is_file():
        raise CallbackError(
            "prompts can only be built in a checkout of the repository, not in an installation"
        )
    if subprocess.run([tool, *["--all"][: int(everything)]], check=False).returncode:
        raise CallbackError(f"some prompts could not be built: see the output of {tool} above")


@app.command()
def say(
    kind: Annotated[Sayable, typer.Argument(help="What to say.")],
    values: Annotated[
        list[str], typer.Argument(help="AMOUNT CURRENCY, SECONDS, NUMBER, KEYS or the NAME of a prompt.")
    ],
    language: Annotated[str, typer.Option(help="Language code, for example en or ru.")] = "en",
    brand: Annotated[str, typer.Option(help="Use the prompts of this brand.")] = "",
    rounded: Annotated[bool, typer.Option("--minutes", help="Round a duration up to minutes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a subscriber would hear: the text and the sound files.

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


def _said(prompts: Prompts, kind: Sayable, values: list[str], rounded: bool) -> Utterance:
    """Raises InvalidInput for values that do not fit the kind, CallbackError for an unknown prompt."""
    from stasis_callback.ivr.grammar import LARGEST_READ
    from stasis_callback.ivr.prompts import Prompt
    from stasis_callback.ivr.speech import Speech

    speech, whole_number = Speech(prompts), whole(0, LARGEST_READ)
    match kind, values:
        case Sayable.BALANCE, [amount, currency]:
            return prompts.say(Prompt.BALANCE_IS) + speech.money(
                parse_amount(amount), parse_currency(currency)
            )
        case Sayable.DURATION, [seconds]:
            time = speech.duration(whole_number(seconds), "minutes" if rounded else "exact")
            return prompts.say(Prompt.MAXIMUM_DURATION_IS) + time
        case Sayable.NUMBER, [number]:
            return speech.number(whole_number(number))
        case Sayable.DIGITS, [keys]:
            return speech.digits(keys)
        case Sayable.PROMPT, [name]:
            return prompts.say(name)
    raise InvalidInput(f"invalid values {' '.join(values)!r} for {kind}: write {_WANTED[kind]}")
