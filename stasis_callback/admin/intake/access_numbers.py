"""`access-number`: the numbers subscribers ring, and what happens behind each."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, printable, require_change, store
from stasis_callback.admin.intake.call_options import SetOption, parse_options, require_what_is_named
from stasis_callback.admin.output import one_line, print_json, print_list
from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbers import dialable
from stasis_callback.core.options import describe_options

if TYPE_CHECKING:
    from stasis_callback.engine.admission.missed_calls import Examination
    from stasis_callback.store.intake.access_numbers import AccessNumberView

app = typer.Typer(name="access-number", help="The numbers subscribers ring, and their options.")

Number = Annotated[
    str, typer.Argument(metavar="NUMBER", help="The number as the trunk delivers it: 3 to 15 digits.")
]


@app.command()
def add(number: Number, options: SetOption = None) -> None:
    """Add an access number."""
    given = {name: text for name, text in parse_options(options or ()).items() if text}
    with store() as s:
        require_what_is_named(s, given)
        s.access_numbers.add(number, given)
    typer.echo(f"access number {number} added")


@app.command("set")
def change(
    number: Number,
    options: SetOption = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Whether missed calls to it are called back.")
    ] = None,
) -> None:
    """Change what is given, all or nothing, from the next call on."""
    require_change(options, enabled)
    given = parse_options(options or ())
    with store() as s:
        require_what_is_named(s, given)
        s.access_numbers.change(number, given, enabled=enabled)
    typer.echo(f"access number {number} changed")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all access numbers with the options that differ from the defaults."""
    with store() as s:
        found = s.access_numbers.all()
    rows = [{"number": view.number, "enabled": view.enabled, "options": dict(view.stored)} for view in found]
    print_list(rows, ("number", "enabled", "options"), as_json=as_json)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """Show every option of an access number."""
    with store() as s:
        view = s.access_numbers.named(number)
    if as_json:
        print_json({"number": view.number, "enabled": view.enabled, "options": asdict(view.options)})
        return
    typer.echo(f"{view.number} ({'enabled' if view.enabled else 'disabled'})")
    print_list(_options_in_words(view), ("option", "value", "set", "meaning"), as_json=False)


@app.command("options")
def list_options(as_json: AsJson = False) -> None:
    """List every option with its default, allowed values and meaning."""
    rows = [asdict(info) for info in describe_options()]
    print_list(rows, ("name", "default", "values", "meaning"), as_json=as_json)


@app.command("test")
def try_out(
    number: Annotated[
        str | None, typer.Argument(metavar="NUMBER", help="The access number that is called.")
    ] = None,
    ani: Annotated[
        str,
        typer.Option(help="The caller's number as the trunk delivers it; none: withheld.", metavar="NUMBER"),
    ] = "",
    dnis: Annotated[
        str | None, typer.Option(help="Another way to write the access number.", metavar="NUMBER")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a missed call would lead to and why; nothing is changed or dialled.

    The exit code is 0 when it would be called back, 1 when it would be refused. Callbacks that wait or are under way
    do not count.
    """
    called = number if dnis is None else dnis
    if called is None or None not in (number, dnis):
        raise InvalidInput("write the access number once: as NUMBER or with --dnis")
    printable(ani, "the caller's number")
    printable(called, "access number")
    with store() as s:
        from stasis_callback.engine.admission.missed_calls import Admission

        found = Admission(s, Clock(), queue_limit=0).examine(ani, called)
    if as_json:
        print_json(_examined(found))
    else:
        for sentence in (*found.notes, _verdict(found)):
            typer.echo(one_line(sentence))
    raise typer.Exit(1 if found.reason else 0)


@app.command()
def unlock(
    caller: Annotated[str, typer.Argument(metavar="CALLER_NUMBER", help="The number that was called back.")],
) -> None:
    """Let a caller who was locked out after wrong PINs try again."""
    digits = dialable(caller)
    if digits is None:
        raise InvalidInput(f"{caller!r} is not a number: write 3 to 15 digits, like 420212345678")
    with store() as s:
        from stasis_callback.engine.admission.checks import login_key

        locked = s.throttles.locked(login_key(digits))
        s.throttles.succeeded(login_key(digits))
    typer.echo(f"{digits} is not locked out any more" if locked else f"{digits} was not locked out")


def _examined(found: Examination) -> dict[str, object]:
    return {
        "called_back": not found.reason,
        "reason": found.reason,
        "trigger": found.trigger,
        "leg_a_number": found.number,
        "payer": found.payer.number if found.payer else "",
        "subscriber": found.subscriber.number if found.subscriber else "",
        "notes": found.notes,
    }


def _verdict(found: Examination) -> str:
    if found.reason:
        return f"the call would be refused: {found.reason}"
    asked = "" if found.subscriber else ", and whoever answers is asked for a PIN"
    return f"{found.number} would be called back{asked}"


def _options_in_words(view: AccessNumberView) -> list[dict[str, object]]:
    return [
        {
            "option": info.name,
            "value": view.stored.get(info.name, info.default),
            "set": "here" if info.name in view.stored else "default",
            "meaning": info.meaning,
        }
        for info in describe_options()
    ]
