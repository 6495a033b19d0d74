"""`access-number`: the numbers that subscribers call, and their options."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, own_number, printable, require_change, store
from stasis_callback.admin.intake.call_options import SetOption, parse_options, require_what_is_named
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.admin.output import one_line, print_json, print_list
from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbers import dialable
from stasis_callback.core.options import describe_options

if TYPE_CHECKING:
    from stasis_callback.engine.admission.missed_calls import Examination
    from stasis_callback.store.intake.access_numbers import AccessNumberView

app = typer.Typer(name="access-number", help="Access numbers, which subscribers call, and their options.")

Number = Annotated[
    str, typer.Argument(metavar="NUMBER", help="Access number in E.164: 3 to 15 digits, country code first.")
]


@app.command()
def add(number: Number, options: SetOption = None) -> None:
    """Add an access number."""
    given = {name: text for name, text in parse_options(options or ()).items() if text}
    number = own_number(number)
    with store() as s, recorded(s, "access-number", number):
        require_what_is_named(s, given)
        s.access_numbers.add(number, given)
    typer.echo(f"access number {number} added")
    from stasis_callback.core.kinds import Kind
    from stasis_callback.core.numbering import kind_of

    if kind_of(number) is Kind.IMPOSSIBLE:
        typer.echo(
            f"warning: {number} is not an E.164 number, so it is only reached over trunks that deliver these very "
            "digits: add it with its country code, for example 420800123456",
            err=True,
        )


@app.command("set")
def change(
    number: Number,
    options: SetOption = None,
    enabled: Annotated[
        bool | None,
        typer.Option("--enabled/--disabled", help="Enable or disable callbacks for missed calls to it."),
    ] = None,
) -> None:
    """Change the given options, all or none of them. Changes take effect from the next call."""
    require_change(options, enabled)
    given = parse_options(options or ())
    number = own_number(number)
    with store() as s, recorded(s, "access-number", number):
        require_what_is_named(s, given)
        s.access_numbers.change(number, given, enabled=enabled)
    typer.echo(f"access number {number} changed")


@app.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all access numbers with their non-default options."""
    with store() as s:
        found = s.access_numbers.all()
    rows = [{"number": view.number, "enabled": view.enabled, "options": dict(view.stored)} for view in found]
    print_records(rows, ("number", "enabled", "options"), as_csv=as_csv, as_json=as_json)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """Show all options of an access number."""
    with store() as s:
        view = s.access_numbers.named(own_number(number))
    if as_json:
        print_json({"number": view.number, "enabled": view.enabled, "options": asdict(view.options)})
        return
    typer.echo(f"{view.number} ({'enabled' if view.enabled else 'disabled'})")
    print_list(_options_in_words(view), ("option", "value", "set", "meaning"), as_json=False)


@app.command()
def remove(number: Number) -> None:
    """Remove an access number: calls to it are refused. Its callbacks and call records are kept."""
    with store() as s, recorded(s, "access-number", number):
        s.access_numbers.remove(number)
    typer.echo(f"access number {number} removed")


@app.command("options")
def list_options(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all options with default, allowed values and meaning."""
    rows = [asdict(info) for info in describe_options()]
    print_records(rows, ("name", "default", "values", "meaning"), as_csv=as_csv, as_json=as_json)


@app.command("test")
def try_out(
    number: Annotated[
        str | None, typer.Argument(metavar="NUMBER", help="Access number that is called.")
    ] = None,
    ani: Annotated[
        str,
        typer.Option(
            help="Caller's number (ANI) in E.164, see `trunk test`; omit it for a withheld number.",
            metavar="NUMBER",
        ),
    ] = "",
    dnis: Annotated[
        str | None, typer.Option(help="The access number, instead of NUMBER.", metavar="NUMBER")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Test what a missed call would lead to, and why. Nothing is changed or dialled.

    The exit code is 0 if it would be called back and 1 if it would be refused. Queued and live callbacks are ignored.
    """
    called = number if dnis is None else dnis
    if called is None or None not in (number, dnis):
        raise InvalidInput("give the access number either as NUMBER or with --dnis")
    printable(ani, "caller's number")
    printable(called, "access number")
    with store() as s:
        from stasis_callback.core.numbering import read_number
        from stasis_callback.engine.admission.missed_calls import Admission

        found = Admission(s, Clock(), queue_limit=0).examine(
            read_number(ani) or ani, read_number(called) or called
        )
    if as_json:
        print_json(_examined(found))
    else:
        for sentence in (*found.notes, _verdict(found)):
            typer.echo(one_line(sentence))
    raise typer.Exit(1 if found.reason else 0)


@app.command()
def unlock(
    caller: Annotated[str, typer.Argument(metavar="CALLER_NUMBER", help="Number that was called back.")],
) -> None:
    """End the lockout of a caller who entered wrong PINs."""
    digits = dialable(caller)
    if digits is None:
        raise InvalidInput(
            f"{caller!r} is not a phone number: write 3 to 15 digits, for example 420212345678"
        )
    with store() as s:
        from stasis_callback.engine.admission.checks import login_key

        locked = s.throttles.locked(login_key(digits))
        with recorded(s, "lockout", digits):
            s.throttles.succeeded(login_key(digits))
    typer.echo(f"{digits} is no longer locked out" if locked else f"{digits} was not locked out")


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
    asked = "" if found.subscriber else ", and asked for a PIN"
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
