"""`access-number`: the numbers subscribers ring, and what happens behind each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, require_change, store
from stasis_callback.admin.output import print_json, print_list
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.options import CallOptions, describe_options

if TYPE_CHECKING:
    from stasis_callback.store.access_numbers import AccessNumberView

app = typer.Typer(name="access-number", help="The numbers subscribers ring, and their options.")

Number = Annotated[
    str, typer.Argument(metavar="NUMBER", help="The number as the trunk delivers it: 3 to 15 digits.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An option, see `access-number options`; repeatable; `name=` restores its default.",
    ),
]


@app.command()
def add(number: Number, options: Set = None) -> None:
    """Add an access number."""
    given = {name: text for name, text in _parse(options or ()).items() if text}
    with store() as s:
        s.access_numbers.add(number, given)
    typer.echo(f"access number {number} added")


@app.command("set")
def change(
    number: Number,
    options: Set = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Whether missed calls to it are called back.")
    ] = None,
) -> None:
    """Change what is given, all or nothing, from the next call on."""
    require_change(options, enabled)
    given = _parse(options or ())
    with store() as s:
        s.access_numbers.change(number, given, enabled=enabled)
    typer.echo(f"access number {number} changed")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all access numbers with the options that differ from the defaults."""
    with store() as s:
        found = s.access_numbers.all()
    rows = [
        {
            "number": view.number,
            "enabled": view.enabled,
            "options": dict(view.stored) if as_json else [f"{k}={v}" for k, v in view.stored.items()],
        }
        for view in found
    ]
    print_list(rows, ("number", "enabled", "options"), as_json=as_json)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """Show every option of an access number."""
    with store() as s:
        view = s.access_numbers.find(number)
    if view is None:
        raise InvalidInput(f"there is no access number {number!r}: see `stasis-callback access-number list`")
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


def _parse(words: Iterable[str]) -> dict[str, str]:
    """`name=value` words as a dict. Raises InvalidInput for an unknown, repeated or unusable one."""
    given: dict[str, str] = {}
    known = {info.name: info.default for info in describe_options()}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign:
            raise InvalidInput(f"{word!r}: write an option as name=value")
        if name in given:
            raise InvalidInput(f"option {name!r} is given twice")
        CallOptions.parse({name: text or known.get(name, "")})
        given[name] = text
    return given
