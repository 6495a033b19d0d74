"""`trunk`: trunks to carriers, with tariff, preference and capacity."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, store, whole
from stasis_callback.admin.output import print_list, print_one
from stasis_callback.admin.rates import number_forms

if TYPE_CHECKING:
    from stasis_callback.store.rates.trunks import TrunkView

app = typer.Typer(name="trunk", help="Trunks to carriers, with tariff, preference and capacity.")

COLUMNS = ("name", "vendor", "tariff", "enabled", "preference", "calls_limit", "calls_per_s", "routes")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Trunk name: that of its PJSIP endpoint in Asterisk.")
]
Preference = Annotated[
    int | None,
    typer.Option(
        help="Preference, 0 to 100; higher is tried first, before cost [default: 50].",
        metavar="N",
        parser=whole(0, 100),
    ),
]
CallsLimit = Annotated[
    int | None,
    typer.Option(
        help="Maximum number of simultaneous calls; 0: no limit.", metavar="N", parser=whole(0, 100_000)
    ),
]
CallsPerS = Annotated[
    int | None,
    typer.Option(
        "--calls-per-s",
        help="Maximum number of new calls per second; 0: no limit.",
        metavar="N",
        parser=whole(0, 100_000),
    ),
]
Rules = Annotated[
    str | None,
    typer.Option(
        help="Translation rules from E.164 digits to the trunk's format, for example s/^/+/; separated by ;",
        metavar="RULES",
    ),
]


@app.command()
def add(
    name: Name,
    vendor: Annotated[str, typer.Option(help="Vendor of the trunk.", metavar="NAME")],
    tariff: Annotated[
        str, typer.Option(help="Tariff with our costs, in the vendor's currency.", metavar="NAME")
    ],
    preference: Preference = None,
    calls_limit: CallsLimit = None,
    calls_per_s: CallsPerS = None,
    number_rules: Rules = None,
) -> None:
    """Add a trunk. Once there is one, calls use these trunks instead of the trunk of the settings."""
    with store() as s:
        first = not s.trunks.all()
        s.trunks.add(
            name,
            vendor=vendor,
            tariff=tariff,
            preference=preference,
            calls_limit=calls_limit,
            calls_per_s=calls_per_s,
            number_rules=number_rules,
        )
    typer.echo(
        f"trunk {name} added"
        + (
            ": from now on calls use the trunks in `trunk list`, not the trunk of the settings"
            if first
            else ""
        )
    )


@app.command("set")
def change(
    name: Name,
    tariff: Annotated[str | None, typer.Option(help="Tariff with our costs.", metavar="NAME")] = None,
    preference: Preference = None,
    calls_limit: CallsLimit = None,
    calls_per_s: CallsPerS = None,
    number_rules: Rules = None,
    numbers: number_forms.Numbers = None,
    called_in: number_forms.CalledIn = None,
    caller_in: number_forms.CallerIn = None,
    caller_out: number_forms.CallerOut = None,
    identity: number_forms.Identity = None,
    called_from: number_forms.CalledFrom = None,
) -> None:
    """Change a trunk, from the next call on. `trunk test` shows what its number form makes of numbers."""
    form = number_forms.given(
        numbers=numbers,
        called_in=called_in,
        caller_in=caller_in,
        caller_out=caller_out,
        identity=identity,
        called_from=called_from,
    )
    with store() as s:
        trunk = s.trunks.change(
            name,
            tariff=tariff,
            preference=preference,
            calls_limit=calls_limit,
            calls_per_s=calls_per_s,
            number_rules=number_rules,
            number_form=form,
        )
        number_forms.warn_of_access_numbers(trunk.number_form, s)
    print_one(_record(trunk), as_json=False)


app.command("test")(number_forms.try_out)


@app.command()
def enable(name: Name) -> None:
    """Enable a trunk, so that it carries calls."""
    with store() as s:
        s.trunks.change(name, enabled=True)
    typer.echo(f"trunk {name} is enabled")


@app.command()
def disable(name: Name) -> None:
    """Disable a trunk: it carries no new calls. Live calls continue."""
    with store() as s:
        s.trunks.change(name, enabled=False)
    typer.echo(f"trunk {name} is disabled: it carries no new calls")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all trunks."""
    with store() as s:
        print_list([_record(trunk) for trunk in s.trunks.all()], COLUMNS, as_json=as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a trunk."""
    with store() as s:
        print_one(_record(s.trunks.named(name)), as_json=as_json)


def _record(trunk: TrunkView) -> dict[str, object]:
    """The fields that commands show for a trunk; `routes` maps prefixes to preferences."""
    hidden = ("id", "tariff_id", "number_form", "called_out")  # the last is `number_rules`
    fields = asdict(trunk) | asdict(trunk.number_form)
    return {name: value for name, value in fields.items() if name not in hidden}
