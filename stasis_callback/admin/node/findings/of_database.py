"""Checks of the database: access, migrations, ledger, doubtful call records, e-mail instances, nodes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stasis_callback.admin.context import open_database, shown_url
from stasis_callback.admin.node.findings import LOOPBACK, Finding
from stasis_callback.admin.node.findings.of_trunks import stored_trunk_findings
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import CallbackError
from stasis_callback.core.numbers import is_dialable
from stasis_callback.core.options import CallOptions
from stasis_callback.disk import disk_trouble, sqlite_file

if TYPE_CHECKING:
    from stasis_callback.settings import Settings
    from stasis_callback.store.stores import Stores

SILENT_LIMIT_S = 30
DOUBT_S = 86_400
"""Doubtful call records are searched for this far back, in seconds."""


@dataclass
class KnownState:
    """What the other checks need to know from the database, or from the settings if it cannot be read."""

    languages: set[str]
    trunks: list[str]
    brands: set[str] = field(default_factory=set)
    checks_answers: bool = False
    """Whether `answer_check` is `amd` anywhere."""
    runs: bool | None = None
    """Whether a process has the name of this node; None if that is not known."""
    last_answered: tuple[str, int, int] | None = None
    """The last answered and ended leg of this node: its id, dialled at, ended at (in microseconds)."""


def database_findings(config: Settings) -> Generator[Finding, None, KnownState]:
    """The checks of the database; returns what the other checks need."""
    known = KnownState({CallOptions().languages}, [config.asterisk.trunk])
    if (folder := config.database.folder) and (
        trouble := disk_trouble(folder, config.database.free_limit_mb)
    ):
        yield Finding(
            "problem", trouble, "free disk space: without it no callback can be accepted and no call charged"
        )
    name, file = shown_url(config.database.url), sqlite_file(config.database.url)
    if file and not file.is_file():
        yield Finding("problem", f"database {file} does not exist", "run `stasis-callback db upgrade`")
        return known
    try:
        with open_database(config.database.url) as s:
            try:
                s.database.check_schema()
            except CallbackError as error:
                what, _, advice = str(error).partition(": ")
                yield Finding("problem", f"{name}: {what}", advice)
                return known
            if newer := s.database.other_migrations()[1]:
                yield Finding(
                    "warning",
                    f"{name}: upgraded by a newer version of stasis-callback ({newer[-1]})",
                    "upgrade this node too",
                )
            _learn(s, config, known)
            yield from _of_stores(config, s)
            wrong = _ledger(s)
    except CallbackError as error:
        yield Finding("problem", str(error), "check [database] in the settings")
        return known
    for sentence in wrong:
        yield Finding("problem", f"ledger: {sentence}", "stop the service and keep a copy of the database")
    if not wrong:
        yield Finding("ok", f"database {name}: up to date, the ledger is consistent")
    return known


def _learn(s: Stores, config: Settings, known: KnownState) -> None:
    from stasis_callback.store.calls.doubts import last_answered

    known.languages |= _languages_in_use(s)
    known.brands = _set_anywhere(s, "brand") - {""}
    known.checks_answers = "amd" in _set_anywhere(s, "answer_check")
    known.runs = any(node.alive for node in s.nodes.all() if node.name == config.node)
    known.last_answered = last_answered(s.database, config.node)
    if trunks := [trunk for trunk in s.trunks.all() if trunk.enabled_at_us is not None]:
        known.trunks = [trunk.name for trunk in trunks if trunk.enabled]


def _ledger(s: Stores) -> list[str]:
    from stasis_callback.store.audit import verify

    return verify(s.database, s.tariffs, not_noted=lambda _reason: None)  # see `why_not_writable`


def _of_stores(config: Settings, s: Stores) -> Iterator[Finding]:
    from stasis_callback.store.calls.doubts import doubtful_xdrs, why_not_writable

    if reason := why_not_writable(s.database):
        yield Finding(
            "problem",
            f"the database is read-only: {reason}",
            "make it writable: until then no callback can be accepted and no call charged",
        )
    yield from _email(config, s)
    yield from _messages(config, s)
    yield from _fraud(config, s)
    yield from _nodes(s)
    yield from stored_trunk_findings(s)
    yield from _unreachable_accounts(s)
    estimated, suspect = doubtful_xdrs(s.database, Clock().now_us() - DOUBT_S * US_PER_S)
    if estimated:
        yield Finding(
            "warning",
            f"{estimated} call record(s) of the last day are estimated: the end of the leg was not recorded",
            "see `stasis-callback xdr list`; check whether Asterisk crashed and whether the CEL journal can be read",
        )
    if suspect:
        yield Finding(
            "warning",
            f"{suspect} call record(s) of the last day were charged while a clock was stepped",
            "slew the machine's clock instead of stepping it (chrony, systemd-timesyncd)",
        )
    if not any(number.enabled for number in s.access_numbers.all()):
        yield Finding(
            "warning", "no access number is enabled", "add one with `stasis-callback access-number add`"
        )


def _email(config: Settings, s: Stores) -> Iterator[Finding]:
    """E-mail settings that admit forged senders, or that leave mails unprocessed."""
    email = config.email
    instances = [view for view in s.email_instances.all() if view.enabled]
    for view in instances:
        policy = view.configuration.settings.policy
        if policy == "none":
            yield Finding(
                "warning",
                f"e-mail instance {view.name}: senders can be forged (policy=none)",
                f"run `stasis-callback email set {view.name} --set policy=authenticated`",
            )
        if policy == "authenticated" and not email.authserv_id:
            yield Finding(
                "problem",
                f"e-mail instance {view.name} refuses every mail: the name of your mail server is not set",
                "set email.authserv_id",
            )
    if not email.enabled:
        return
    if email.listener != "off" and email.host not in LOOPBACK:
        yield Finding(
            "warning",
            f"anyone who can connect to {email.host}:{email.port} can forge Authentication-Results",
            "set email.host to 127.0.0.1, or use a firewall to admit only your mail server",
        )
    if email.imap_host and not email.imap_tls and email.imap_host not in LOOPBACK:
        yield Finding(
            "problem", "the password of the mailbox is sent in clear text", "set email.imap_tls to true"
        )
    if email.imap_host and email.imap_address not in [view.name for view in instances]:
        yield Finding(
            "problem",
            f"the mailbox is for {email.imap_address!r}, which is not an enabled e-mail instance",
            "set email.imap_address, see `stasis-callback email list`",
        )


def _is_forwarded(s: Stores, node: str) -> bool:
    look = s.journals.last_look(node)
    return look is not None and Clock().now_us() - look.at_us < SILENT_LIMIT_S * US_PER_S


def _messages(config: Settings, s: Stores) -> Iterator[Finding]:
    """Gateways whose messages are all refused."""
    for view in s.message_instances.all():
        if view.enabled and not config.web.enabled:
            yield Finding(
                "problem", f"nobody listens for messages of instance {view.name}", "set web.enabled to true"
            )
        of_twilio = view.configuration.settings.format == "twilio"
        if view.enabled and of_twilio and not config.web.twilio_auth_token.get_secret_value():
            yield Finding(
                "problem",
                f"message instance {view.name} refuses every message: there is nothing to check signatures with",
                "set web.twilio_auth_token",
            )


def _fraud(config: Settings, s: Stores) -> Iterator[Finding]:
    """What is set aside, and alarms that reach nobody."""
    fraud = config.fraud
    if held_back := len(s.fraud.listed()):
        yield Finding(
            "warning",
            f"the fraud control has set aside {held_back} caller(s), account(s), number(s) or others",
            "see `stasis-callback fraud list`",
        )
    web = s.web_instances.find(fraud.alarm_webhook) if fraud.alarm_webhook else None
    if fraud.alarm_webhook and (web is None or not web.configuration.settings.webhook_url):
        yield Finding(
            "warning",
            f"nobody is told of alarms: {fraud.alarm_webhook!r} is not a web instance with a webhook_url",
            "set fraud.alarm_webhook, see `stasis-callback web list`",
        )
    if bool(fraud.alarm_mail_to) and s.email_instances.find(fraud.alarm_mail_from) is None:
        yield Finding(
            "warning",
            f"nobody is written to about alarms: {fraud.alarm_mail_from!r} is not an e-mail instance",
            "set fraud.alarm_mail_from, see `stasis-callback email list`",
        )


def _nodes(s: Stores) -> Iterator[Finding]:
    """Dead nodes with live calls, nodes that do not respond, drained ones, and journals that are not forwarded."""
    nodes = s.nodes.all()
    several = sum(node.alive for node in nodes) > 1
    for node in nodes:
        if several and node.alive and not _is_forwarded(s, node.name):
            yield Finding(
                "warning",
                f"the CEL journal of node {node.name} is not forwarded: should its service die, other nodes estimate "
                "what its calls cost",
                "start stasis-callback-journal there (`stasis-callback run --only journal`), and see its log",
            )
        silent_s = (Clock().now_us() - node.seen_at_us) // US_PER_S
        if node.calls and not node.alive:
            yield Finding(
                "problem",
                f"node {node.name} is {node.state} and has {node.calls} live call(s)",
                f"restart it, or run `stasis-callback node take-over {node.name} --reason TEXT`",
            )
        elif node.alive and silent_s > SILENT_LIMIT_S:
            yield Finding(
                "problem",
                f"node {node.name} is running but has not been seen for {silent_s} s",
                "check whether its process is frozen or cannot reach the database",
            )
        elif node.state == "draining":
            yield Finding(
                "warning",
                f"node {node.name} is drained and starts no callbacks",
                f"run `stasis-callback node resume {node.name}` when it may start callbacks again",
            )


def _unreachable_accounts(s: Stores) -> Iterator[Finding]:
    """Accounts whose own number has no rate: leg A is refused, so their callers are never called back."""
    unpriced = [
        account.number
        for account in s.accounts.all()
        if account.status == "active"
        and is_dialable(account.callback_number or account.number)
        and s.tariffs.match(account.tariff_id, account.callback_number or account.number) is None
    ]
    if unpriced:
        yield Finding(
            "warning",
            f"{len(unpriced)} account(s) cannot be called back, for example {unpriced[0]}: no rate for their number",
            f"see `stasis-callback rate explain {unpriced[0]}`, and add a rate with `stasis-callback rate add`",
        )


def _set_anywhere(s: Stores, option: str) -> set[str]:
    """The values that an option of calls has for access numbers and instances."""
    options = [
        *(view.configuration.options for view in s.web_instances.all()),
        *(view.configuration.options for view in s.email_instances.all()),
        *(view.configuration.options for view in s.message_instances.all()),
    ]
    set_there = {each[option] for each in options if option in each}
    return set_there | {getattr(number.options, option) for number in s.access_numbers.all()}


def _languages_in_use(s: Stores) -> set[str]:
    spoken = {language for number in s.access_numbers.all() for language in number.options.language_list}
    return spoken | s.accounts.languages()
