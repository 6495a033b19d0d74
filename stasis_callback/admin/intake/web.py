"""`web`: web instances, through which callbacks are requested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, find_request, settings, store, whole
from stasis_callback.admin.days import since_us
from stasis_callback.admin.intake.call_options import require_what_is_named
from stasis_callback.admin.intake.instances import InstanceCommands
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_amount, require_payable
from stasis_callback.core.web import WebOptions

if TYPE_CHECKING:
    from stasis_callback.store.intake.web_instances import WebInstanceView
    from stasis_callback.store.stores import Stores

app = typer.Typer(name="web", help="Web instances: forms, links and the JSON API for callbacks.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Instance name, part of its URL.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set an option (see `web options`); repeatable; `name=` restores the default.",
    ),
]
TYPES = "simple|extended|hosted"


def _address(name: str) -> str:
    return f"{settings().web.origin}/web/{name}"


def _keys(s: Stores, name: str) -> dict[str, list[str]]:
    return {"API keys": [k.name for k in s.api_keys.all() if k.reaches(name) and k.revoked_at_us is None]}


def _call_options(view: WebInstanceView) -> Mapping[str, str]:
    return view.configuration.call_options(",".join(view.configuration.languages))


COMMANDS = InstanceCommands(
    noun="web",
    key="name",
    settings=WebOptions,
    instances=lambda s: s.web_instances,
    call_options=_call_options,
    more=_keys,
    check=require_what_is_named,
    headline=_address,
)


@app.command()
def add(
    name: Name,
    kind: Annotated[str, typer.Option("--type", help="Type of the form, see option `type`.", metavar=TYPES)],
    options: Set = None,
) -> None:
    """Add a web instance."""
    COMMANDS.add(name, options, type=kind)


@app.command("set")
def change(
    name: Name,
    options: Set = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Accept or reject requests.")
    ] = None,
) -> None:
    """Change the given options, all or none of them. Changes take effect from the next request."""
    COMMANDS.change(name, options, enabled)


@app.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all web instances with their non-default options."""
    COMMANDS.list_all(as_csv, as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show all options of a web instance and its API keys."""
    COMMANDS.show(name, as_json)


@app.command()
def remove(name: Name) -> None:
    """Remove a web instance. Its callbacks and call records are kept."""
    COMMANDS.remove(name)


@app.command("options")
def list_options(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all options with default, allowed values and meaning."""
    COMMANDS.options(as_csv, as_json)


@app.command()
def form(
    name: Name,
    language: Annotated[
        str | None, typer.Option(help="Language, one of those of the instance.", metavar="en|es|fr|it|ru")
    ] = None,
) -> None:
    """Print a sample HTML form to restyle or embed in another page. Keep its field names."""
    from stasis_callback.web.sample import sample_form

    with store() as s:
        view = s.web_instances.named(name)
    typer.echo(sample_form(view, settings().web.origin, language), nl=False)


@app.command()
def link(
    name: Name,
    valid_s: Annotated[
        int, typer.Option(help="Validity in seconds.", metavar="N", parser=whole(60, 31_536_000))
    ] = 3600,
    uses: Annotated[
        int,
        typer.Option(
            help="Callbacks it may make in all; 0: any number.", metavar="N", parser=whole(0, 1_000_000)
        ),
    ] = 0,
    money: Annotated[
        str | None,
        typer.Option(
            help="No callback begins once its calls have cost this amount, and only one at a time.",
            metavar="AMOUNT",
        ),
    ] = None,
) -> None:
    """Print a signed link to the form of a hosted instance. Anyone with the link may use it until it expires."""
    import secrets

    from stasis_callback.clock import US_PER_S, Clock
    from stasis_callback.core.requests import Link
    from stasis_callback.web.signing import Signer

    with store() as s:
        hosted = s.web_instances.named(name).configuration.settings
        if hosted.type != "hosted":
            raise InvalidInput(f"web instance {name} is not of type hosted: its form needs no link")
        micros = 0
        if money is not None:
            micros = parse_amount(money)
            require_payable(s.accounts.named(hosted.internal_account).currency, micros)
            if micros <= 0:
                raise InvalidInput(f"--money {money!r} is not more than 0: leave it out for no limit")
    token = Signer.of(settings().web).client_token(
        name, Clock().now_us() + valid_s * US_PER_S, Link(secrets.token_hex(8), uses, micros)
    )
    typer.echo(f"{_address(name)}?client={token}")


_COUNTED = (
    ("web", "account", "account"),
    ("web", "source", "source"),
    ("web", "portal", "API key"),
    ("email", "account", "account, by e-mail"),
    ("message", "account", "account, by message"),
    ("voucher", "account", "account, vouchers"),
)
"""What is counted: where, of what, and how it is called."""


@app.command()
def lockouts(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List failed logins and wrong voucher codes that still count; see `web unlock`."""
    from stasis_callback.engine.admission.logins import failures_key

    with store() as s:
        rows = []
        for door, kind, noun in _COUNTED:
            prefix = failures_key(door, kind, "")
            rows += [
                {
                    "kind": noun,
                    "who": key.removeprefix(prefix),
                    "failures": count,
                    "forgotten_at_us": until_us,
                }
                for key, count, until_us in s.limits.counted(prefix)
            ]
    print_records(rows, ("kind", "who", "failures", "forgotten_at"), as_csv=as_csv, as_json=as_json)


@app.command()
def unlock(
    account: Annotated[str, typer.Option(help="Account id.", metavar="ID")] = "",
    address: Annotated[str, typer.Option(help="IP address.", metavar="ADDRESS")] = "",
    api_key: Annotated[
        str, typer.Option(help="Name of an API key; also all its end users.", metavar="NAME")
    ] = "",
) -> None:
    """Clear the failed logins of an account, an address or an API key; of an account also wrong voucher codes."""
    from stasis_callback.engine.admission.logins import failures_key

    if not (account or address or api_key):
        raise InvalidInput("nothing to unlock: give --account, --address or --api-key")
    doors = ("web", "email", "message", "voucher")
    whose = [(account, [failures_key(door, "account", account) for door in doors])] if account else []
    if address:
        source = _counted_as(address)
        whose.append((source, [failures_key("web", "source", source)]))
    with store() as s:
        if api_key:
            s.api_keys.named(api_key)
            keys = [failures_key("web", "portal", api_key), failures_key("web", "source", f"{api_key}/")]
            whose.append((api_key, keys))
        for who, keys in whose:
            with recorded(s, "lockout", who):
                for key in keys:
                    s.limits.clear_all(key) if key.endswith("/") else s.limits.clear(key)
    typer.echo("unlocked")


@app.command()
def resend(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Only webhooks of this instance.", show_default=False)
    ] = "",
    callback: Annotated[str, typer.Option(help="Only those of this callback.", metavar="ID")] = "",
    since: Annotated[
        str | None,
        typer.Option(help="Only steps since this day or time, for example 2026-11-30.", metavar="WHEN"),
    ] = None,
    delivered: Annotated[
        bool, typer.Option("--delivered", help="Also those that the receiver has accepted.")
    ] = False,
) -> None:
    """Resend webhooks that were given up, with their original ids."""
    if delivered and not (callback or since):
        raise InvalidInput("--delivered would send everything again: also give --callback or --since")
    with store() as s:
        if name:
            s.web_instances.named(name)
        if callback:
            find_request(s, callback)
        begin_us = since_us(since) if since else 0
        again = s.events.send_again(
            instance=name, request_id=callback, since_us=begin_us, delivered=delivered
        )
    typer.echo(f"{again} webhooks are sent again" if again else "there are none to send again")


def _counted_as(address: str) -> str:
    from ipaddress import ip_address

    from stasis_callback.web.visitors import counted_as

    try:
        return counted_as(ip_address(address))
    except ValueError:
        raise InvalidInput(f"{address!r} is not an address: write, for example, 192.0.2.7") from None


@app.command("webhook-secret")
def webhook_secret(name: Name) -> None:
    """Print the signing secret of an instance's webhooks, for the webhook receiver."""
    from stasis_callback.web.signing import Signer

    with store() as s:
        s.web_instances.named(name)
    typer.echo(Signer.of(settings().web).webhook_secret(name))
