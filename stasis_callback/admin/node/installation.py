"""`init`: create a settings file and a database, and what a first callback needs."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from stasis_callback.admin.files import write_private
from stasis_callback.admin.node import wizard
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.periods import time_zone
from stasis_callback.resources import asterisk_conf_dir, sounds_dir

CONFIG_NAME, DATABASE_NAME = "stasis-callback.toml", "stasis-callback.db"

TEMPLATE = """\
# Settings of one stasis-callback node. Each can be overridden by an environment variable, for example
# STASIS_CALLBACK_ARI__PASSWORD for `password` in [ari]. Check with `stasis-callback config check`.
# Accounts, tariffs and access numbers are in the database: see `stasis-callback --help`.

# Unique name of this node. Each Asterisk has its own node.
node = "{node}"
# text: for reading; json: for programs.
log_format = "text"
# Time zone in which commands read and show days and times.
time_zone = "{zone}"

[database]
# An SQLite file, or a server: postgresql://user@host/name.
url = {url}
# `/readyz` and `doctor` report a problem when the disk of an SQLite file has less free space.
free_limit_mb = 100

[ari]
# Asterisk's HTTP server (http.conf), and the user in local/ari.conf.
url = "http://127.0.0.1:8088"
username = "stasis-callback"
password = "{password}"
# Stasis application, as in extensions.conf.
app = "stasis-callback"
request_timeout_s = 5.0

[asterisk]
# PJSIP endpoint in local/pjsip.conf that carries both legs.
trunk = "trunk"
# Form of its numbers, as long as it is not in the database: e164, +e164, or national:CC, for example national:CZ.
numbers = "{numbers}"
# CEL journal written by cel_custom.conf.
cel_path = "/var/log/asterisk/cel-custom/stasis-callback.csv"

[limits]
# Maximum number of queued callbacks; further ones are refused.
queue = 1000
# Maximum number of live callbacks; further ones stay queued.
live_calls = 200
# Seconds after which a node that is not seen counts as dead: another node then ends its calls.
node_dead_after_s = 300

[web]
# Forms, status pages and the JSON API. Add an instance with `stasis-callback web add`.
enabled = false
host = "127.0.0.1"
port = 8080
# Public URL, for example "https://callback.example.com"; empty: host and port.
public_url = ""
# Secret that signs links, forms and webhooks. It must be the same on all nodes.
secret = "{web_secret}"
# Reverse proxies whose X-Forwarded-For is trusted, for example "127.0.0.1".
trusted_proxies = ""

[console]
# The operators' console. It is served as soon as `stasis-callback console user add` has made an operator.
enabled = true
address = "127.0.0.1"
port = 8090
# PEM files; without them the console must stay on this machine or behind a reverse proxy with HTTPS.
tls_certificate = ""
tls_key = ""
# Credit above this amount (top-ups, adjustments, limits, vouchers) needs a second operator; 0: none does.
second_operator_above = 0.0

[email]
# Callbacks by e-mail. Add an instance with `stasis-callback email add`; see docs/guides/email.md.
enabled = false
# Protocol that the mail server uses to deliver to host and port: lmtp, smtp, or off.
listener = "lmtp"
host = "127.0.0.1"
port = 8024
# Name of our own mail server in Authentication-Results headers.
authserv_id = ""

[fraud]
# How much may be caused in a day before it is set aside, as calls/minutes/amount; see docs/guides/fraud.md.
account = "600/3000/300"
premium = "20/60/50"
# Web instance whose webhook_url is told of what is set aside; e-mail instance that writes about it, and to whom.
alarm_webhook = ""
alarm_mail_from = ""
alarm_mail_to = ""

[retention]
# Retention in days, by kind of data; 0: for ever. Preview with `stasis-callback db purge --dry-run`.
steps_days = 90
refused_days = 90
# Phone numbers in call records are masked after this many days; 0: never.
numbers_days = 0
"""


def init(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Option("--dir", help="Target folder; created if missing.", metavar="DIR")
    ] = Path(),
    country: wizard.Country = "",
    carrier: wizard.Carrier = "",
    carrier_addresses: wizard.CarrierAddresses = "",
    numbers: wizard.Numbers = "",
    access_number: wizard.AccessNumber = "",
    currency: wizard.Currency = "",
    price: wizard.Price = "",
    account: wizard.Account = "",
    funds: wizard.Funds = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: use what is given, and defaults for the rest.")
    ] = False,
) -> None:
    """Create a settings file and a database; on a terminal, ask for all that a first callback needs.

    With a country, it also adds a tariff, a product, a customer with an account, and an access number, and writes
    the files for Asterisk's local/ folder. Without one, only settings and database are created.
    """
    folder = folder.resolve()
    for path in (folder / CONFIG_NAME, folder / DATABASE_NAME):
        if path.exists():
            raise InvalidInput(f"{path} already exists: nothing was changed")
    given = wizard.Answers(
        country, carrier, carrier_addresses, numbers, access_number, currency, price, account, funds
    )
    first = wizard.asked(given, ask=not yes and sys.stdin.isatty())
    password = _create(folder, first.numbers if first else "e164")
    if first:
        wizard.set_up(context, first, folder / CONFIG_NAME, password)
        return
    typer.echo(f"""\
Next, configure Asterisk. Copy the configuration in {asterisk_conf_dir()} to /etc/asterisk, and create there:

  local/ari.conf (mode 640, group asterisk):
    [stasis-callback](ari-user)
    password = {password}

  local/pjsip.conf: your carrier, as described in pjsip.conf.

The prompts are in {sounds_dir()}. Link each language you use, for example:
  ln -s {sounds_dir() / "en"} /usr/share/asterisk/sounds/en/stasis-callback

Then restart Asterisk, start `stasis-callback run`, and run `stasis-callback doctor`.""")


def _create(folder: Path, numbers: str) -> str:
    """Write the settings and the database; the new password for ARI."""
    from stasis_callback.admin.node.databases import create_or_upgrade
    from stasis_callback.settings import host_name

    config, database = folder / CONFIG_NAME, folder / DATABASE_NAME
    url = _toml_text(f"sqlite:///{database}")
    folder.mkdir(exist_ok=True)
    password = secrets.token_urlsafe(24)
    text = TEMPLATE.format(
        node=host_name(),
        zone=_machine_zone(),
        url=url,
        password=password,
        numbers=numbers,
        web_secret=secrets.token_urlsafe(32),
    )
    write_private(config, text)
    create_or_upgrade(f"sqlite:///{database}")
    typer.echo(f"{config} written\n{database} created\n")
    return password


def _machine_zone(link: Path = Path("/etc/localtime")) -> str:
    """The time zone of this machine; UTC where it has no name."""
    _, _, name = str(link.resolve()).partition("zoneinfo/")
    try:
        return time_zone(name).key
    except InvalidInput:
        return "UTC"


def _toml_text(text: str) -> str:
    if not text.isprintable():
        raise InvalidInput(f"{text!r}: the folder name has characters that are not supported")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
