"""`api-key`: keys for programs that use the JSON API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, require_change, store
from stasis_callback.admin.days import require_to_come, until_us, warn_if_passed
from stasis_callback.admin.listing import AsCsv, print_records

if TYPE_CHECKING:
    from stasis_callback.store.intake.api_keys import KeySettings

app = typer.Typer(name="api-key", help="Keys for programs that use the JSON API.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the key, for example of the program that uses it.")
]
Expires = Annotated[
    str | None,
    typer.Option(
        help="Last day, or time, when the key can be used, for example 2027-12-31; never: no end.",
        metavar="WHEN",
    ),
]
Addresses = Annotated[
    str | None,
    typer.Option(
        "--addresses",
        help="Addresses from which the key may be used, for example 192.0.2.0/24; separated by commas. `any` "
        "removes the restriction.",
        metavar="ADDRESSES",
    ),
]
LimitRequests = Annotated[
    str | None,
    typer.Option(help="Requests of any kind, times/seconds; each process counts its own.", metavar="LIMIT"),
]
LimitLogins = Annotated[
    str | None,
    typer.Option(
        help="Failed logins of all customers of this program together, times/seconds.", metavar="LIMIT"
    ),
]


@app.command()
def add(
    name: Name,
    scopes: Annotated[
        list[str],
        typer.Option("--scope", help="Permission, see the guide; repeatable.", metavar="SCOPE"),
    ],
    instance: Annotated[
        str, typer.Option(help="Only for this web instance; if omitted, for all.", metavar="NAME")
    ] = "",
    expires: Expires = None,
    addresses: Addresses = None,
    limit_requests: LimitRequests = None,
    limit_logins: LimitLogins = None,
) -> None:
    """Create a key and print it. It is shown only once: only its hash is stored."""
    from stasis_callback.store.intake.api_keys import KeySettings

    settings = _changed(KeySettings(), expires, addresses, limit_requests, limit_logins)
    require_to_come(settings.expires_at_us, expires)
    with store() as s, recorded(s, "api-key", name):
        key = s.api_keys.add(name, scopes, instance, settings)
    typer.echo(key)


@app.command("set")
def change(
    name: Name,
    expires: Expires = None,
    addresses: Addresses = None,
    limit_requests: LimitRequests = None,
    limit_logins: LimitLogins = None,
) -> None:
    """Change the given settings of a key. Its scopes cannot be changed: create another key."""
    require_change(expires, addresses, limit_requests, limit_logins)
    with store() as s, recorded(s, "api-key", name):
        before = s.api_keys.named(name).settings
        after = _changed(before, expires, addresses, limit_requests, limit_logins)
        s.api_keys.change(name, after)
    typer.echo(f"API key {name} is changed")
    if expires is not None:
        warn_if_passed(after.expires_at_us, f"API key {name}")


def _changed(
    before: KeySettings,
    expires: str | None,
    addresses: str | None,
    limit_requests: str | None,
    limit_logins: str | None,
) -> KeySettings:
    """Settings with what was given on the command line. Raises InvalidInput."""
    from dataclasses import replace

    from stasis_callback.core.limits import Limit

    values: dict[str, object] = {}
    if expires is not None:
        values["expires_at_us"] = None if expires == "never" else until_us(expires)
    if addresses is not None:
        values["addresses"] = "" if addresses == "any" else addresses
    if limit_requests is not None:
        values["limit_requests"] = Limit.parse(limit_requests)
    if limit_logins is not None:
        values["limit_logins"] = Limit.parse(limit_logins)
    return replace(before, **values)  # type: ignore[arg-type]  # by name


@app.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all keys with their permissions and settings. The keys themselves are not stored."""
    with store() as s:
        rows = [
            {
                "name": key.name,
                "scopes": list(key.scopes),
                "instance": key.instance,
                "created_at_us": key.created_at_us,
                "revoked_at_us": key.revoked_at_us,
                "expires_at_us": key.settings.expires_at_us,
                "addresses": key.settings.addresses,
                "limit_requests": str(key.settings.limit_requests),
                "limit_logins": str(key.settings.limit_logins),
            }
            for key in s.api_keys.all()
        ]
    columns = ("name", "scopes", "instance", "addresses", "expires_at", "revoked_at")
    print_records(rows, columns, as_csv=as_csv, as_json=as_json)


@app.command()
def revoke(name: Name) -> None:
    """Revoke a key with immediate effect."""
    with store() as s, recorded(s, "api-key", name):
        done = s.api_keys.revoke(name)
    typer.echo(f"API key {name} is revoked" if done else f"API key {name} was already revoked")
