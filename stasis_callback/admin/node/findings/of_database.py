"""The database: whether it can be read and written, what the ledger says, and what is in doubt."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stasis_callback.admin.context import database_file, open_database, shown_url
from stasis_callback.admin.node.findings import LOOPBACK, Finding
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import CallbackError
from stasis_callback.core.options import CallOptions
from stasis_callback.disk import disk_trouble

if TYPE_CHECKING:
    from stasis_callback.settings import Settings
    from stasis_callback.store.stores import Stores

SILENT_LIMIT_S = 30
DOUBT_S = 86_400
"""So far back is looked for call records that are in doubt."""


@dataclass
class Known:
    """What the database says for the other checks; where it cannot be read, what the settings say."""

    languages: set[str]
    trunks: list[str]
    last_answered: tuple[str, int, int] | None = None
    """The last leg of this node that was answered and has ended: its id, when it was dialled, when it ended."""


def database_findings(config: Settings) -> Generator[Finding, None, Known]:
    """What is wrong with it; returns what is known from it."""
    known = Known({CallOptions().languages}, [config.asterisk.trunk])
    if (folder := config.database.folder) and (
        trouble := disk_trouble(folder, config.database.free_limit_mb)
    ):
        yield Finding(
            "problem", trouble, "make room: without it no callback can be accepted and no call charged"
        )
    name, file = shown_url(config.database.url), database_file(config.database.url)
    if file and not file.is_file():
        yield Finding("problem", f"there is no database {file}", "run `stasis-callback db upgrade`")
        return known
    try:
        with open_database(config.database.url) as s:
            if s.database.pending_migrations():
                yield Finding("problem", f"{name} is not up to date", "run `stasis-callback db upgrade`")
                return known
            _learn(s, config, known)
            yield from _of_stores(config, s)
            wrong = _ledger(s)
    except CallbackError as error:
        yield Finding("problem", str(error), "see [database] in the settings")
        return known
    for sentence in wrong:
        yield Finding("problem", f"ledger: {sentence}", "stop the service and keep a copy of the database")
    if not wrong:
        yield Finding("ok", f"database {name}: up to date, every sum of the ledger agrees")
    return known


def _learn(s: Stores, config: Settings, known: Known) -> None:
    from stasis_callback.store.calls.doubts import last_answered

    known.languages |= _languages_in_use(s)
    known.last_answered = last_answered(s.database, config.node)
    if trunks := s.trunks.all():
        known.trunks = [trunk.name for trunk in trunks if trunk.enabled]


def _ledger(s: Stores) -> list[str]:
    from stasis_callback.store.audit import verify

    return verify(s.database, s.tariffs)


def _of_stores(config: Settings, s: Stores) -> Iterator[Finding]:
    from stasis_callback.store.calls.doubts import doubtful_xdrs, why_not_writable

    if reason := why_not_writable(s.database):
        yield Finding(
            "problem",
            f"the database can be read, not written: {reason}",
            "no callback can be accepted and no call charged until it can",
        )
    yield from _email(config, s)
    yield from _nodes(s)
    estimated, suspect = doubtful_xdrs(s.database, Clock().now_us() - DOUBT_S * US_PER_S)
    if estimated:
        yield Finding(
            "warning",
            f"{estimated} call record(s) of the last day are estimated: nobody saw how the leg ended",
            "did Asterisk die, or can the journal not be read? See xdr list",
        )
    if suspect:
        yield Finding(
            "warning",
            f"{suspect} call record(s) of the last day were charged while a clock was being set",
            "have the machine's clock kept in step, not set (chrony, systemd-timesyncd)",
        )
    if not any(number.enabled for number in s.access_numbers.all()):
        yield Finding("warning", "no access number is enabled", "see `stasis-callback access-number add`")


def _email(config: Settings, s: Stores) -> Iterator[Finding]:
    """What lets strangers in by mail, or mails wait for ever."""
    email = config.email
    instances = [view for view in s.email_instances.all() if view.enabled]
    for view in instances:
        policy = view.configuration.settings.policy
        if policy == "none":
            yield Finding(
                "warning",
                f"e-mail instance {view.name}: anybody can write in anybody's name",
                f"stasis-callback email set {view.name} --set policy=authenticated",
            )
        if policy == "authenticated" and not email.authserv_id:
            yield Finding(
                "problem",
                f"e-mail instance {view.name}: no mail is believed without the name of your mail server",
                "set email.authserv_id",
            )
    if not email.enabled:
        return
    if email.listener != "off" and email.host not in LOOPBACK:
        yield Finding(
            "warning",
            f"whoever reaches {email.host}:{email.port} can write Authentication-Results of their own",
            "set email.host to 127.0.0.1, or let a firewall admit your mail server only",
        )
    if email.imap_host and not email.imap_tls and email.imap_host not in LOOPBACK:
        yield Finding("problem", "the password of the mailbox travels in clear", "set email.imap_tls to true")
    if email.imap_host and email.imap_address not in [view.name for view in instances]:
        yield Finding(
            "problem",
            f"the mailbox is for {email.imap_address!r}, which is no enabled e-mail instance",
            "set email.imap_address, see `stasis-callback email list`",
        )


def _nodes(s: Stores) -> Iterator[Finding]:
    """Calls that nobody looks after, and nodes that do nothing."""
    for node in s.nodes.all():
        silent_s = (Clock().now_us() - node.seen_at_us) // US_PER_S
        if node.calls and not node.alive:
            yield Finding(
                "problem",
                f"node {node.name} is {node.state} and has {node.calls} call(s) under way",
                f"start it again, or `stasis-callback node take-over {node.name} --reason TEXT`",
            )
        elif node.alive and silent_s > SILENT_LIMIT_S:
            yield Finding(
                "problem",
                f"node {node.name} runs but gives no sign of life for {silent_s} s",
                "is its process frozen, or cut off from the database?",
            )
        elif node.state == "draining":
            yield Finding(
                "warning",
                f"node {node.name} begins no callbacks: it was drained",
                f"stasis-callback node resume {node.name}",
            )


def _languages_in_use(s: Stores) -> set[str]:
    spoken = {language for number in s.access_numbers.all() for language in number.options.language_list}
    return spoken | s.accounts.languages()
