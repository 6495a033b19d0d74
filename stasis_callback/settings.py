"""The settings of one node: a TOML file, overridden by environment variables. Everything else is in the database.

The file is the first of: `--config`, `$STASIS_CALLBACK_CONFIG`, `./stasis-callback.toml`,
`/etc/stasis-callback/stasis-callback.toml`. An environment variable is named after the setting:
`STASIS_CALLBACK_ARI__PASSWORD` for `password` in `[ari]`.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from stasis_callback.core.errors import InvalidInput

PLACES = (Path("stasis-callback.toml"), Path("/etc/stasis-callback/stasis-callback.toml"))
ENVIRONMENT_PREFIX = "STASIS_CALLBACK_"

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


def host_name() -> str:
    """The machine's name, in the letters of a node's."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname()).strip("-")[:40] or "node"


class Section(BaseModel):
    """A table of the file. An unknown name is an error: it is a typing mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(Section):
    """Where the state is kept."""

    url: str = Field(
        "sqlite:///stasis-callback.db",
        description="sqlite:///path/to/file.db, or postgresql://user@host/name.",
    )


class AriSettings(Section):
    """How Asterisk is reached."""

    url: str = Field("http://127.0.0.1:8088", pattern=r"^https?://", description="Asterisk's HTTP server.")
    username: Word = Field("stasis-callback", description="The user in ari.conf.")
    password: SecretStr = Field(SecretStr(""), description="Its password.")
    app: Word = Field("stasis-callback", description="The Stasis application the dialplan names.")
    request_timeout_s: float = Field(5.0, gt=0, le=60, description="Longest wait for an answer of Asterisk.")


class AsteriskSettings(Section):
    """Facts about Asterisk's own configuration."""

    trunk: Word = Field("trunk", description="The PJSIP endpoint that carries both legs.")
    number_rules: str = Field(
        "",
        description="Translation rules from E.164 digits to what the trunk wants to be dialled, like s/^/+/.",
    )
    cel_path: Path = Field(
        Path("/var/log/asterisk/cel-custom/stasis-callback.csv"),
        description="The journal that cel_custom.conf writes; recovery settles from it.",
    )


class LimitSettings(Section):
    """What protects the node from too much at once, and when others look after its calls."""

    queue: int = Field(1000, ge=1, le=100_000, description="Callbacks waiting; more are refused.")
    live_calls: int = Field(200, ge=1, le=10_000, description="Callbacks under way at once; more wait.")
    node_dead_after_s: int = Field(
        300,
        ge=1,
        le=86_400,
        description="What a dead node has left under way is ended by another after so long without a sign of life.",
    )


class WebSettings(Section):
    """The web server: forms, status pages, JSON API."""

    enabled: bool = Field(False, description="Whether `run` serves the web.")
    host: str = Field("127.0.0.1", description="The address it listens on.")
    port: int = Field(8080, ge=0, le=65_535, description="The port; 0 takes any that is free.")
    public_url: str = Field(
        "",
        pattern=r"^(https?://[^/?#\s@]+)?$",
        description="How browsers reach it, like https://callback.example.com; empty for host and port.",
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="Signs links, forms and webhooks: 32 random characters or more; the same on every node.",
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses of reverse proxies whose X-Forwarded-For is believed, separated by commas.",
    )
    tls_certificate: str = Field(
        "", description="A PEM file with the certificate chain; empty for plain HTTP."
    )
    tls_key: str = Field("", description="A PEM file with its key.")
    brand_dir: str = Field(
        "", description="A folder with default.css, NAME.css and logos, served at /brand/."
    )
    metrics_addresses: str = Field(
        "127.0.0.1, ::1", description="Who may read /metrics, separated by commas."
    )
    body_limit_bytes: int = Field(16_384, ge=1024, le=1_048_576, description="Longest body of a request.")
    connections_limit: int = Field(500, ge=10, le=10_000, description="Connections at once; more get 503.")
    streams_limit: int = Field(
        200, ge=1, le=10_000, description="Status pages that follow a call live at once."
    )
    threads: int = Field(
        8, ge=1, le=64, description="Requests worked on at once; each may need 20 MB (Argon2)."
    )
    request_timeout_s: float = Field(
        10.0, gt=0, le=120, description="Longest wait for the rest of a request."
    )

    @property
    def origin(self) -> str:
        """Where browsers find it: scheme, host and port, as they write it into `Origin`."""
        return self.public_url or f"http{'s' if self.tls_certificate else ''}://{self.host}:{self.port}"


