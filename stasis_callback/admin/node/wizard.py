"""What `init` asks, and what it makes of the answers: all that a first callback needs."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from stasis_callback.admin.context import operator
from stasis_callback.admin.files import write_private
from stasis_callback.admin.output import complain
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import (
    parse_amount,
    parse_currency,
    parse_price,
    require_payable,
)
from stasis_callback.core.numbers import is_dialable
from stasis_callback.resources import asterisk_conf_dir, deploy_dir, sounds_dir

Country = Annotated[
    str, typer.Option(help="Country of the subscribers: two letters, for example CZ.", metavar="CC")
]
Carrier = Annotated[
    str, typer.Option(help="SIP server of the carrier: a host name or an address, with or without :port.")
]
CarrierAddresses = Annotated[
    str,
    typer.Option(
        help="Addresses that the carrier's calls come from, with commas between them [default: its SIP server]."
    ),
]
Numbers = Annotated[
    str,
    typer.Option(
        help="How the carrier writes numbers: e164, +e164, or national:CC [default: e164].", metavar="FORM"
    ),
]
AccessNumber = Annotated[str, typer.Option(help="Number that subscribers call.", metavar="NUMBER")]
Currency = Annotated[
    str, typer.Option(help="Currency of tariff and customer [default: USD].", metavar="CODE")
]
Price = Annotated[
    str, typer.Option(help="Price per minute of calls to the country [default: 0.10].", metavar="AMOUNT")
]
Account = Annotated[str, typer.Option(help="Phone number of the first subscriber.", metavar="NUMBER")]
Funds = Annotated[
    str, typer.Option(help="Amount on the first subscriber's account [default: 10].", metavar="AMOUNT")
]

TRUNK, TARIFF, PRODUCT, CUSTOMER = "trunk", "retail", "callback", "First customer"


@dataclass(frozen=True, slots=True)
class Answers:
    """The options of `init` as they were typed, "" for those that were not; or, checked, all of them."""

    country: str
    carrier: str
    carrier_addresses: str
    numbers: str
    access_number: str
    currency: str
    price: str
    account: str
    funds: str


def asked(given: Answers, *, ask: bool) -> Answers | None:
    """Checked answers to all questions; None without a country: then nothing is set up.

    Without `ask`, what is not given has its default. Raises InvalidInput, which names the option.
    """
    if not any(getattr(given, name) for name in Answers.__slots__) and not ask:
        return None
    if ask:
        typer.echo(
            "A few questions for a first callback. Empty: what is in brackets. Nothing is written before the last."
        )
        typer.echo(
            "Without a country, only settings and database are created: set up the rest by commands.\n"
        )
    question = _Question(given, ask)
    country = question("country", "Country of the subscribers, two letters", "", _country)
    if not country:
        if not ask:
            raise InvalidInput("--country is missing: the other options need it")
        return None
    carrier = question("carrier", "SIP server of the carrier, host or address", None, _carrier)
    access_number = question("access_number", "Access number, which subscribers call", None, _number(country))
    other = _number(country, but=access_number)
    account = question("account", "Phone number of the first subscriber", None, other)
    currency = question("currency", "Currency", "USD", parse_currency)
    return Answers(
        country,
        carrier,
        question("carrier_addresses", "Addresses its calls come from", _host(carrier), _addresses),
        question("numbers", "How it writes numbers: e164, +e164, national:CC", "e164", _form),
        access_number,
        currency,
        question("price", f"Price per minute to {country}", "0.10", _price),
        account,
        question("funds", "Funds of the first subscriber", "10", _amount(currency)),
    )


@dataclass
class _Question:
    """Asks for one answer, or takes the one that was given."""

    given: Answers
    ask: bool

    def __call__(self, name: str, text: str, default: str | None, check: Callable[[str], str]) -> str:
        """The checked answer; with a `default` of None, there must be one."""
        answer = getattr(self.given, name)
        if not answer and not self.ask:
            if default is None:
                raise InvalidInput(f"--{name.replace('_', '-')} is missing: it has no default")
            answer = default
        if answer or not self.ask:
            try:
                return check(answer) if answer else ""
            except InvalidInput as error:
                raise InvalidInput(f"--{name.replace('_', '-')}: {error}") from None
        while True:
            try:
                answer = typer.prompt(text, default=default, show_default=bool(default)).strip()
                return check(answer) if answer else ""
            except InvalidInput as error:
                complain(str(error))


def _country(text: str) -> str:
    from stasis_callback.core.numbering import known_region

    if not known_region(text.upper()):
        raise InvalidInput(f"unknown country {text[:40]!r}: write its two letters, for example CZ")
    return text.upper()


def _number(country: str, but: str = "") -> Callable[[str], str]:
    from stasis_callback.core.numbering import example, read_number

    def check(text: str) -> str:
        number = read_number(text, country)
        if number is None or not is_dialable(number):
            raise InvalidInput(
                f"{text[:40]!r} is not a phone number: write it like {example(country)}, or with + and country code"
            )
        if number == but:
            raise InvalidInput(f"{text[:40]!r} is the access number: give another one")
        return number

    return check


def _carrier(text: str) -> str:
    if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?", text, re.ASCII):
        raise InvalidInput(
            f"{text[:40]!r} is not a host: write, for example, sip.carrier.example or 198.51.100.1"
        )
    return text


def _host(carrier: str) -> str:
    return re.sub(r":[0-9]+$", "", carrier).strip("[]")


def _addresses(text: str) -> str:
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError:
            if part != _host(part) or not re.search("[A-Za-z]", _carrier(part)):
                raise InvalidInput(f"{part[:40]!r} is not an address, a network or a host name") from None
    return ", ".join(parts)


def _form(text: str) -> str:
    from stasis_callback.core.trunk_numbers import NumberForm

    return NumberForm(text).numbers


def _price(text: str) -> str:
    parse_price(text)
    return text


def _amount(currency: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        micros = parse_amount(text)
        if micros <= 0:
            raise InvalidInput(f"{text!r} is not more than 0")
        require_payable(currency, micros)
        return text

    return check


# --- setting up --------------------------------------------------------------------------------------------------


def set_up(context: typer.Context, first: Answers, config: Path, password: str) -> None:
    """Run the commands that the answers make, and write what Asterisk needs. All of it, or nothing is left."""
    from stasis_callback.core.numbering import calling_code

    local = config.parent / "asterisk-local"
    code = calling_code(first.country)
    try:
        for words in (
            ("tariff", "add", TARIFF, "--currency", first.currency),
            ("rate", "add", TARIFF, code, first.price, "--description", first.country),
            ("product", "add", PRODUCT, "--tariff", TARIFF),
            ("customer", "add", CUSTOMER, "--currency", first.currency),
            ("account", "add", first.account, "--customer", CUSTOMER, "--product", PRODUCT),
            ("account", "topup", first.account, first.funds, "--key", "first-payment"),
            ("access-number", "add", first.access_number),
        ):
            typer.echo(f"$ stasis-callback {shlex.join(words)}")
            whole = ["--config", str(config), "--as", operator(), *words]
            context.find_root().command.main(whole, context.find_root().info_name, standalone_mode=False)
        local.mkdir(mode=0o700)
        write_private(local / "ari.conf", f"[stasis-callback](ari-user)\npassword = {password}\n")
        write_private(local / "pjsip.conf", _pjsip(first))
    except BaseException:
        _remove(config, local)
        raise
    _say_what_is_next(first, config, local)


def _remove(config: Path, local: Path) -> None:
    for file in (*config.parent.glob("stasis-callback.db*"), *local.glob("*"), config):
        file.unlink()
    if local.is_dir():
        local.rmdir()


def _pjsip(first: Answers) -> str:
    """The section of the carrier, for local/pjsip.conf."""
    contact = first.carrier if re.search(r":[0-9]+$", first.carrier) else f"{first.carrier}:5060"
    matches = "".join(f"match = {part.strip()}\n" for part in first.carrier_addresses.split(","))
    return f"""\
