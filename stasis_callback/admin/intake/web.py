"""`web`: web instances, through which callbacks are requested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, require_change, settings, store, whole
from stasis_callback.admin.intake.call_options import parse_options, require_what_is_named
from stasis_callback.admin.intake.instances import described, options_in_words
from stasis_callback.admin.output import print_json, print_list
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.web import WEB_NAMES, WebOptions

if TYPE_CHECKING:
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


@app.command()
def add(
    name: Name,
    kind: Annotated[str, typer.Option("--type", help="Type of the form, see option `type`.", metavar=TYPES)],
    options: Set = None,
) -> None:
    """Add a web instance."""
    given = {option: text for option, text in _parsed(options).items() if text} | {"type": kind}
    with store() as s:
        _require(s, given)
        s.web_instances.add(name, given)
    typer.echo(f"web instance {name} added: {_address(name)}")


@app.command("set")
def change(
    name: Name,
    options: Set = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Accept or reject requests.")
    ] = None,
) -> None:
    """Change the given options, all or none of them. Changes take effect from the next request."""
    require_change(options, enabled)
    given = _parsed(options)
    with store() as s:
        _require(s, given)
        s.web_instances.change(name, given, enabled=enabled)
    typer.echo(f"web instance {name} changed")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all web instances with their non-default options."""
    with store() as s:
        found = s.web_instances.all()
    rows = [{"name": view.name, "enabled": view.enabled, "options": dict(view.stored)} for view in found]
    print_list(rows, ("name", "enabled", "options"), as_json=as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show all options of a web instance and its API keys."""
    with store() as s:
        view = s.web_instances.named(name)
        keys = [k.name for k in s.api_keys.all() if k.reaches(name) and k.revoked_at_us is None]
    configuration = view.configuration
    in_force = configuration.call_options(",".join(configuration.languages))
    rows = options_in_words(WebOptions, view.stored, in_force)
    if as_json:
        values = {str(row["option"]): row["value"] for row in rows}
        print_json({"name": name, "enabled": view.enabled, "options": values, "api_keys": keys})
        return
    typer.echo(f"{name} ({'enabled' if view.enabled else 'disabled'}): {_address(name)}")
    print_list(rows, ("option", "value", "set", "meaning"), as_json=False)
    typer.echo(f"\nAPI keys: {', '.join(keys) or 'none'}")


@app.command()
def remove(name: Name) -> None:
    """Remove a web instance. Its callbacks and call records are kept."""
    with store() as s:
        s.web_instances.remove(name)
    typer.echo(f"web instance {name} removed")


@app.command("options")
def list_options(as_json: AsJson = False) -> None:
    """List all options with default, allowed values and meaning."""
    print_list(described(WebOptions), ("name", "default", "values", "meaning"), as_json=as_json)


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
) -> None:
    """Print a signed link to the form of a hosted instance. Anyone with the link may use it until it expires."""
    from stasis_callback.clock import US_PER_S, Clock
    from stasis_callback.web.signing import Signer

    with store() as s:
        if s.web_instances.named(name).configuration.settings.type != "hosted":
            raise InvalidInput(f"web instance {name} is not of type hosted: its form needs no link")
    signer = Signer.of(settings().web)
    typer.echo(f"{_address(name)}?client={signer.client_token(name, Clock().now_us() + valid_s * US_PER_S)}")


@app.command("webhook-secret")
def webhook_secret(name: Name) -> None:
    """Print the signing secret of an instance's webhooks, for the webhook receiver."""
    from stasis_callback.web.signing import Signer

    with store() as s:
        s.web_instances.named(name)
    typer.echo(Signer.of(settings().web).webhook_secret(name))


def _address(name: str) -> str:
    return f"{settings().web.origin}/web/{name}"


def _parsed(options: list[str] | None) -> dict[str, str]:
    return parse_options(options or (), WEB_NAMES, "web options")


def _require(s: Stores, given: dict[str, str]) -> None:
    from stasis_callback.web.numbers import known_region

    require_what_is_named(s, given)
    region = given.get("region", "")
    if region and not known_region(region):
        raise InvalidInput(
            f"region {region!r} is unknown: write a two-letter country code in capitals, for example GB"
        )
