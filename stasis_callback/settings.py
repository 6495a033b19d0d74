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

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.fraud import BUDGET_NAMES, Alarms, Budget, Budgets, describe_budgets, parse_prefixes
from stasis_callback.core.mail_addresses import parse_addresses
from stasis_callback.core.periods import time_zone
from stasis_callback.core.retention import DAYS_LIMIT, KINDS, checked_days
from stasis_callback.core.trunk_numbers import NumberForm
from stasis_callback.disk import sqlite_file

PLACES = (Path("stasis-callback.toml"), Path("/etc/stasis-callback/stasis-callback.toml"))
ENVIRONMENT_PREFIX = "STASIS_CALLBACK_"

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


def host_name() -> str:
    """The host name, reduced to the characters allowed in a node name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname()).strip("-")[:40] or "node"


class Section(BaseModel):
    """A table of the file. Unknown names are errors, to detect typing mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(Section):
    """The database."""

    url: str = Field(
        "sqlite:///stasis-callback.db",
        description="sqlite:///path/to/file.db, or postgresql://user@host/name; of several servers: "
        "postgresql://user@host1,host2/name?target_session_attrs=read-write.",
    )
    free_limit_mb: int = Field(
        100,
        ge=0,
        le=1_000_000,
        description="`/readyz` and `doctor` report a problem if the disk of an SQLite file has less free space (MB).",
    )

    @property
    def folder(self) -> Path | None:
        """The folder of the SQLite file; None for a server."""
        file = sqlite_file(self.url)
        return file.parent if file else None


class AriSettings(Section):
    """The connection to Asterisk."""

    url: str = Field(
        "http://127.0.0.1:8088", pattern=r"^https?://", description="URL of Asterisk's HTTP server."
    )
    username: Word = Field("stasis-callback", description="User in ari.conf.")
    password: SecretStr = Field(SecretStr(""), description="Password of this user.")
    app: Word = Field("stasis-callback", description="Stasis application, as in the dialplan.")
    request_timeout_s: float = Field(5.0, gt=0, le=60, description="Timeout of ARI requests, in seconds.")


class AsteriskSettings(Section):
    """Names and paths in Asterisk's configuration."""

    trunk: Word = Field(
        "trunk", description="PJSIP endpoint that carries both legs, if there are no trunks in the database."
    )
    number_rules: str = Field(
        "",
        description="Translation rules from E.164 digits to the trunk's format, for example s/^/+/.",
    )
    numbers: str = Field(
        "e164",
        pattern=r"^(\+?e164|national:[A-Z]{2})$",
        description="Form of the numbers of trunks that are not in the database: e164, +e164, or national:CC.",
    )
    identity: Literal["pai", "from"] = Field(
        "pai",
        description="Header that is read first for the caller, on trunks that are not in the database.",
    )
    attestation: str = Field(
        "",
        pattern=r"^([A-Za-z][A-Za-z0-9-]{0,63})?$",
        description="Header of the carrier's own with the attestation of the caller's number, on trunks that are not "
        "in the database; believed as it is.",
    )
    cel_path: Path = Field(
        Path("/var/log/asterisk/cel-custom/stasis-callback.csv"),
        description="CEL journal written by cel_custom.conf; recovery charges calls from it.",
    )
    console_path: Path = Field(
        Path("/var/run/asterisk/asterisk.ctl"),
        description="Asterisk's control socket; `doctor` asks there whether trunks are registered.",
    )

    @property
    def number_form(self) -> NumberForm:
        """How trunks that are not in the database write numbers. Raises InvalidInput."""
        return NumberForm(
            self.numbers,
            called_out=self.number_rules,
            identity=self.identity,
            attestation=self.attestation,
        )


