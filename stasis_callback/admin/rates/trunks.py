"""`trunk`: the ways into the network, what each costs, and how much it carries."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, store, whole
from stasis_callback.admin.output import print_list, print_one

if TYPE_CHECKING:
    from stasis_callback.store.rates.trunks import TrunkView

app = typer.Typer(name="trunk", help="The ways into the network, what each costs, and how much it carries.")

COLUMNS = ("name", "vendor", "tariff", "enabled", "preference", "calls_limit", "calls_per_s", "routes")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the PJSIP endpoint in Asterisk.")]
Preference = Annotated[
    int | None,
    typer.Option(
        help="The higher the sooner, before cost: 0 to 100 (50).", metavar="N", parser=whole(0, 100)
    ),
]
CallsLimit = Annotated[
    int | None, typer.Option(help="Calls at once; 0 for no limit.", metavar="N", parser=whole(0, 100_000))
]
CallsPerS = Annotated[
    int | None,
    typer.Option(
        "--calls-per-s", help="New calls a second; 0 for no limit.", metavar="N", parser=whole(0, 100_000)
    ),
]
Rules = Annotated[
    str | None,
    typer.Option(
        help="From E.164 digits to what the trunk wants, like s/^/+/; several by ;", metavar="RULES"
    ),
]


@app.command()
def add(
    name: Name,
    vendor: Annotated[str, typer.Option(help="Whose trunk it is.", metavar="NAME")],
    tariff: Annotated[
        str, typer.Option(help="The tariff we pay by, in the vendor's currency.", metavar="NAME")
    ],
    preference: Preference = None,
    calls_limit: CallsLimit = None,
    calls_per_s: CallsPerS = None,
    number_rules: Rules = None,
) -> None:
    """Add a trunk. From the first one on, calls go over these trunks and no longer over that of the settings."""
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
        f"trunk {name} added" + (": calls go over the trunks listed here from now on" if first else "")
    )


@app.command("set")
def change(
    name: Name,
    tariff: Annotated[str | None, typer.Option(help="The tariff we pay by.", metavar="NAME")] = None,
    preference: Preference = None,
    calls_limit: CallsLimit = None,
    calls_per_s: CallsPerS = None,
    number_rules: Rules = None,
) -> None:
    """Change a trunk, from the next call on."""
    with store() as s:
        trunk = s.trunks.change(
            name,
            tariff=tariff,
            preference=preference,
            calls_limit=calls_limit,
            calls_per_s=calls_per_s,
            number_rules=number_rules,
        )
    print_one(_record(trunk), as_json=False)


@app.command()
def enable(name: Name) -> None:
    """Let a trunk carry calls."""
    with store() as s:
        s.trunks.change(name, enabled=True)
    typer.echo(f"trunk {name} carries calls")


@app.command()
def disable(name: Name) -> None:
    """Let a trunk carry no new calls; those under way go on."""
    with store() as s:
        s.trunks.change(name, enabled=False)
    typer.echo(f"trunk {name} carries no new calls")


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
    """A trunk as commands show it; `routes` are preferences by prefix."""
    return {name: value for name, value in asdict(trunk).items() if name not in ("id", "tariff_id")}
