"""`web`: the ways to ask for callbacks over the web."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, require_change, settings, store, whole
from stasis_callback.admin.intake.call_options import parse_options, require_what_is_named
from stasis_callback.admin.intake.instances import described, options_in_words
from stasis_callback.admin.output import print_json, print_list
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.web import WEB_NAMES, WebSettings

if TYPE_CHECKING:
    from stasis_callback.store.stores import Stores

app = typer.Typer(name="web", help="Web instances: forms, links and the JSON API for callbacks.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The instance's name, part of its address.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An option, see `web options`; repeatable; `name=` restores its default.",
    ),
]
TYPES = "simple|extended|hosted"


@app.command()
def add(
    name: Name,
    kind: Annotated[str, typer.Option("--type", help="What the form asks for.", metavar=TYPES)],
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
        bool | None, typer.Option("--enabled/--disabled", help="Whether it takes requests.")
    ] = None,
) -> None:
    """Change what is given, all or nothing, from the next request on."""
    require_change(options, enabled)
    given = _parsed(options)
    with store() as s:
        _require(s, given)
        s.web_instances.change(name, given, enabled=enabled)
    typer.echo(f"web instance {name} changed")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all web instances with the options that differ from the defaults."""
    with store() as s:
        found = s.web_instances.all()
    rows = [{"name": view.name, "enabled": view.enabled, "options": dict(view.stored)} for view in found]
    print_list(rows, ("name", "enabled", "options"), as_json=as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show every option of a web instance, and the API keys for it."""
    with store() as s:
        view = s.web_instances.named(name)
        keys = [k.name for k in s.api_keys.all() if k.reaches(name) and k.revoked_at_us is None]
    configuration = view.configuration
    in_force = configuration.call_options(",".join(configuration.languages))
    rows = options_in_words(WebSettings, view.stored, in_force)
    if as_json:
        values = {str(row["option"]): row["value"] for row in rows}
        print_json({"name": name, "enabled": view.enabled, "options": values, "api_keys": keys})
        return
    typer.echo(f"{name} ({'enabled' if view.enabled else 'disabled'}): {_address(name)}")
    print_list(rows, ("option", "value", "set", "meaning"), as_json=False)
    typer.echo(f"\nAPI keys: {', '.join(keys) or 'none'}")


@app.command()
def remove(name: Name) -> None:
    """Take a web instance away; its callbacks and call records stay."""
    with store() as s:
        s.web_instances.remove(name)
    typer.echo(f"web instance {name} removed")


@app.command("options")
def list_options(as_json: AsJson = False) -> None:
    """List every option with its default, allowed values and meaning."""
    print_list(described(WebSettings), ("name", "default", "values", "meaning"), as_json=as_json)


@app.command()
def form(
    name: Name,
    language: Annotated[
        str | None, typer.Option(help="One of the instance's languages.", metavar="en|es|fr|it|ru")
    ] = None,
) -> None:
    """Print a sample form to restyle or to put into a page of your own; its field names must stay."""
    from stasis_callback.web.sample import sample_form

    with store() as s:
        view = s.web_instances.named(name)
    typer.echo(sample_form(view, settings().web.origin, language), nl=False)


@app.command()
def link(
    name: Name,
    valid_s: Annotated[
        int, typer.Option(help="How long it works, in seconds.", metavar="N", parser=whole(60, 31_536_000))
    ] = 3600,
) -> None:
    """Print a signed link to the form of a hosted instance: whoever has it is an allowed client until it expires."""
    from stasis_callback.clock import US_PER_S, Clock
    from stasis_callback.web.signing import Signer

    with store() as s:
        if s.web_instances.named(name).configuration.settings.type != "hosted":
            raise InvalidInput(f"web instance {name} is not hosted: its form needs no link")
    signer = Signer.of(settings().web)
    typer.echo(f"{_address(name)}?client={signer.client_token(name, Clock().now_us() + valid_s * US_PER_S)}")


@app.command("webhook-secret")
def webhook_secret(name: Name) -> None:
    """Print the secret that signs an instance's webhooks, for whoever receives them."""
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
        raise InvalidInput(f"region {region!r}: write the two capitals of a country, like GB")