class LimitSettings(Section):
    """Limits that protect the node from overload, and the time after which it counts as dead."""

    queue: int = Field(
        1000, ge=1, le=100_000, description="Maximum number of queued callbacks; further ones are refused."
    )
    live_calls: int = Field(
        200, ge=1, le=10_000, description="Maximum number of live callbacks; further ones stay queued."
    )
    trunk_failures: int = Field(
        5,
        ge=0,
        le=1000,
        description="Failures in a row after which a trunk rests, so that other trunks go first; 0: never.",
    )
    trunk_rest_s: int = Field(
        30,
        ge=1,
        le=600,
        description="Seconds for which it rests before one call tries it again; doubled each time, up to 600.",
    )
    node_dead_after_s: int = Field(
        300,
        ge=1,
        le=86_400,
        description="Seconds after which a node that is not seen counts as dead: another node then ends its calls.",
    )


class WebSettings(Section):
    """The web server: forms, status pages, JSON API."""

    enabled: bool = Field(False, description="Start the web server in `run`.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65_535, description="Port to listen on; 0: any free port.")
    public_url: str = Field(
        "",
        pattern=r"^(https?://[^/?#\s@]+)?$",
        description="Public URL, for example https://callback.example.com; empty: host and port.",
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that signs links, forms and webhooks: 32 or more random characters, equal on all nodes.",
    )
    twilio_auth_token: SecretStr = Field(
        SecretStr(""),
        description="Auth token of your Twilio account, for message instances with format=twilio.",
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses of reverse proxies whose X-Forwarded-For is trusted, separated by commas.",
    )
    tls_certificate: str = Field("", description="PEM file with the certificate chain; empty: plain HTTP.")
    tls_key: str = Field("", description="PEM file with the private key of the certificate.")
    brand_dir: str = Field("", description="Folder with default.css, NAME.css and logos, served at /brand/.")
    account_pages: bool = Field(
        False,
        description="Serve the subscribers' own pages at /account, behind account id and service password.",
    )
    account_region: str = Field(
        "",
        pattern=r"^([A-Z]{2})?$",
        description="Country of numbers that subscribers enter there without a country code, for example GB.",
    )
    metrics_addresses: str = Field(
        "127.0.0.1, ::1", description="Addresses that may read /metrics, separated by commas."
    )
    body_limit_bytes: int = Field(
        16_384, ge=1024, le=1_048_576, description="Maximum size of a request body."
    )
    connections_limit: int = Field(
        500, ge=10, le=10_000, description="Maximum number of connections; further ones get 503."
    )
    streams_limit: int = Field(
        200, ge=1, le=10_000, description="Maximum number of status pages with live updates."
    )
    threads: int = Field(
        8, ge=1, le=64, description="Number of requests processed concurrently; each may need 20 MB (Argon2)."
    )
    request_timeout_s: float = Field(
        10.0, gt=0, le=120, description="Timeout for receiving the rest of a request, in seconds."
    )

    @property
    def origin(self) -> str:
        """Its public origin (scheme, host and port), in the form of the `Origin` header."""
        return self.public_url or f"http{'s' if self.tls_certificate else ''}://{self.host}:{self.port}"


class ConsoleSettings(Section):
    """The operators' console, which `run` serves as soon as there is an operator."""

    enabled: bool = Field(
        True, description="Serve the console in `run` as soon as `console user add` has made an operator."
    )
    address: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8090, ge=0, le=65_535, description="Port to listen on; 0: any free port.")
    public_url: str = Field(
        "",
        pattern=r"^(https?://[^/?#\s@]+)?$",
        description="URL in the operators' browsers behind a reverse proxy, for example https://console.example.com.",
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses of reverse proxies whose X-Forwarded-For is trusted, separated by commas.",
    )
    tls_certificate: str = Field("", description="PEM file with the certificate chain; empty: plain HTTP.")
    tls_key: str = Field("", description="PEM file with the private key of the certificate.")
    idle_minutes: int = Field(
        30, ge=1, le=1440, description="A session that is not used for so many minutes ends."
    )
    session_hours: int = Field(
        12, ge=1, le=168, description="A session ends after so many hours in any case."
    )
    prove_minutes: int = Field(
        10,
        ge=1,
        le=1440,
        description="Who changes more than daily work does must have given password and code within so many minutes.",
    )
    second_operator_above: float = Field(
        0.0,
        ge=0,
        le=1e9,
        description="Credit above this amount (top-ups, adjustments, credit limits, opening balances, vouchers) "
        "needs a second operator, in any currency; 0: none does.",
    )
    upload_limit_mb: int = Field(64, ge=1, le=1024, description="Maximum size of an uploaded file (MB).")

    @property
    def https(self) -> bool:
        """Whether browsers reach it by HTTPS."""
        return bool(self.tls_certificate) or self.public_url.startswith("https:")


