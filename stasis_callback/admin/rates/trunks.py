"""`trunk`: trunks to carriers, with tariff, preference and capacity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.accounts.upkeep import NewName, renamed
from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, asterisk, settings, store, whole
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.admin.output import print_one
from stasis_callback.admin.rates import number_forms
from stasis_callback.clock import Clock, iso
from stasis_callback.core.errors import InvalidInput

if TYPE_CHECKING:
    from stasis_callback.core.trunk_state import TrunkState
    from stasis_callback.store.rates.trunks import TrunkView

app = typer.Typer(name="trunk", help="Trunks to carriers, with tariff, preference and capacity.")

COLUMNS = (
    "name",
    "vendor",
    "tariff",
    "enabled",
    "state",
    "preference",
    "calls_limit",
    "calls_per_s",
    "routes",
)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Trunk name: that of its PJSIP endpoint in Asterisk.")
]
Preference = Annotated[
    int | None,
    typer.Option(
        help="Preference, 0 to 100; higher is tried first, before cost; 50 for a new trunk.",
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
Answers = Annotated[
    str | None,
    typer.Option(
        help="Meaning of SIP statuses on this trunk, if not the usual one: STATUS=MEANING, for example "
        "404=carrier; separated by ;",
        metavar="ANSWERS",
    ),
]
NoProgress = Annotated[
    int | None,
    typer.Option(
        "--no-progress-s",
        help="Seconds without ringing or progress (180, 183) after which the next trunk is tried; 5 for a new trunk.",
        metavar="N",
        parser=whole(1, 60),
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
    answers: Answers = None,
    no_progress_s: NoProgress = None,
) -> None:
    """Add a trunk. It is disabled, and carries no calls until `trunk enable`."""
    with store() as s, recorded(s, "trunk", name):
        s.trunks.add(
            name,
            vendor=vendor,
            tariff=tariff,
            enabled=False,
            preference=preference,
            calls_limit=calls_limit,
            calls_per_s=calls_per_s,
            number_rules=number_rules,
            answers=answers,
            no_progress_s=no_progress_s,
        )
    typer.echo(f"trunk {name} added: it is disabled, run `stasis-callback trunk enable {name}`")


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
    attestation: number_forms.Attestation = None,
    answers: Answers = None,
    no_progress_s: NoProgress = None,
) -> None:
    """Change a trunk, from the next call on. `trunk test` shows what its number form makes of numbers."""
    form = number_forms.given(
        numbers=numbers,
        called_in=called_in,
        caller_in=caller_in,
        caller_out=caller_out,
        identity=identity,
        called_from=called_from,
        attestation=attestation,
    )
    with store() as s, recorded(s, "trunk", name):
        trunk = s.trunks.change(
            name,
            tariff=tariff,
            preference=preference,
            calls_limit=calls_limit,
            calls_per_s=calls_per_s,
            number_rules=number_rules,
            number_form=form,
            answers=answers,
            no_progress_s=no_progress_s,
        )
        number_forms.warn_of_access_numbers(trunk.number_form, s)
        record = _record(trunk, s.nodes.trunk_states())
    print_one(record, as_json=False)


app.command("test")(number_forms.try_out)


@app.command()
def enable(
    name: Name,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Do not ask Asterisk whether it has the endpoint.")
    ] = False,
) -> None:
    """Enable a trunk, so that it carries calls, if Asterisk has its PJSIP endpoint.

    Once a trunk is enabled, calls use the trunks of the database instead of the trunk of the settings.
    """
    with store() as s:
        s.trunks.named(name)
        if not unchecked:
            _require_endpoint(name)
        first = all(trunk.enabled_at_us is None for trunk in s.trunks.all())
        with recorded(s, "trunk", name):
            s.trunks.change(name, enabled=True)
    typer.echo(f"trunk {name} is enabled")
    if first:
        typer.echo("from now on calls use the trunks in `trunk list`, not the trunk of the settings")


def _require_endpoint(name: str) -> None:
    """Raises InvalidInput unless Asterisk has this endpoint."""
    from stasis_callback.ari.errors import AriError
    from stasis_callback.ari.pjsip import Pjsip

    with asterisk(settings()) as client:
        try:
            found = Pjsip(client.rest).section("endpoint", name)
        except AriError as error:
            raise InvalidInput(
                f"Asterisk does not say whether it has PJSIP endpoint {name} ({error}): start it, or use --unchecked"
            ) from None
    if found is None:
        raise InvalidInput(
            f"Asterisk has no PJSIP endpoint {name}: create it in local/pjsip.conf, run `pjsip reload`, try again"
        )


@app.command()
def disable(name: Name) -> None:
    """Disable a trunk: it carries no new calls. Live calls continue."""
    with store() as s, recorded(s, "trunk", name):
        s.trunks.change(name, enabled=False)
        left = s.trunks.all()
    typer.echo(f"trunk {name} is disabled: it carries no new calls")
    _tell_of_no_trunk(left)


@app.command()
def remove(name: Name) -> None:
    """Remove a disabled trunk and its routes. Its call records remain, and live calls continue."""
    with store() as s, recorded(s, "trunk", name):
        s.trunks.remove(name)
        left = s.trunks.all()
    typer.echo(f"trunk {name} removed")
    _tell_of_no_trunk(left)


@app.command()
def rename(
    name: Name,
    new: NewName,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Do not ask Asterisk whether it has the endpoint.")
    ] = False,
) -> None:
    """Rename a trunk whose PJSIP endpoint has another name in Asterisk now. Calls and reports use the new name.

    If it is enabled, Asterisk must have the endpoint NEW.
    """
    with store() as s:
        trunk = s.trunks.named(name)
        if trunk.enabled and not unchecked:
            _require_endpoint(new)
        renamed(s, "trunk", name, new)
    typer.echo(f"trunk {name} is now called {new}: its calls go to PJSIP endpoint {new}")


def _tell_of_no_trunk(trunks: list[TrunkView]) -> None:
    """Say what happens to calls when no trunk is enabled."""
    if any(trunk.enabled for trunk in trunks):
        return
    if any(trunk.enabled_at_us is not None for trunk in trunks):
        typer.echo("no trunk is enabled: no calls are made until one is (callbacks end with no_route)")
    else:
        typer.echo(f"calls use trunk {settings().asterisk.trunk} of the settings")


@app.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all trunks with their state (`state`, as last reported by each node)."""
    with store() as s:
        nodes = s.nodes.trunk_states()
        print_records(
            [_record(trunk, nodes) for trunk in s.trunks.all()], COLUMNS, as_csv=as_csv, as_json=as_json
        )


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a trunk."""
    with store() as s:
        print_one(_record(s.trunks.named(name), s.nodes.trunk_states()), as_json=as_json)


def _record(trunk: TrunkView, nodes: Mapping[str, Sequence[TrunkState]]) -> dict[str, object]:
    """The fields that commands show for a trunk; `routes` maps prefixes to preferences.

    `state` is how it does on each node: "" where no node knows anything bad of it.
    """
    # What is called out is `number_rules`.
    hidden = ("id", "tariff_id", "enabled_at_us", "number_form", "called_out")
    stored = asdict(trunk) | asdict(trunk.number_form)
    fields = {name: value for name, value in stored.items() if name not in hidden}
    told = {
        node: state_in_words(state)
        for node, states in nodes.items()
        for state in states
        if state.trunk == trunk.name and state.failures
    }
    fields["state"] = "; ".join(
        words if len(nodes) == 1 else f"{node}: {words}" for node, words in told.items()
    )
    return fields


def state_in_words(state: TrunkState) -> str:
    """How a trunk does on one node, for operators."""
    failed = f"{state.failures} failure(s) in a row, the last: {state.failure}"
    match state.word(Clock().now_us()):
        case "resting":
            return f"passed over until {iso(state.rests_until_us or 0)}, {failed}"
        case "half_open":
            return f"tried again with the next call, {failed}"
        case _:
            return failed
