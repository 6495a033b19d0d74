"""API keys for programs, with their scopes. A key is shown once; only its hash is stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.limits import Limit
from stasis_callback.core.web import parse_networks
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.names import checked_name
from stasis_callback.store.intake.tables import ApiKey, WebInstance

SCOPES = {
    "create": "ask for callbacks, as the form of the instance does",
    "any-account": "with create: name any account without its password",
    "status": "see how far a callback is",
    "cancel": "take a callback back",
    "list": "list callbacks",
    "accounts": "read accounts and their balances",
    "manage-accounts": "open and change accounts",
    "xdrs": "read call records",
    "top-up": "top up accounts",
    "vouchers": "redeem vouchers, and see how many are left",
    "rates": "read tariffs and rates",
}
OF_INSTANCES = ("create", "any-account", "status", "cancel", "list")
"""The scopes that a key for one web instance can have."""
PREFIX = "sck_"


@dataclass(frozen=True, slots=True)
class KeySettings:
    """What a key may have beside its scopes."""

    limit_requests: Limit = Limit(6000, 3600)
    """Requests of any kind, in each process."""
    limit_logins: Limit = Limit(1000, 900)
    """Failed logins of all the program's customers together."""
    addresses: str = ""
    """Addresses and networks from which it may be used, separated by commas; "" for all."""
    expires_at_us: int | None = None

    def __post_init__(self) -> None:
        """Check the addresses. Raises InvalidInput."""
        parse_networks("addresses", self.addresses)


@dataclass(frozen=True, slots=True)
class ApiKeyView:
    """An API key without the key. `instance` is "" for all of them."""

    name: str
    scopes: tuple[str, ...]
    instance: str
    created_at_us: int
    revoked_at_us: int | None
    settings: KeySettings

    def reaches(self, instance: str) -> bool:
        """Whether it is for this instance."""
        return self.instance in ("", instance)


_USUAL = KeySettings()


class ApiKeys:
    """The keys."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(
        self, name: str, scopes: Sequence[str], instance: str = "", settings: KeySettings = _USUAL
    ) -> str:
        """A new key, which cannot be read again later. Raises InvalidInput."""
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            raise InvalidInput(
                f"invalid scope {''.join(unknown[:1])!r}: use one or more of {', '.join(SCOPES)}"
            )
        wide = [scope for scope in scopes if scope not in OF_INSTANCES]
        if instance and wide:
            raise InvalidInput(f"scope {wide[0]} is not limited to a web instance: omit --instance")
        key = PREFIX + secrets.token_urlsafe(32)

        def once() -> None:
            known = ApiKey.get_or_none(ApiKey.name == name)
            if known is not None and known.key_hash == _hash(key):
                return
            if known is not None:
                raise InvalidInput(f"API key {name!r} already exists or was revoked: choose another name")
            if instance and WebInstance.get_or_none(WebInstance.name == instance) is None:
                raise InvalidInput(f"unknown web instance {instance!r}: see `stasis-callback web list`")
            ApiKey.create(
                name=checked_name(name),
                key_hash=_hash(key),
                scopes=",".join(scope for scope in SCOPES if scope in scopes),
                instance=instance,
                created_at_us=self._clock.now_us(),
                **_columns(settings),
            )

        self._database.unit(once)
        return key

    @unit
    def change(self, name: str, settings: KeySettings) -> None:
        """Change what a key may have; its scopes stay. Raises InvalidInput if it does not exist."""
        self.named(name)
        ApiKey.update(_columns(settings)).where(ApiKey.name == name).execute()

    @read
    def named(self, name: str) -> ApiKeyView:
        """The key with this name, revoked or not. Raises InvalidInput if it does not exist."""
        row = ApiKey.get_or_none(ApiKey.name == name)
        if row is None:
            raise InvalidInput(f"unknown API key {name!r}: see `stasis-callback api-key list`")
        return _view(row)

    @unit
    def revoke(self, name: str) -> bool:
        """Revoke a key; False if it was already revoked. Raises InvalidInput if it does not exist."""
        self.named(name)
        changed = (
            ApiKey.update(revoked_at_us=self._clock.now_us())
            .where(ApiKey.name == name, ApiKey.revoked_at_us.is_null())
            .execute()
        ) or self._database.noted("revoked")
        self._database.note("revoked", changed)
        return bool(changed)

    @read
    def find(self, key: str) -> ApiKeyView | None:
        """The key in force behind this text, from wherever it comes.

        It has 256 random bits, so a fast hash hides it, and looking the hash up tells nothing by its timing.
        """
        not_expired = ApiKey.expires_at_us.is_null() | (ApiKey.expires_at_us > self._clock.now_us())
        row = ApiKey.get_or_none(ApiKey.key_hash == _hash(key), ApiKey.revoked_at_us.is_null(), not_expired)
        return _view(row) if row else None

    @read
    def all(self) -> list[ApiKeyView]:
        """Every key by name, revoked ones too."""
        return [_view(row) for row in ApiKey.select().order_by(ApiKey.name)]


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _columns(settings: KeySettings) -> dict[str, object]:
    return {
        "limit_requests": str(settings.limit_requests),
        "limit_logins": str(settings.limit_logins),
        "addresses": settings.addresses,
        "expires_at_us": settings.expires_at_us,
    }


def _view(row: ApiKey) -> ApiKeyView:
    settings = KeySettings(
        Limit.parse(row.limit_requests), Limit.parse(row.limit_logins), row.addresses, row.expires_at_us
    )
    return ApiKeyView(
        row.name, tuple(row.scopes.split(",")), row.instance, row.created_at_us, row.revoked_at_us, settings
    )