; The first trunk. For registration, NAT and other variants see pjsip.conf in the folder above.
[{TRUNK}](carrier)
aors = {TRUNK}
from_domain = {_host(first.carrier)}

[{TRUNK}]
type = aor
contact = sip:{contact}
qualify_frequency = 60

[{TRUNK}-in](incoming)

[{TRUNK}]
type = identify
endpoint = {TRUNK}-in
{matches}"""


def _say_what_is_next(first: Answers, config: Path, local: Path) -> None:
    owner = config.owner()
    typer.echo(f"""
What is left, as root:

  1. Asterisk's configuration (an Asterisk with calls of its own: see docs/guides/existing-asterisk.md):
       cp -r {asterisk_conf_dir()}/. /etc/asterisk/
       install -d -o root -g asterisk -m 0750 /etc/asterisk/local
       install -o root -g asterisk -m 0640 {local}/*.conf /etc/asterisk/local/
       install -d -o asterisk -g asterisk -m 0750 /var/log/asterisk/cel-custom
  2. The prompts:
       ln -s {sounds_dir() / "en"} /usr/share/asterisk/sounds/en/stasis-callback
  3. The service, with the settings where all commands find them:
       install -d -o {owner} -m 0750 /etc/stasis-callback && mv {config} /etc/stasis-callback/
       cp {deploy_dir() / "stasis-callback.service"} /etc/systemd/system/
       systemctl restart asterisk && systemctl enable --now stasis-callback
  4. `stasis-callback doctor`, as the user of the service, says what is missing.
  5. Call {first.access_number} from {first.account}. It is busy, and a moment later the phone rings.

More destinations: stasis-callback rate add {TARIFF} PREFIX PRICE""")
