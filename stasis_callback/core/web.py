"""What an operator can set on a web instance, and what it makes of a call.

The names of three things are set in one place: those of the instance (here), its limits (`core.limits`) and the
options of the call (`core.options`). Only what differs from the defaults is stored, as text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.instances import names_of, parse_parts
from stasis_callback.core.limits import RequestLimits
from stasis_callback.core.numbers import is_dialable
from stasis_callback.core.options import CallOptions, option

Kind = Literal["simple", "extended", "hosted"]

ACCESS_CODE = "WEBCALLBACK"
"""Calls are rated by the product's tariff for this access code, where it has one, and by its usual one otherwise."""


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The settings of a web instance."""

    type: Kind = option(
        "simple",
        "simple: account id and one number, the second is fixed. extended: account id, service password and two "
        "numbers. hosted: one number, the internal account pays; only for allowed clients.",
    )
    second_number: str = option(
        "", "simple, hosted: who is called second, in E.164 digits; hosted without one asks for a number."
    )
    internal_account: str = option("", "hosted: the account that pays for both legs.")
    require_password: bool = option(False, "simple: ask for the service password too (extended always does).")
    allowed_origins: str = option(
        "", "Other web sites whose form may post here, like https://www.example.com; separated by commas."
    )
    allowed_addresses: str = option(
        "",
        "hosted: addresses of clients that need no link and no key, like 192.0.2.0/24; separated by commas.",
    )
    region: str = option(
        "",
        "Numbers without a country code are of this country, like GB; empty takes international ones only.",
    )
    title: str = option("", "The headline of the page; empty for the usual words.")
    show_cost: bool = option(False, "Show on the status page what the call has cost.")
    link_lifetime_s: int = option(
        86_400, "How long the link to a status page works.", least=60, most=2_592_000
    )
    webhook_url: str = option("", "Where every state of a callback is reported, signed.")

    def __post_init__(self) -> None:
        """Check what a type alone cannot say. Raises InvalidInput."""
        if self.second_number and not is_dialable(self.second_number):
            raise InvalidInput(f"second_number {self.second_number!r}: write 3 to 15 digits, without + or 00")
        if self.region and not re.fullmatch(r"[A-Z]{2}", self.region):
            raise InvalidInput(f"region {self.region!r}: write two capitals, like GB")
        if len(self.title) > 80 or not self.title.isprintable():
            raise InvalidInput("title: at most 80 printable characters")
        for origin in self.origins:
            _check_origin(origin)
        if self.webhook_url:
            _check_url("webhook_url", self.webhook_url)
        _ = self.networks
        self._check_type()

    def _check_type(self) -> None:
        if self.type == "simple" and not self.second_number:
            raise InvalidInput("type simple needs a second_number")
        if self.type == "extended" and self.second_number:
            raise InvalidInput("type extended takes the second_number from the form: leave it out")
        if (self.type == "hosted") != bool(self.internal_account):
            raise InvalidInput("type hosted, and no other, needs an internal_account that pays for both legs")

    @property
    def origins(self) -> tuple[str, ...]:
        """The other sites, as browsers write them into `Origin`."""
        return _listed(self.allowed_origins)

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The addresses of allowed clients. Raises InvalidInput."""
        return parse_networks("allowed_addresses", self.allowed_addresses)

    @property
    def asks_password(self) -> bool:
        """Whether the form has a password."""
        return self.type == "extended" or (self.type == "simple" and self.require_password)


SETTING_NAMES, WEB_NAMES = names_of(WebSettings)
"""Everything that can be set on a web instance."""


@dataclass(frozen=True, slots=True)
class WebConfiguration:
    """A web instance's settings, limits and the options of its calls, all checked."""

    settings: WebSettings
    limits: RequestLimits
    options: Mapping[str, str]
    """Options of the call that are set here."""

    @classmethod
    def parse(cls, stored: Mapping[str, str]) -> WebConfiguration:
        """From texts as entered or stored. Raises InvalidInput that names what is wrong."""
        configuration = cls(*parse_parts(WebSettings, stored, "web"))
        CallOptions.parse(configuration.call_options("en"))
        return configuration

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the page and of the call."""
        return CallOptions.parse(self.options).language_list

    def call_options(self, language: str) -> dict[str, str]:
        """The options a request is queued with, for somebody who reads this language."""
        settings = self.settings
        usual = {"access_code": ACCESS_CODE}
        if settings.type != "extended":
            usual |= {"announce_balance": "off", "announce_duration": "off"}
        if settings.second_number:
            usual["caller_id_a"] = settings.second_number
        options: dict[str, str] = {**usual, **self.options, "languages": language}
        if settings.type == "hosted":
            options["announce_balance"] = "off"  # what an internal account has is nobody's business
        return options


def parse_networks(name: str, text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Addresses and networks, separated by commas. Raises InvalidInput."""
    try:
        return tuple(ipaddress.ip_network(part) for part in _listed(text))
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}: write addresses like 192.0.2.7 or 192.0.2.0/24") from None


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)


def _check_origin(text: str) -> None:
    parts = _check_url("allowed_origins", text)
    if text != f"{parts[0]}://{parts[1]}" or text != text.lower():
        raise InvalidInput(
            f"allowed_origins {text!r}: write scheme and host only, like https://www.example.com"
        )


def _check_url(name: str, text: str) -> tuple[str, str]:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
        _ = parts.port
    except ValueError:
        good = False
    if not good or not re.fullmatch(r"[!-~]+", text):
        raise InvalidInput(f"{name} {text!r}: write an address like https://www.example.com")
    return parts.scheme, parts.netloc
