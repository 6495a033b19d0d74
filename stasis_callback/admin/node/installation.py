"""`init`: a settings file and a database to begin with."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from stasis_callback.core.errors import InvalidInput
from stasis_callback.resources import asterisk_conf_dir, sounds_dir

CONFIG_NAME, DATABASE_NAME = "stasis-callback.toml", "stasis-callback.db"

TEMPLATE = """\
# Settings of one stasis-callback node. An environment variable overrides each, named after it:
# STASIS_CALLBACK_ARI__PASSWORD for `password` in [ari]. Check with `stasis-callback config check`.
# Accounts, tariffs and access numbers are in the database: see `stasis-callback --help`.

# This node's name, which no other has; each Asterisk has its own node.
node = "{node}"
# text for people, json for programs.
log_format = "text"

[database]
# A file, or a server: postgresql://user@host/name.
url = {url}
# `/readyz` and `doctor` say so when less is left on the disk of an SQLite file.
free_limit_mb = 100

[ari]
# Asterisk's HTTP server (http.conf), and the user in local/ari.conf.
url = "http://127.0.0.1:8088"
username = "stasis-callback"
password = "{password}"
# The Stasis application that extensions.conf names.
app = "stasis-callback"
request_timeout_s = 5.0

[asterisk]
# The PJSIP endpoint of local/pjsip.conf that carries both legs.
trunk = "trunk"
# The billing journal that cel_custom.conf writes.
cel_path = "/var/log/asterisk/cel-custom/stasis-callback.csv"

[limits]
# Callbacks waiting; more are refused.
queue = 1000
# Callbacks under way at once; more wait.
live_calls = 200
# What a dead node has left under way is ended by another after so long without a sign of life.
node_dead_after_s = 300

[web]
# Forms, status pages and the JSON API; `stasis-callback web add` makes an instance.
enabled = false
host = "127.0.0.1"
port = 8080
# How browsers reach it, like "https://callback.example.com"; empty for host and port.
public_url = ""
# Signs links, forms and webhooks; the same on every node.
secret = "{web_secret}"
# Reverse proxies whose X-Forwarded-For is believed, like "127.0.0.1".
trusted_proxies = ""

[email]
# Callbacks by e-mail; `stasis-callback email add` makes an instance, docs/guides/email.md says how mails get here.
enabled = false
# What the mail server speaks to us on host and port: lmtp, smtp, or off.
listener = "lmtp"
host = "127.0.0.1"
port = 8024
# Our own mail server's name in Authentication-Results.
authserv_id = ""

[retention]
# Days that what is over is kept, by kind; 0: for ever. `stasis-callback db purge --dry-run` counts what would go.
steps_days = 90
refused_days = 90
# Telephone numbers in old call records are made unreadable; 0: never.
numbers_days = 0
"""


def init(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where both go; made when it is missing.", metavar="DIR")
    ] = Path(),
) -> None:
    """Write a settings file and a database to begin with."""
    from stasis_callback.admin.node.databases import create_or_upgrade
    from stasis_callback.settings import host_name

    folder = folder.resolve()
    config, database = folder / CONFIG_NAME, folder / DATABASE_NAME
    for path in (config, database):
        if path.exists():
            raise InvalidInput(f"{path} exists already: nothing was changed")
    folder.mkdir(exist_ok=True)
    password, web_secret = secrets.token_urlsafe(24), secrets.token_urlsafe(32)
    url = _toml_text(f"sqlite:///{database}")
    _write_private(
        config, TEMPLATE.format(node=host_name(), url=url, password=password, web_secret=web_secret)
    )
    create_or_upgrade(f"sqlite:///{database}")
    typer.echo(f"""\
{config} written
{database} created

Now Asterisk. Its configuration is in {asterisk_conf_dir()}: copy it to /etc/asterisk, and make there

  local/ari.conf (mode 640, group asterisk):
    [stasis-callback](ari-user)
    password = {password}

  local/pjsip.conf: your carrier; pjsip.conf says how.

The prompts are in {sounds_dir()}: link each language you use, as
  ln -s {sounds_dir() / "en"} /usr/share/asterisk/sounds/en/stasis-callback

Then restart Asterisk, start `stasis-callback run`, and let `stasis-callback doctor` look at it.""")


def _write_private(path: Path, text: str) -> None:
    """A new file that nobody else can read, at no moment."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)


def _toml_text(text: str) -> str:
    if not text.isprintable():
        raise InvalidInput(f"{text!r}: the folder's name has characters that cannot be used")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