class MetricsSettings(Section):
    """A port of its own for /metrics, /readyz and /healthz, with or without the web server."""

    enabled: bool = Field(False, description="Serve them in `run`.")
    host: str = Field("127.0.0.1", description="Address to listen on: a private one, there is no password.")
    port: int = Field(9464, ge=0, le=65_535, description="Port to listen on; 0: any free port.")


class EmailSettings(Section):
    """E-mail callback: incoming mails and replies."""

    enabled: bool = Field(False, description="Receive mails and send replies in `run`.")
    listener: Literal["lmtp", "smtp", "off"] = Field(
        "lmtp",
        description="Protocol of the mail server's deliveries: lmtp, smtp, or off (piped or fetched mails).",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8024, ge=0, le=65_535, description="Port to listen on; 0: any free port.")
    authserv_id: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name of our own mail server in Authentication-Results headers; only its results are trusted.",
    )
    size_limit_bytes: int = Field(
        10_485_760,
        ge=4096,
        le=50_000_000,
        description="Maximum size of a mail. Set it above the mail server's limit, which rejects without bounce.",
    )
    connections_limit: int = Field(
        20, ge=1, le=1000, description="Maximum number of connections; further ones get 421."
    )
    threads: int = Field(
        4, ge=1, le=64, description="Number of mails processed concurrently; each may need 20 MB (Argon2)."
    )
    timeout_s: float = Field(
        60.0, gt=0, le=600, description="Timeout for one command or one mail, in seconds."
    )
    dns_server: str = Field(
        "",
        pattern=r"^([0-9.]+(:[0-9]+)?)?$",
        description="DNS server for DKIM keys, for example 127.0.0.1:53; empty: the system's.",
    )
    smtp_host: str = Field("127.0.0.1", description="Mail server that sends replies.")
    smtp_port: int = Field(25, ge=1, le=65_535, description="Port of this mail server.")
    imap_host: str = Field("", description="IMAP server of the mailbox to read; empty: none.")
    imap_port: int = Field(993, ge=1, le=65_535, description="Port of the IMAP server.")
    imap_tls: bool = Field(
        True, description="Use implicit TLS; disable it only for a server on the same machine."
    )
    imap_user: str = Field("", description="User of the mailbox.")
    imap_password: SecretStr = Field(SecretStr(""), description="Password of the mailbox.")
    imap_folder: str = Field("INBOX", description="Folder of the mailbox.")
    imap_address: str = Field("", description="E-mail instance that gets its mails.")
    imap_keep: bool = Field(
        False, description="Keep processed mails and mark them as seen, instead of deleting them."
    )


_USUAL = Budgets()
_BUDGETS = {name: (default, meaning) for name, default, meaning in describe_budgets()}


def _budget(name: str) -> Any:
    """The setting for a budget."""
    default, meaning = _BUDGETS[name]
    return Field(default, description=f"{meaning} Calls/minutes/amount in a day (UTC); 0: no limit.")