class EmailSettings(Section):
    """E-mail callback: how mails come in, and how answers go out."""

    enabled: bool = Field(False, description="Whether `run` takes mails and sends answers.")
    listener: Literal["lmtp", "smtp", "off"] = Field(
        "lmtp", description="What the mail server speaks to us: lmtp, smtp, or off where it pipes mails."
    )
    host: str = Field("127.0.0.1", description="The address it listens on.")
    port: int = Field(8024, ge=0, le=65_535, description="The port; 0 takes any that is free.")
    authserv_id: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Our own mail server's name in Authentication-Results; nobody else's are believed.",
    )
    size_limit_bytes: int = Field(
        10_485_760,
        ge=4096,
        le=50_000_000,
        description="Longest mail taken in; more than the mail server's own limit, which refuses without a bounce.",
    )
    connections_limit: int = Field(20, ge=1, le=1000, description="Connections at once; more get 421.")
    threads: int = Field(4, ge=1, le=64, description="Mails worked on at once; each may need 20 MB (Argon2).")
    timeout_s: float = Field(60.0, gt=0, le=600, description="Longest time for one command or one mail.")
    dns_server: str = Field(
        "",
        pattern=r"^([0-9.]+(:[0-9]+)?)?$",
        description="Asked for DKIM keys, like 127.0.0.1:53; empty for the system's.",
    )
    smtp_host: str = Field("127.0.0.1", description="The mail server that sends answers.")
    smtp_port: int = Field(25, ge=1, le=65_535, description="Its port.")
    imap_host: str = Field("", description="Where the mailbox is that is read; empty for none.")
    imap_port: int = Field(993, ge=1, le=65_535, description="Its port.")
    imap_tls: bool = Field(True, description="TLS from the first byte; without it only on the same machine.")
    imap_user: str = Field("", description="Who logs in there.")
    imap_password: SecretStr = Field(SecretStr(""), description="The password.")
    imap_folder: str = Field("INBOX", description="The folder.")
    imap_address: str = Field("", description="The e-mail instance its mails are for.")
    imap_keep: bool = Field(
        False, description="Keep mails that were read, marked as seen, instead of deleting them."
    )


class Settings(BaseSettings):
    """All settings of a node."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    node: Word = Field(
        default_factory=host_name,
        description="This node's name, which no other has; each Asterisk has its own node.",
    )
    log_format: Annotated[str, StringConstraints(pattern="^(text|json)$")] = Field(
        "text", description="text for people, json for programs."
    )
    database: DatabaseSettings = DatabaseSettings()
    ari: AriSettings = AriSettings()
    asterisk: AsteriskSettings = AsteriskSettings()
    limits: LimitSettings = LimitSettings()
    web: WebSettings = WebSettings()
    email: EmailSettings = EmailSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over what was read from the file."""
        return env_settings, init_settings


def load_settings(path: Path | None = None) -> Settings:
    """Settings from a file and the environment. Raises InvalidInput that names the setting at fault."""
    found = find_config(path)
    content: dict[str, Any] = {}
    if found is not None:
        content = _read_toml(found)
    try:
        return Settings(**content)
    except SettingsError as error:
        raise InvalidInput(f"environment variables {ENVIRONMENT_PREFIX}...: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        variable = ENVIRONMENT_PREFIX + "__".join(str(part) for part in first["loc"]).upper()
        where = f"{variable}: " if variable in os.environ else f"{found}: " if found else ""
        raise InvalidInput(f"{where}setting {name}: {first['msg']}") from None


def find_config(path: Path | None = None) -> Path | None:
    """The configuration file in use; None when there is none. Raises InvalidInput when a named one is missing."""
    named = path or (
        Path(os.environ[f"{ENVIRONMENT_PREFIX}CONFIG"])
        if f"{ENVIRONMENT_PREFIX}CONFIG" in os.environ
        else None
    )
    if named is not None:
        if not named.is_file():
            raise InvalidInput(f"there is no configuration file {named}: `stasis-callback init` writes one")
        return named
    return next((place for place in PLACES if place.is_file()), None)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return dict(TomlConfigSettingsSource(Settings, path)())
    except ValueError as error:
        line = re.sub(r"\s+", " ", str(error))
        raise InvalidInput(f"{path} cannot be read: {line}") from None
