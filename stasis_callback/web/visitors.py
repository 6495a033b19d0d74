"""The client of a request: its address, and whether it may use a hosted instance."""

from __future__ import annotations

import ipaddress

from starlette.requests import HTTPConnection

from stasis_callback.core.requests import Link
from stasis_callback.core.web import parse_networks
from stasis_callback.store.intake.api_keys import ApiKeyView
from stasis_callback.store.intake.web_instances import WebInstanceView
from stasis_callback.store.stores import Stores
from stasis_callback.web.desk import Asker

BEARER = "Bearer "
KEY_LIMIT = 100


def address_of(connection: HTTPConnection) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The client's address; uvicorn has put it there, from `X-Forwarded-For` when a trusted proxy says so."""
    try:
        address = ipaddress.ip_address(connection.client.host if connection.client else "")
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def source_of(connection: HTTPConnection) -> str:
    """Whom the limits count."""
    address = address_of(connection)
    return counted_as(address) if address else "unknown"


def counted_as(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """As whom the limits count an address: itself, or the /64 that one IPv6 customer has."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def is_in(connection: HTTPConnection, addresses: str) -> bool:
    """Whether it comes from one of these networks."""
    address = address_of(connection)
    return address is not None and any(address in net for net in parse_networks("addresses", addresses))


def api_key_of(stores: Stores, connection: HTTPConnection) -> ApiKeyView | None:
    """The API key in the `Authorization: Bearer` header of a request, if it is in force and may come from there."""
    authorization = connection.headers.get("authorization", "")
    if not authorization.startswith(BEARER) or len(authorization) > KEY_LIMIT:
        return None
    key = stores.api_keys.find(authorization.removeprefix(BEARER).strip())
    return key if key and may_come_from(key, connection) else None


def may_come_from(key: ApiKeyView, connection: HTTPConnection) -> bool:
    """Whether a key may be used from the address of a request."""
    return not key.settings.addresses or is_in(connection, key.settings.addresses)


def asker_of(stores: Stores, instance: str, connection: HTTPConnection, end_user: str) -> Asker:
    """Whom the limits of a form count: a program that shows its key is answerable for its customers."""
    key = api_key_of(stores, connection)
    if key is None or "create" not in key.scopes or not key.reaches(instance):
        return Asker(source_of(connection))
    return program(key, end_user)


def program(key: ApiKeyView, end_user: str) -> Asker:
    """Whom the limits count when a program asks for its customer `end_user`, or ("") for somebody."""
    source = f"{key.name}/{end_user}" if end_user else ""
    return Asker(source, key.name, key.settings.limit_logins)


def may_use(instance: WebInstanceView, connection: HTTPConnection, link: Link | None, stores: Stores) -> bool:
    """Whether this client may ask for callbacks here: for a hosted instance it needs a link, an address or a key."""
    settings = instance.configuration.settings
    if settings.type != "hosted" or link or is_in(connection, settings.allowed_addresses):
        return True
    key = api_key_of(stores, connection)
    return key is not None and "create" in key.scopes and key.reaches(instance.name)
