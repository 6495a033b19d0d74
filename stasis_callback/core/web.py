"""The settings of a web instance, and the call options that follow from them.

An instance has three kinds of options: its own settings (here), limits (`core.limits`) and call options
(`core.options`). Only values that differ from the defaults are stored, as text.
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
from stasis_callback.core.opening import CALL_ME_AT, OPENING_HOURS, TIME_ZONE
from stasis_callback.core.options import CallOptions, option
from stasis_callback.core.periods import OffPeak, parse_off_peak

FormType = Literal["simple", "extended", "hosted"]

ACCESS_CODE = "WEBCALLBACK"
"""Calls use the product's tariff for this access code if it has one, otherwise its standard tariff."""


_HOST = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?)(?::[0-9]*)?", re.ASCII
)
"""An address or a name that the DNS can have, with a port or without."""


@dataclass(frozen=True, slots=True)
class WebOptions:
    """The settings of a web instance."""

    type: FormType = option(
        "simple",
        "Type of form. simple: account id and one number; the second number is fixed. extended: account id, service "
        "password and two numbers. hosted: one number; the internal account pays; for allowed clients only.",
    )
    second_number: str = option(
        "",
        "simple, hosted: number called second, in E.164 digits. hosted: if empty, it is asked for during the call.",
    )
    internal_account: str = option("", "hosted: account that pays for both legs.")
    require_password: bool = option(
        False, "simple: also require the service password (extended always does)."
    )
    allowed_origins: str = option(
        "",
        "Other web sites whose forms may post here, for example https://www.example.com; separated by commas.",
    )
    allowed_addresses: str = option(
        "",
        "hosted: addresses of clients that need neither link nor key, for example 192.0.2.0/24; separated by commas.",
    )
    link_hourly: int = option(
        10, "hosted: callbacks within an hour by one signed link.", least=1, most=100_000
    )
    frame_origins: str = option(
        "", "Other web sites that may show the form and its status page in a frame; separated by commas."
    )
    opening_hours: str = option("", OPENING_HOURS)
    time_zone: str = option("UTC", TIME_ZONE)
    call_me_at: bool = option(False, CALL_ME_AT)
    proof_of_work: bool = option(
        False, "Browsers compute for a second before the form is sent, which makes mass requests expensive."
    )
    title: str = option("", "Page heading; empty: the standard heading.")
    show_cost: bool = option(False, "Show the cost of the call on the status page.")
    link_lifetime_s: int = option(
        86_400, "Validity of status page links, in seconds.", least=60, most=2_592_000
    )
    webhook_url: str = option("", "URL that receives signed webhooks for every step of a callback.")

    def __post_init__(self) -> None:
        """Check what types cannot express. Raises InvalidInput."""
        if self.second_number and not is_dialable(self.second_number):
            raise InvalidInput(
                f"second_number {self.second_number!r} is invalid: write 3 to 15 digits without + or 00"
            )
        if len(self.title) > 80 or not self.title.isprintable():
            raise InvalidInput("title is invalid: write at most 80 printable characters")
        for name, origins in (("allowed_origins", self.origins), ("frame_origins", self.framing)):
            for origin in origins:
                _check_origin(name, origin)
        _ = self.hours
        if self.webhook_url:
            _check_url("webhook_url", self.webhook_url)
        _ = self.networks
        self._check_type()

    def _check_type(self) -> None:
        if self.type == "simple" and not self.second_number:
            raise InvalidInput("type simple needs a second_number")
        if self.type == "extended" and self.second_number:
            raise InvalidInput(
                "type extended takes the second number from the form: do not set second_number"
            )
        if (self.type == "hosted") != bool(self.internal_account):
            raise InvalidInput(
                "internal_account is required for type hosted, and not allowed for other types"
            )

    @property
    def origins(self) -> tuple[str, ...]:
        """The allowed sites, in the form of the `Origin` header."""
        return _listed(self.allowed_origins)

    @property
    def framing(self) -> tuple[str, ...]:
        """The sites that may show its pages in a frame."""
        return _listed(self.frame_origins)

    @property
    def hours(self) -> OffPeak | None:
        """When calls are made; None: always. Raises InvalidInput."""
        return parse_off_peak(self.opening_hours, self.time_zone)

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The addresses of allowed clients. Raises InvalidInput."""
        return parse_networks("allowed_addresses", self.allowed_addresses)

    @property
    def asks_password(self) -> bool:
        """Whether the form has a password field."""
        return self.type == "extended" or (self.type == "simple" and self.require_password)


_, WEB_NAMES = names_of(WebOptions)
"""The names of all options of a web instance."""


@dataclass(frozen=True, slots=True)
class WebConfiguration:
    """The checked settings, limits and call options of a web instance."""

    settings: WebOptions
    limits: RequestLimits
    options: Mapping[str, str]
    """Call options that are set on the instance."""

    @classmethod
    def parse(cls, stored: Mapping[str, str]) -> WebConfiguration:
        """From text values, as entered or stored. Raises InvalidInput, which names the invalid option."""
        configuration = cls(*parse_parts(WebOptions, stored, "web"))
        CallOptions.parse(configuration.call_options("en"))
        return configuration

    @property
    def region(self) -> str:
        """The country of numbers without a country code; "" for none."""
        return CallOptions.parse(self.options).region

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the page and of the call."""
        return CallOptions.parse(self.options).language_list

    def call_options(self, language: str) -> dict[str, str]:
        """The call options with which a request is queued, for the given language."""
        settings = self.settings
        usual = {"access_code": ACCESS_CODE}
        if settings.type != "extended":
            usual |= {"announce_balance": "off", "announce_duration": "off"}
        if settings.second_number:
            usual["caller_id_a"] = settings.second_number
        options: dict[str, str] = {**usual, **self.options, "languages": language}
        if settings.type == "hosted":
            options["announce_balance"] = "off"  # the balance of an internal account is confidential
        return options


def parse_networks(name: str, text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Parse addresses and networks, separated by commas. Raises InvalidInput."""
    try:
        return tuple(ipaddress.ip_network(part) for part in _listed(text))
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}: write, for example, 192.0.2.7 or 192.0.2.0/24") from None


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)


def _check_origin(name: str, text: str) -> None:
    parts = _check_url(name, text)
    if text != f"{parts[0]}://{parts[1]}" or text != text.lower():
        raise InvalidInput(
            f"{name} {text!r} is invalid: write only scheme and host, for example https://www.example.com"
        )


def _check_url(name: str, text: str) -> tuple[str, str]:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.netloc)
        _ = parts.port
    except ValueError:
        good = False
    if not good or not re.fullmatch(r"[!-~]+", text):
        raise InvalidInput(f"{name} {text!r} is invalid: write a URL, for example https://www.example.com")
    return parts.scheme, parts.netloc
