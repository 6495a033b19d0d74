"""`route`: prefixes that trunks carry, and the trunk selection for a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, own_number, phone_number, settings, store, whole
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.admin.output import print_list
from stasis_callback.clock import Clock
from stasis_callback.core.options import CallOptions
from stasis_callback.core.routing import COMPARED_TALK_S
from stasis_callback.core.words import Skipped

if TYPE_CHECKING:
    from stasis_callback.engine.routing import Considered
    from stasis_callback.store.stores import Stores

app = typer.Typer(
    name="route", help="Routes: prefixes that trunks carry, and the trunk selection for a call."
)

COLUMNS = ("order", "trunk", "preference", "prefix", "cost", "margin", "currency", "why_not")

Prefix = Annotated[str, typer.Argument(metavar="PREFIX", help="Prefix, for example 44.")]
TrunkName = Annotated[str, typer.Argument(metavar="TRUNK", help="Trunk name.")]


@app.command()
def add(
    prefix: Prefix,
    trunk: TrunkName,
    preference: Annotated[
        int | None,
        typer.Option(
            help="Preference, 0 to 100; higher is tried first, before cost [default: that of the trunk].",
            metavar="N",
            parser=whole(0, 100),
        ),
    ] = None,
) -> None:
    """Add a route: a prefix that a trunk carries. A trunk with routes carries no other prefixes."""
    with store() as s, recorded(s, "trunk", trunk):
        s.trunks.add_route(trunk, prefix, preference)
    typer.echo(f"trunk {trunk} carries calls to {prefix}")


@app.command()
def remove(prefix: Prefix, trunk: TrunkName) -> None:
    """Remove a route. A trunk without routes carries all destinations that its tariff has a rate for."""
    with store() as s, recorded(s, "trunk", trunk):
        s.trunks.remove_route(trunk, prefix)
        left = s.trunks.named(trunk).routes
    rest = (
        ""
        if left
        else ": it has no routes left, so it carries all destinations that its tariff has a rate for"
    )
    typer.echo(f"route {prefix} removed from trunk {trunk}{rest}")


@app.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all routes."""
    with store() as s:
        rows = [
            {"prefix": prefix, "trunk": trunk.name, "preference": preference}
            for trunk in s.trunks.all()
            for prefix, preference in trunk.routes.items()
        ]
    rows.sort(key=lambda row: (str(row["prefix"]), str(row["trunk"])))
    print_records(rows, ("prefix", "trunk", "preference"), as_csv=as_csv, as_json=as_json)


@app.command()
def explain(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Number called, in E.164 digits.")],
    account: Annotated[str, typer.Option(help="Account that pays.", metavar="ID")],
    access_number: Annotated[
        str, typer.Option(help="Use the options of this access number.", metavar="NUMBER")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Explain the trunk selection for a call: trunks in order, and why others are skipped. Nothing is dialled."""
    number = phone_number(number)
    with store() as s:
        rows = [
            _record(n, one) for n, one in enumerate(_considered(s, number, account, access_number), start=1)
        ]
        in_use = any(trunk.enabled_at_us is not None for trunk in s.trunks.all())
    if not in_use and not as_json:
        why = "no trunk has been enabled" if rows else "there are no trunks in the database"
        typer.echo(f"{why}: all calls use trunk {settings().asterisk.trunk} of the settings")
        return
    print_list(rows, COLUMNS, as_json=as_json)
    if not as_json:
        typer.echo(f"cost and margin are for a call of {COMPARED_TALK_S} seconds")


def _considered(s: Stores, number: str, account_id: str, access_number: str) -> list[Considered]:
    from stasis_callback.admin.rates.explanation import decide
    from stasis_callback.engine.routing import Router

    account = s.accounts.named(account_id)
    options = s.access_numbers.named(own_number(access_number)).options if access_number else CallOptions()
    tariff = s.tariffs.get(s.accounts.tariff_for(account, options.access_code))
    rate = decide(s, tariff, number, Clock().now_us()).view
    router = Router(s.trunks, s.tariffs, Clock(), settings().asterisk.trunk)
    return router.consider(s.trunks.all(), number, rate, account.currency, options)


def _record(order: int, one: Considered) -> dict[str, object]:
    """The fields that commands show for a trunk. If it is skipped, `order` is None and `why_not` the reason."""
    ranked = one.ranked
    return {
        "order": None if one.why_not else order,
        "trunk": one.trunk.name,
        "vendor": one.trunk.vendor,
        "preference": ranked.offer.preference if ranked else None,
        "prefix": one.cost.rate.prefix if one.cost else None,
        "cost_micros": ranked.cost_micros if ranked else None,
        "earned_micros": ranked.earned_micros if ranked else None,
        "margin_micros": _margin(one),
        "currency": one.trunk.currency,
        "why_not": one.why_not or "",
    }


def _margin(one: Considered) -> int | None:
    """Revenue minus cost in micros; None if their currencies differ."""
    if one.ranked is None or one.why_not is Skipped.OTHER_CURRENCY:
        return None
    return one.ranked.earned_micros - one.ranked.cost_micros