class FraudSettings(Section):
    """Fraud control: how much may be caused in a day before something is set aside. Equal on all nodes."""

    enabled: bool = Field(True, description="Count and set aside. What is set aside stays so in any case.")
    caller: str = _budget("caller")
    account: str = _budget("account")
    shared_account: str = _budget("shared_account")
    number: str = _budget("number")
    number_hour: int = Field(
        _USUAL.number_hour, ge=0, le=1_000_000, description="Callbacks to one number in an hour; 0: no limit."
    )
    destination: str = _budget("destination")
    link: str = _budget("link")
    source: str = _budget("source")
    premium: str = _budget("premium")
    shared_cost: str = _budget("shared_cost")
    satellite: str = _budget("satellite")
    personal: str = _budget("personal")
    unassigned: str = _budget("unassigned")
    country: str = _budget("country")
    total: str = _budget("total")
    prefixes: str = Field(
        "",
        description="Budgets of prefixes, beside those of the kinds of their numbers, and in place of these where no "
        "ordinary number begins so, for example 252=20/60/50, 8835=0.",
    )
    set_aside_hours: int = Field(
        _USUAL.set_aside_hours,
        ge=0,
        le=8760,
        description="Hours for which something is set aside; 0: until released.",
    )
    alarm_webhook: str = Field(
        "", description="Web instance whose `webhook_url` is told of what is set aside; empty: none."
    )
    alarm_mail_from: str = Field(
        "", description="E-mail instance that writes a mail about what is set aside; empty: none."
    )
    alarm_mail_to: str = Field("", description="Addresses that it writes to, separated by commas.")

    @field_validator(*BUDGET_NAMES, "prefixes", "alarm_mail_to")
    @classmethod
    def _is_understood(cls, text: str, info: ValidationInfo) -> str:
        parse = {"prefixes": parse_prefixes, "alarm_mail_to": parse_addresses}.get(
            str(info.field_name), Budget.parse
        )
        try:
            parse(text)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return text

    @property
    def budgets(self) -> Budgets:
        """The budgets; none where the fraud control is off."""
        hours = self.set_aside_hours
        if not self.enabled:
            off = dict.fromkeys(BUDGET_NAMES, Budget())
            # The prefixes stay: what is set aside, a range too, stays so.
            prefixes = tuple((prefix, Budget()) for prefix, _ in parse_prefixes(self.prefixes))
            return Budgets(**off, prefixes=prefixes, number_hour=0, set_aside_hours=hours)
        return Budgets(
            **{name: Budget.parse(getattr(self, name)) for name in BUDGET_NAMES},
            prefixes=parse_prefixes(self.prefixes),
            number_hour=self.number_hour,
            set_aside_hours=hours,
        )

    @property
    def alarms(self) -> Alarms:
        """Who is told."""
        return Alarms(self.alarm_webhook, self.alarm_mail_from, parse_addresses(self.alarm_mail_to))


def _days(name: str) -> Any:
    """The setting for a kind of data."""
    kept = KINDS[name]
    return Field(
        kept.days,
        ge=0,
        le=DAYS_LIMIT,
        description=f"{kept.meaning} Days, at least {kept.least}; 0: for ever.",
    )


class RetentionSettings(Section):
    """Retention periods in days, by kind of data. The service removes older data in small batches."""

    steps_days: int = _days("steps")
    refused_days: int = _days("refused")
    idempotency_days: int = _days("idempotency")
    logins_days: int = _days("logins")
    replies_days: int = _days("replies")
    tokens_days: int = _days("tokens")
    rates_days: int = _days("rates")
    numbers_days: int = _days("numbers")

    @field_validator("*")
    @classmethod
    def _kept_long_enough(cls, days: int, info: ValidationInfo) -> int:
        try:
            return checked_days(str(info.field_name).removesuffix("_days"), days)
        except InvalidInput as error:
            raise ValueError(str(error)) from None

    @property
    def days(self) -> dict[str, int]:
        """Retention in days by name of the kind."""
        return {name: getattr(self, f"{name}_days") for name in KINDS}


