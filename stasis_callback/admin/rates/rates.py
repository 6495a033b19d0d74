"""`rate`: prices of calls by prefix; the longest matching prefix applies."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, printable, require_change, store, whole
from stasis_callback.admin.days import local_time, operators_zone
from stasis_callback.admin.listing import MORE, ROWS_LIMIT, USUAL_ROWS, After, AsCsv, print_csv
from stasis_callback.admin.output import Record, one_line, print_json, print_json_array, print_list, published
from stasis_callback.admin.rates import changes as rate_changes
from stasis_callback.admin.rates import profiles
from stasis_callback.admin.rates.changes import COLUMNS, At, From, Tariff, coming, maybe_instant
from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_amount, require_payable

if TYPE_CHECKING:
    from stasis_callback.store.rates.book import RateView
    from stasis_callback.store.rates.tariffs import NewRate

Account = Annotated[str | None, typer.Option(help="Use the tariff of this account.", metavar="ID")]
AccessCode = Annotated[
    str, typer.Option(help="With --account: use the product's tariff for this access code.", metavar="CODE")
]
OtherTariff = Annotated[
    str | None, typer.Option(help="Use this tariff, instead of --account.", metavar="NAME")
]
Start = Annotated[
    str | None,
    typer.Option(
        "--at", help="Start of the call, for example 2027-01-31T18:00 [default: now].", metavar="WHEN"
    ),
]

app = typer.Typer(name="rate", help="Rates: prices of calls by prefix; the longest matching prefix applies.")

Prefix = Annotated[str, typer.Argument(metavar="PREFIX", help="Prefix, 1 to 15 digits without + or 00.")]
ConnectFee = Annotated[
    str | None,
    typer.Option(help="Connect fee, charged once per answered call; 0 for a new rate.", metavar="AMOUNT"),
]
FirstInterval = Annotated[
    str | None,
    typer.Option(
        help="Length of the first interval, always charged in full; 1 for a new rate.", metavar="SECONDS"
    ),
]
NextInterval = Annotated[
    str | None,
    typer.Option(
        help="Length of the next intervals, each charged in full once started; 1 for a new rate.",
        metavar="SECONDS",
    ),
]
NextPrice = Annotated[
    str | None,
    typer.Option(help="Price per minute after the first interval; PRICE for a new rate.", metavar="AMOUNT"),
]
OffPeakFirstPrice = Annotated[
    str | None,
    typer.Option(
        help='Off-peak price per minute in the first interval; "": the same as peak, as for a new rate.',
        metavar="AMOUNT",
    ),
]
OffPeakNextPrice = Annotated[
    str | None,
    typer.Option(
        help='Off-peak price per minute after the first interval; "": the same as peak, as for a new rate.',
        metavar="AMOUNT",
    ),
]
Description = Annotated[str | None, typer.Option(help="Description of the destination.", metavar="TEXT")]
Forbidden = Annotated[
    bool | None,
    typer.Option(
        "--forbidden/--allowed", help="Forbid or allow calls to this prefix; a new rate allows them."
    ),
]


@app.command()
def add(
    tariff: Tariff,
    prefix: Prefix,
    first_price: Annotated[str, typer.Argument(metavar="PRICE", help="Price per minute, for example 0.12.")],
    next_price: NextPrice = None,
    connect_fee: ConnectFee = None,
    first_interval: FirstInterval = None,
    next_interval: NextInterval = None,
    off_peak_first_price: OffPeakFirstPrice = None,
    off_peak_next_price: OffPeakNextPrice = None,
    description: Description = "",
    forbidden: Forbidden = None,
    begins: From = None,
) -> None:
    """Add a rate to a tariff, effective from the next call or a later time."""
    from stasis_callback.admin.rates.unsold import prefix_note

    fields = _given(
        prefix=prefix, first_price=first_price, next_price=next_price, connect_fee=connect_fee,
        first_interval=first_interval, next_interval=next_interval, off_peak_first_price=off_peak_first_price,
        off_peak_next_price=off_peak_next_price, forbidden=forbidden,
    )  # fmt: skip
    new = _new_rate(fields, description or "", coming(begins))
    with store() as s, s.database.transaction():
        if s.tariffs.find(tariff, prefix, new.from_us):
            raise InvalidInput(
                f"tariff {tariff!r} already has a rate for {prefix}: change it with `rate set`"
            )
        s.tariffs.put_rates(tariff, [new], kind="add")
        own = {number.number for number in s.access_numbers.all()}
        until = _until(s.tariffs.next_change(tariff, prefix, new.from_us))
    typer.echo(f"rate {prefix} added to {tariff}{_from(new.from_us)}{until}")
    if note := prefix_note(prefix, own):
        typer.echo(note)


@app.command("set")
def change(
    tariff: Tariff,
    prefix: Prefix,
    first_price: Annotated[
        str | None, typer.Option(help="Price per minute in the first interval.", metavar="AMOUNT")
    ] = None,
    next_price: NextPrice = None,
    connect_fee: ConnectFee = None,
    first_interval: FirstInterval = None,
    next_interval: NextInterval = None,
    off_peak_first_price: OffPeakFirstPrice = None,
    off_peak_next_price: OffPeakNextPrice = None,
    description: Description = None,
    forbidden: Forbidden = None,
    begins: From = None,
) -> None:
    """Change the given fields of a rate, effective from the next call or a later time."""
    from stasis_callback.admin.rates.file import texts_of

    fields = _given(
        first_price=first_price, next_price=next_price, connect_fee=connect_fee, first_interval=first_interval,
        next_interval=next_interval, off_peak_first_price=off_peak_first_price,
        off_peak_next_price=off_peak_next_price, forbidden=forbidden,
    )  # fmt: skip
    require_change(description, *fields.values())
    from_us = coming(begins)
    with store() as s, s.database.transaction():
        old = s.tariffs.find(tariff, prefix, from_us)
        if old is None:
            raise InvalidInput(f"tariff {tariff!r} has no rate for prefix {prefix!r}: see `rate list`")
        text = old.description if description is None else description
        new = _new_rate(texts_of(old.rate) | fields, text, from_us)
        s.tariffs.put_rates(tariff, [new], kind="set")
        until = _until(s.tariffs.next_change(tariff, prefix, from_us))
    said = rate_changes.steps(old, new) or ["nothing"]
    if (
        first_price is not None
        and next_price is None
        and new.rate.next_price_micros != new.rate.first_price_micros
    ):
        said.append(f"next_price stays {texts_of(new.rate)['next_price']} (see --next-price)")
    typer.echo(one_line(f"rate {prefix} of {tariff} changed{_from(from_us)}{until}: {', '.join(said)}"))


@app.command()
def remove(tariff: Tariff, prefix: Prefix, begins: From = None) -> None:
    """Remove a rate from a tariff, effective from the next call or a later time. A shorter prefix may then apply."""
    from_us = coming(begins)
    with store() as s:
        s.tariffs.remove_rate(tariff, prefix, from_us)
    typer.echo(f"rate {prefix} removed from {tariff}{_from(from_us)}")


@app.command("list")
def list_all(
    tariff: Tariff,
    prefix: Annotated[
        str, typer.Option(help="Only prefixes that begin with these digits.", metavar="DIGITS")
    ] = "",
    at: At = None,
    scheduled: Annotated[
        bool,
        typer.Option("--scheduled", help="List scheduled rates, by start time, instead of effective ones."),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of rates of a page [default: 100; none for CSV and JSON].",
            metavar="N",
            parser=whole(1, ROWS_LIMIT),
        ),
    ] = None,
    after: After = "",
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """List the effective rates of a tariff, by prefix. As CSV for `rate import`: see `rate export`."""
    if as_csv and as_json:
        raise InvalidInput("--csv and --json cannot be used together")
    if scheduled and at is not None:
        raise InvalidInput(
            "--at and --scheduled cannot be used together: scheduled rates have their own start times"
        )
    whole_list = as_json or as_csv
    most = limit or (ROWS_LIMIT if whole_list else USUAL_ROWS)
    show = partial(_show_rates, scheduled=scheduled, as_csv=as_csv, as_json=as_json)
    with store() as s:
        if whole_list and limit is None and not scheduled and not after:
            with s.tariffs.each_rate(tariff, maybe_instant(at)) as views:
                show(view for view in views if view.rate.prefix.startswith(prefix))
            return
        if scheduled:
            found = s.tariffs.scheduled(tariff, digits=prefix, after=after, limit=most + 1)
        else:
            at_us = maybe_instant(at)
            found = s.tariffs.some_rates(tariff, at_us, digits=prefix, after=after, limit=most + 1)
    page = found[:most]
    show(page)
    if len(found) > most:
        typer.echo(f"{MORE}{page[-1].id if scheduled else page[-1].rate.prefix}", err=True)


def _show_rates(views: Iterable[RateView], *, scheduled: bool, as_csv: bool, as_json: bool) -> None:
    from stasis_callback.store.rates.records import rate_record

    if as_json:
        print_json_array(map(rate_record, views))
        return
    local = (_by_the_operators_clock(rate_record(view), view.from_us) for view in views)
    if as_csv:
        print_csv(local, ["from", *COLUMNS, "discontinued"] if scheduled else COLUMNS)
    else:
        _print_rates([*local], scheduled)


def _by_the_operators_clock(record: dict[str, object], from_us: int) -> dict[str, object]:
    del record["from"]
    return record | {"from_us": from_us}


def _print_rates(rows: list[dict[str, object]], scheduled: bool) -> None:
    # Columns that none of them uses are left out: rows are long without them.
    unused = {
        n for n in COLUMNS if n.startswith("off_peak") and all(row[f"{n}_micros"] is None for row in rows)
    }
    if scheduled:
        unused |= {n for n in ("forbidden", "discontinued") if not any(row[n] for row in rows)}
        unused |= {n for n in ("connect_fee",) if not any(row[f"{n}_micros"] for row in rows)}
    columns = ["from", *COLUMNS, "discontinued"] if scheduled else COLUMNS
    print_list(rows, [name for name in columns if name not in unused], as_json=False)


app.command("import")(rate_changes.import_file)
app.command("check")(rate_changes.check)
app.command("export")(rate_changes.export)
app.command("diff")(rate_changes.diff)
app.command("history")(rate_changes.history)
app.command("rollback")(rate_changes.roll_back)
app.add_typer(profiles.app)


@app.command()
def explain(
    number: Annotated[
        str, typer.Argument(metavar="NUMBER", help="Number dialled, for example 420212345678.")
    ],
    seconds: Annotated[
        int, typer.Option(help="Duration of the call.", metavar="N", parser=whole(0, 1_000_000))
    ],
    account: Account = None,
    access_code: AccessCode = "",
    tariff: OtherTariff = None,
    at: Start = None,
    as_json: AsJson = False,
) -> None:
    """Explain the cost of a call step by step, including the matching prefix."""
    from stasis_callback.admin.rates.explanation import explain_rate, tariff_of

    start_us = maybe_instant(at) or Clock().now_us()
    with store() as s:
        counts = tariff_of(s, account, tariff, access_code)
        explanation = explain_rate(s, counts, number, seconds, start_us)
    _show(explanation, explanation["steps"], as_json=as_json)


@app.command("simulate")
def simulate_talk(
    funds: Annotated[str, typer.Option(help="Available funds, for example 10.", metavar="AMOUNT")],
    number_a: Annotated[str, typer.Option("--from", help="Number of leg A.", metavar="NUMBER")],
    number_b: Annotated[str, typer.Option("--to", help="Number of leg B.", metavar="NUMBER")],
    account: Account = None,
    access_code: AccessCode = "",
    tariff: OtherTariff = None,
    at: Start = None,
    ring: Annotated[
        int,
        typer.Option(
            help="Time from the answer of leg A to the answer of leg B. The default is what a call holds funds for: "
            "45 s of ringing and 10 s of announcements.",
            metavar="SECONDS",
            parser=whole(0, 3600),
        ),
    ] = 55,
    limit: Annotated[
        int,
        typer.Option(
            help="Maximum talk time, regardless of funds.", metavar="SECONDS", parser=whole(1, 86_400)
        ),
    ] = 7200,
    as_json: AsJson = False,
) -> None:
    """Show what funds buy: the maximum talk time of both legs together, and of leg A alone."""
    from stasis_callback.admin.rates.explanation import tariff_of
    from stasis_callback.admin.rates.simulation import simulate

    funds_micros = parse_amount(funds)
    if funds_micros < 0:
        raise InvalidInput(f"funds {funds} are negative: write an amount of 0 or more")
    start_us = maybe_instant(at) or Clock().now_us()
    with store() as s:
        counts = tariff_of(s, account, tariff, access_code)
        require_payable(counts.currency, funds_micros)
        simulation = simulate(s, counts, funds_micros, number_a, number_b, start_us, ring, limit)
    _show(simulation, simulation["steps"], as_json=as_json)


def _show(result: Record, steps: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json(published(result))
        return
    for step in steps:
        typer.echo(one_line(step))


# --- rates as text fields ------------------------------------------------------------------------------------------


def _given(**options: str | bool | None) -> dict[str, str]:
    """The given options as text fields, as in a line of a CSV file."""
    words = {True: "yes", False: "no"}
    return {
        name: words[value] if isinstance(value, bool) else value
        for name, value in options.items()
        if value is not None
    }


def _new_rate(fields: dict[str, str], description: str, from_us: int | None) -> NewRate:
    from stasis_callback.admin.rates.file import rate_of
    from stasis_callback.store.rates.tariffs import NewRate

    return NewRate(rate_of(fields), printable(description, "description"), from_us)


def _from(from_us: int | None) -> str:
    return "" if from_us is None else f" from {local_time(from_us, operators_zone())} on"


def _until(following: RateView | None) -> str:
    if following is None:
        return ""
    what = "it is removed" if following.rate.discontinued else "a scheduled rate begins"
    return f" until {local_time(following.from_us, operators_zone())}, when {what}"
