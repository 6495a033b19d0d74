"""`audit`: who changed what, and how commands note it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from stasis_callback.admin.accounts.records import account_record
from stasis_callback.admin.context import store
from stasis_callback.admin.days import local_time, operators_zone
from stasis_callback.admin.listing import USUAL_ROWS, Page, listed
from stasis_callback.admin.output import Record, published
from stasis_callback.admin.tables import cell
from stasis_callback.clock import US_PER_S

if TYPE_CHECKING:
    from stasis_callback.store.intake.instances import InstanceView
    from stasis_callback.store.stores import Stores

app = typer.Typer(name="audit", help="The audit log: every change of settings, rates, accounts and trunks.")

COLUMNS = ("at", "operator", "noun", "name", "change")

_MOVING = {
    "balance_micros",
    "held_micros",
    "available_micros",
    "first_used_at_us",
    "last_used_at_us",
    "rates",
    "sessions",
}
"""Fields that calls change, and not operators."""


@listed(app, COLUMNS, rows=USUAL_ROWS, key="id", dated=True)
def list_newest(
    page: Page,
    noun: Annotated[
        str, typer.Option(help="Only changes of this kind of thing, for example account.", metavar="NOUN")
    ] = "",
    name: Annotated[
        str, typer.Option(help="Only changes of the thing with this name or id.", metavar="NAME")
    ] = "",
    operator: Annotated[str, typer.Option(help="Only changes by this operator.", metavar="NAME")] = "",
) -> list[Record]:
    """List changes with operator, before and after, newest first. For money see `ledger entries`."""
    with store() as s:
        found = s.trail.newest(
            noun=noun,
            name=name,
            operator=operator,
            since_us=page.since_us,
            until_us=page.until_us,
            limit=page.fetched,
            after=page.after,
        )
    zone = operators_zone()
    return [asdict(entry) | {"change": _in_words(entry.before, entry.after, zone)} for entry in found]


def _in_words(before: Mapping[str, Any], after: Mapping[str, Any], zone: ZoneInfo) -> str:
    """`status: active -> blocked`, field by field; times by the operator's clock."""
    before, after = (
        {field: _by_the_clock(field, value, zone) for field, value in fields.items()}
        for fields in (before, after)
    )
    if not before or not after:
        return f"{'added' if after else 'removed'}: {cell(after or before)}"
    return "; ".join(
        f"{field}: {cell(before.get(field)) or 'nothing'} -> {cell(after.get(field)) or 'nothing'}"
        for field in {**after, **before}
    )


def _by_the_clock(field: str, value: object, zone: ZoneInfo) -> object:
    """A field as people read it: times are stored as in JSON, in UTC."""
    if not isinstance(value, str) or not (field == "from" or field.endswith("_at")):
        return value
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return value
    return local_time(int(at.timestamp()) * US_PER_S, zone) if at.tzinfo else value


def recorded(s: Stores, noun: str, name: str) -> AbstractContextManager[None]:
    """Note in the audit log what the block changes of the thing with this name. The block is one transaction."""
    return s.trail.change(noun, name, lambda: _described(noun, s, name))


def _described(noun: str, s: Stores, name: str) -> dict[str, object] | None:
    found = _DESCRIBE[noun](s, name)
    if found is None:
        return None
    fields = published({field: value for field, value in found.items() if field not in _MOVING})
    return {field: value for field, value in fields.items() if not field.endswith("_micros")}


def _account(s: Stores, name: str) -> Record | None:
    account = s.accounts.find(name)
    if account is None:
        return None
    # A changed password is noted, but not the password.
    mark = hashlib.sha256(account.password_hash.encode()).hexdigest()[:8] if account.password_hash else ""
    return account_record(s, account) | {"has_service_password": f"yes ({mark})" if mark else ""}


def _trunk(s: Stores, name: str) -> Record | None:
    found = [asdict(trunk) for trunk in s.trunks.all() if trunk.name == name]
    hidden = ("id", "tariff_id", "enabled_at_us")
    return {field: value for field, value in found[0].items() if field not in hidden} if found else None


def _instance(views: list[InstanceView[Any]], name: str) -> Record | None:
    return next(({"enabled": view.enabled} | dict(view.stored) for view in views if view.name == name), None)


def _access_number(s: Stores, name: str) -> Record | None:
    found = s.access_numbers.find(name)
    return None if found is None else {"enabled": found.enabled} | dict(found.stored)


def _lockout(s: Stores, who: str) -> Record | None:
    from stasis_callback.engine.admission.checks import login_key

    found: dict[str, object] = {
        key.removeprefix("login:"): f"{count} failed"
        for key, count, _ in s.limits.counted("login:")
        if key.endswith(f":{who}") or f":{who}/" in key
    }
    if s.throttles.locked(login_key(who)):
        found["wrong PINs"] = "locked out"
    return found or None


def _row(rows: list[dict[str, object]], key: str, name: str) -> Record | None:
    return next((row for row in rows if row[key] == name), None)


_DESCRIBE: Mapping[str, Callable[[Stores, str], Record | None]] = {
    "account": _account,
    "access-number": _access_number,
    "api-key": lambda s, name: _row([asdict(key) for key in s.api_keys.all()], "name", name),
    "batch": lambda s, name: s.search.batch(name),
    "console-user": lambda s, name: _row([asdict(user) for user in s.operators.all()], "name", name),
    "customer": lambda s, name: _row(s.search.customers(name=name), "name", name),
    "email": lambda s, name: _instance(s.email_instances.all(), name),
    "email senders": lambda s, name: {
        "addresses": [row["address"] for row in s.email_senders.all() if row["account"] == name]
    },
    "fraud": lambda s, name: _row([asdict(one) for one in s.fraud.listed()], "subject", name),
    "lockout": _lockout,
    "never-call": lambda s, name: _row([asdict(one) for one in s.never_call.all(only=name)], "number", name),
    "message": lambda s, name: _instance(s.message_instances.all(), name),
    "opt-out": lambda s, name: _row([asdict(one) for one in s.opt_outs.all(only=name)], "number", name),
    "payment-hook": lambda s, name: _row([asdict(hook) for hook in s.payment_hooks.all()], "name", name),
    "product": lambda s, name: _row(s.accounts.products(), "name", name),
    "tariff": lambda s, name: _row(s.tariffs.all(), "name", name),
    "trunk": _trunk,
    "vendor": lambda s, name: _row([asdict(vendor) for vendor in s.trunks.vendors()], "name", name),
    "voucher": lambda s, name: _row(s.vouchers.batches(), "batch", name),
    "web": lambda s, name: _instance(s.web_instances.all(), name),
}
"""What is noted of a thing, by its noun."""