class Settings(BaseSettings):
    """All settings of a node."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    node: Word = Field(
        default_factory=host_name,
        description="Unique name of this node; each Asterisk has its own node.",
    )
    log_format: Annotated[str, StringConstraints(pattern="^(text|json)$")] = Field(
        "text", description="Log format: text (for reading) or json (for programs)."
    )
    log_level: Annotated[str, StringConstraints(pattern="^(info|warning|error)$")] = Field(
        "info", description="Least severe events to log: info, warning or error. Metrics count all of them."
    )
    time_zone: str = Field(
        "UTC",
        description="The operator's time zone, for example Europe/Prague: in which commands read and show times.",
    )
    database: DatabaseSettings = DatabaseSettings()
    ari: AriSettings = AriSettings()
    asterisk: AsteriskSettings = AsteriskSettings()
    limits: LimitSettings = LimitSettings()
    web: WebSettings = WebSettings()
    console: ConsoleSettings = ConsoleSettings()
    metrics: MetricsSettings = MetricsSettings()
    email: EmailSettings = EmailSettings()
    fraud: FraudSettings = FraudSettings()
    retention: RetentionSettings = RetentionSettings()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            return time_zone(name).key
        except InvalidInput as error:
            raise ValueError(str(error)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment takes precedence over the file."""
        return env_settings, init_settings


def load_settings(path: Path | None = None) -> Settings:
    """Settings from a file and the environment. Raises InvalidInput, which names the invalid setting."""
    found = find_config(path)
    content: dict[str, Any] = {}
    if found is not None:
        content = _read_toml(found)
    try:
        return Settings(**content)
    except SettingsError as error:
        field = re.search(r'field "([a-z_]+)"', str(error))
        name = f"{ENVIRONMENT_PREFIX}{field[1].upper()}" if field else f"{ENVIRONMENT_PREFIX}..."
        raise InvalidInput(
            f"environment variable {name} is not a JSON object: set single settings, for example "
            f"{ENVIRONMENT_PREFIX}DATABASE__URL"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        variable = ENVIRONMENT_PREFIX + "__".join(str(part) for part in first["loc"]).upper()
        where = f"{variable}: " if variable in os.environ else f"{found}: " if found else ""
        raise InvalidInput(f"{where}setting {name} {_in_words(first)}") from None


_WRONG = {
    "extra_forbidden": "does not exist: see docs/reference/settings.md",
    "missing": "is missing",
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be text in quotes",
    "model": "must be a table",
    "dict": "must be a table",
    "path": "must be a path in quotes",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "has a form that is not allowed",
    "value_error": "is invalid: {error}",
}
"""What is wrong with a setting, by the type of pydantic's error or the beginning of that."""


def _in_words(error: Any) -> str:
    """One of pydantic's errors as the rest of the sentence "setting NAME ...", with what the setting is for."""
    kind = str(error["type"])
    words = _WRONG.get(kind) or _WRONG.get(kind.partition("_")[0], "is invalid")
    field: Any = None
    model: Any = Settings
    for part in error["loc"]:
        field = getattr(model, "model_fields", {}).get(part)
        model = getattr(field, "annotation", None)
    told = kind == "value_error" or field is None or not field.description
    meaning = "" if told else f" ({field.description})"
    return words.format(**error.get("ctx", {})) + meaning


def find_config(path: Path | None = None) -> Path | None:
    """The settings file in use; None if there is none. Raises InvalidInput if an explicitly given one is missing."""
    named = path or (
        Path(os.environ[f"{ENVIRONMENT_PREFIX}CONFIG"])
        if f"{ENVIRONMENT_PREFIX}CONFIG" in os.environ
        else None
    )
    if named is not None:
        if not named.is_file():
            raise InvalidInput(
                f"settings file {named} does not exist: create one with `stasis-callback init`"
            )
        return named
    return next((place for place in PLACES if place.is_file()), None)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return dict(TomlConfigSettingsSource(Settings, path)())
    except PermissionError:
        raise InvalidInput(
            f"settings file {path} may not be read by this user: run the command as the user of the service, for "
            "example with `sudo -u stasis-callback`"
        ) from None
    except ValueError as error:
        line = re.sub(r"\s+", " ", str(error))
        raise InvalidInput(f"{path} cannot be read: {line}") from None
