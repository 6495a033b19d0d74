"""`rate profile`: what is known of the lists of a carrier, and cannot be found out from each of them."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from stasis_callback.admin.context import AsJson, printable, require_change, store
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.admin.output import print_one
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.rate_columns import (
    DATES,
    DECIMALS,
    DELIMITERS,
    MORE,
    OWN,
    PER,
    Profile,
    parse_columns,
)
from stasis_callback.core.rating import INTERVAL_LIMIT_S

if TYPE_CHECKING:
    from stasis_callback.store.stores import Stores

T = TypeVar("T")

app = typer.Typer(name="profile", help="Profiles: how the rate lists of a carrier are read and written.")

BUILT_IN = {
    "portabilling": Profile(
        columns={
            "action": "+ or -",
            "prefix": "Destination",
            "country": "Country",
            "description": "Description",
            "first_interval": "Interval First",
            "next_interval": "Interval Next",
            "first_price": "Price First",
            "next_price": "Price Next",
            "off_peak_first_interval": "Off-peak Interval First",
            "off_peak_next_interval": "Off-peak Interval Next",
            "off_peak_first_price": "Off-peak Price First",
            "off_peak_next_price": "Off-peak Price Next",
            "forbidden": "Forbidden",
            "discontinued": "Discontinued",
            "from": "Effective from",
        }
    ),
    "a2billing": Profile(
        columns={
            "prefix": "dialprefix",
            "description": "destination",
            "first_price": "rateinitial",
            "first_interval": "initblock",
            "next_interval": "billingblock",
            "connect_fee": "connectcharge",
        },
        delimiter=";",
    ),
}
"""For writing lists; they are read without a profile."""

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Profile name, for example the name of the vendor.")
]
ByName = Annotated[
    str | None,
    typer.Option(
        "--profile",
        help="Use the profile of this name, for example the name of the vendor; options given with it are saved "
        f"in it. Built in for export: {', '.join(BUILT_IN)}.",
        metavar="NAME",
    ),
]
ColumnNames = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Meaning of columns, by their name in the list or their number: 'prefix=Code,first_price=3'. "
        f"Columns are {', '.join((*OWN, *MORE))}.",
        metavar="COLUMN=NAME,...",
    ),
]
Ignore = Annotated[
    str | None,
    typer.Option(
        help="Columns that do not matter, by name or number, separated by commas.", metavar="NAME,..."
    ),
]
Encoding = Annotated[
    str | None, typer.Option(help="Encoding, for example cp1250 [default: detected].", metavar="NAME")
]
Delimiter = Annotated[
    str | None,
    typer.Option(help="Delimiter: comma, semicolon, tab or pipe [default: detected].", metavar="NAME"),
]
SheetName = Annotated[
    str | None, typer.Option("--sheet", help="Sheet of an .xlsx file [default: detected].", metavar="NAME")
]
Decimal = Annotated[
    str | None, typer.Option(help="Decimal sign: point or comma [default: detected].", metavar="NAME")
]
Dates = Annotated[
    str | None,
    typer.Option(help="Order of dates like 01/12/2026: dmy (day first) or mdy.", metavar="ORDER"),
]
TimeZone = Annotated[
    str | None,
    typer.Option(help="Time zone of dates without one [default: yours].", metavar="NAME"),
]
Per = Annotated[
    str | None, typer.Option(help="Prices are per minute or second [default: minute].", metavar="UNIT")
]
Intervals = Annotated[
    str | None,
    typer.Option(
        help="Intervals of lines that name none, for example 60/60 [default: 1/1].", metavar="FIRST/NEXT"
    ),
]
Cost = Annotated[
    bool, typer.Option("--cost", help="Read the buying prices of a list that has buying and selling prices.")
]


def given_profile(
    columns: str | None = None,
    ignore: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheet: str | None = None,
    decimal: str | None = None,
    dates: str | None = None,
    time_zone: str | None = None,
    per: str | None = None,
    intervals: str | None = None,
    cost: bool = False,
) -> Profile:
    """The options as a profile. Raises InvalidInput for what none of them can be."""
    from stasis_callback.core.periods import time_zone as known_zone

    if time_zone:
        known_zone(time_zone)
    if intervals and not _are_intervals(intervals):
        raise InvalidInput(
            f"--intervals {intervals!r} is invalid: write the first and the next one, like 60/6, each from 1 to "
            f"{INTERVAL_LIMIT_S} seconds"
        )
    return Profile(
        columns=parse_columns(printable(columns or "", "--columns", 2000)),
        ignore=tuple(
            name for part in printable(ignore or "", "--ignore", 1000).split(",") if (name := part.strip())
        ),
        encoding=printable(encoding or "", "--encoding", 40),
        delimiter=_one_of("--delimiter", delimiter, DELIMITERS),
        sheet=printable(sheet or "", "--sheet"),
        decimal=_one_of("--decimal", decimal, DECIMALS),
        dates=_one_of("--dates", dates, DATES),
        time_zone=time_zone or "",
        per=_one_of("--per", per, PER),
        intervals=intervals or "",
        cost=cost,
    )


def _are_intervals(text: str) -> bool:
    both = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text, re.ASCII)
    return both is not None and all(1 <= int(seconds) <= INTERVAL_LIMIT_S for seconds in both.groups())


def _one_of(option: str, value: str | None, known: dict[str, T]) -> T | Literal[""]:
    if value is None:
        return ""
    if value not in known:
        raise InvalidInput(f"{option} {value!r} is invalid: use {' or '.join(known)}")
    return known[value]


def profile_for(s: Stores, name: str | None, given: Profile) -> Profile:
    """The profile with a name, with what was given besides. Raises InvalidInput if there is neither."""
    if name is None:
        return given
    kept = s.rate_profiles.find(name) or BUILT_IN.get(name)
    if kept is None and given == Profile():
        raise InvalidInput(
            f"unknown profile {name!r}: see `rate profile list`, or give options to save in it"
        )
    return (kept or Profile()).but(given)


def keep(s: Stores, name: str | None, given: Profile) -> bool:
    """Keep what was given under a name; whether there was anything to keep."""
    if name is None or given == Profile():
        return False
    s.rate_profiles.keep(name, profile_for(s, name, given))
    return True


@app.command("set")
def change(
    name: Name,
    columns: ColumnNames = None,
    ignore: Ignore = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    sheet: SheetName = None,
    decimal: Decimal = None,
    dates: Dates = None,
    time_zone: TimeZone = None,
    per: Per = None,
    intervals: Intervals = None,
    cost: Cost = False,
) -> None:
    """Save how the lists of a carrier are read. Options that are not given stay as they were."""
    require_change(
        columns, ignore, encoding, delimiter, sheet, decimal, dates, time_zone, per, intervals, cost or None
    )
    given = given_profile(
        columns, ignore, encoding, delimiter, sheet, decimal, dates, time_zone, per, intervals, cost
    )
    with store() as s:
        keep(s, name, given)
    typer.echo(f"profile {name} kept")


@app.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List the saved profiles."""
    with store() as s:
        rows = [{"name": name} | _shown(profile) for name, profile in s.rate_profiles.all().items()]
    print_records(rows, ("name", "columns", "dates", "decimal", "per"), as_csv=as_csv, as_json=as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a profile, saved or built in."""
    with store() as s:
        print_one({"name": name} | _shown(profile_for(s, name, Profile())), as_json=as_json)


@app.command()
def remove(name: Name) -> None:
    """Remove a profile. Rates that were imported with it stay."""
    with store() as s:
        s.rate_profiles.remove(name)
    typer.echo(f"profile {name} removed")


def _shown(profile: Profile) -> dict[str, object]:
    return asdict(profile) | {"ignore": list(profile.ignore)}
