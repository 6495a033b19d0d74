"""`doctor`: looks at a whole installation and says what to do about each thing that is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import typer

from stasis_callback.admin.context import (
    AsJson,
    asterisk,
    database_file,
    invocation,
    open_database,
    settings,
    shown_url,
    store,
)
from stasis_callback.admin.output import one_line, print_json
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import CallbackError, InvalidInput
from stasis_callback.core.options import CallOptions

if TYPE_CHECKING:
    from stasis_callback.ari.client import AriClient
    from stasis_callback.engine.stores import Stores
    from stasis_callback.settings import Settings

# The first releases without the known ARI security holes and deadlocks, by release series.
ADVISED = {20: (20, 20, 1), 22: (22, 10, 1), 23: (23, 4, 1)}
OLDEST_SERIES = 20

# Modules without which a callback fails, some of them in silence; all of them are in asterisk-conf/modules.conf.
NEEDED_MODULES = {
    "app_stasis.so": "hands missed calls over",
    "bridge_simple.so": "connects two legs",
    "cel_custom.so": "writes the billing journal",
    "chan_pjsip.so": "carries the calls",
    "format_pcm.so": "plays prompts",
    "func_timeout.so": "ends a call when its funds are used up",
    "res_ari_applications.so": "filters events",
    "res_ari_bridges.so": "connects two legs",
    "res_ari_channels.so": "places calls",
    "res_ari_events.so": "reports what happens",
    "res_ari_playbacks.so": "plays prompts",
    "res_rtp_asterisk.so": "carries speech",
    "res_stasis_playback.so": "plays prompts",
}
UNWANTED_MODULES = {
    "app_system.so": "runs programs from the dialplan",
    "func_shell.so": "runs programs from the dialplan",
    "bridge_native_rtp.so": "takes the keys a subscriber presses away from ordinary bridges",
}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
SILENT_LIMIT_S = 60
SOUND_FOLDERS = (Path("/usr/share/asterisk/sounds"), Path("/var/lib/asterisk/sounds"))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. A warning does not stop calls; a problem does, or puts money or secrets at risk."""

    level: Literal["ok", "warning", "problem"]
    what: str
    advice: str = ""


def doctor(
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing: only the exit code counts.")] = False,
) -> None:
    """Check this installation and say what to do.

    Looks at settings, database, ledger and Asterisk. The exit code is 1 when there is a problem; warnings do not
    count.
    """
    findings = list(examine())
    problems = [f for f in findings if f.level == "problem"]
    if as_json and not quiet:
        print_json({"ok": not problems, "findings": [asdict(f) for f in findings]})
    elif not quiet:
        for finding in findings:
            typer.echo(one_line(f"{finding.level:<8} {finding.what}"))
            if finding.advice:
                typer.echo(one_line(f"{'':8} -> {finding.advice}"))
    raise typer.Exit(1 if problems else 0)


def examine() -> Iterator[Finding]:
    """Every finding, in the order in which things have to be put right."""
    try:
        config = settings()
    except CallbackError as error:
        yield Finding("problem", str(error), "correct it, then run `stasis-callback config check`")
        return
    yield _settings_file(config)
    languages = yield from _database(config)
    yield from _asterisk(config)
    yield _journal(config)
    yield _prompts(config, languages)


def _settings_file(config: Settings) -> Finding:
    from stasis_callback.settings import find_config

    path = find_config(invocation.config)
    if not config.ari.password.get_secret_value():
        return Finding(
            "problem", "there is no ARI password", "set ari.password, or run `stasis-callback init`"
        )
    if path is None:
        return Finding("ok", "no settings file: the environment and the defaults count")
    if path.stat().st_mode & 0o007:
        return Finding("problem", f"everybody can read the password in {path}", f"chmod 600 {path}")
    return Finding("ok", f"settings of {path}")


def _database(config: Settings) -> Generator[Finding, None, set[str]]:
    """What is wrong with the database; returns the languages it names, the default one where it cannot be read."""
    languages = {CallOptions().languages}
    try:
        name, file = shown_url(config.database.url), database_file(config.database.url)
        if file and not file.is_file():
            yield Finding("problem", f"there is no database {file}", "run `stasis-callback db upgrade`")
            return languages
        with open_database(config.database.url) as s:
            if s.database.pending_migrations():
                yield Finding("problem", f"{name} is not up to date", "run `stasis-callback db upgrade`")
                return languages
            from stasis_callback.store.audit import verify

            wrong = verify(s.database, s.tariffs)
            languages |= _languages_in_use(s)
            yield from _email(config, s)
            yield from _nodes(s)
            if not any(number.enabled for number in s.access_numbers.all()):
                yield Finding(
                    "warning", "no access number is enabled", "see `stasis-callback access-number add`"
                )
    except CallbackError as error:
        yield Finding("problem", str(error), "see [database] in the settings")
        return languages
    for sentence in wrong:
        yield Finding("problem", f"ledger: {sentence}", "stop the service and keep a copy of the database")
    if not wrong:
        yield Finding("ok", f"database {name}: up to date, every sum of the ledger agrees")
    return languages


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
    if email.listener != "off" and email.host not in _LOOPBACK:
        yield Finding(
            "warning",
            f"whoever reaches {email.host}:{email.port} can write Authentication-Results of their own",
            "set email.host to 127.0.0.1, or let a firewall admit your mail server only",
        )
    if email.imap_host and not email.imap_tls and email.imap_host not in _LOOPBACK:
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
                "warning",
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
    from stasis_callback.store.models import Account

    spoken = {language for number in s.access_numbers.all() for language in number.options.language_list}
    with s.database.reading():
        return spoken | {row.language for row in Account.select(Account.language).distinct() if row.language}


def _asterisk(config: Settings) -> Iterator[Finding]:
    from stasis_callback.ari.errors import AriError

    try:
        with asterisk(config) as client:
            yield version_finding(client.info().version)
            yield from _modules(client)
            for trunk in _trunks_in_use(config):
                yield _trunk(client, trunk)
            yield _application(client)
    except InvalidInput as error:
        yield Finding("problem", str(error), "see [ari] in the settings")
    except AriError as error:
        if error.status == 401:
            advice = "user and password must be the same in [ari] and in Asterisk's local/ari.conf"
        else:
            advice = "is Asterisk running, with http.conf and ari.conf of asterisk-conf, and is ari.url its address?"
        yield Finding("problem", f"Asterisk at {config.ari.url}: {error}", advice)


def version_finding(text: str) -> Finding:
    """Whether this release of Asterisk is one to rely on."""
    numbers = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if numbers is None:
        return Finding(
            "warning", f"Asterisk {text!r}: this version is not known", "22.10.1 or newer is advised"
        )
    found = tuple(int(part or 0) for part in numbers.groups())
    if found[0] < OLDEST_SERIES:
        return Finding("problem", f"Asterisk {text} is too old", "install 22.10.1 or newer")
    advised = ADVISED.get(found[0], (22, 10, 1) if found[0] == 21 else (0, 0, 0))
    if found < advised:
        wanted = ".".join(map(str, advised))
        return Finding(
            "warning", f"Asterisk {text} has known holes and deadlocks", f"install {wanted} or newer"
        )
    return Finding("ok", f"Asterisk {text} answers")


def _modules(client: AriClient) -> Iterator[Finding]:
    missing = [name for name in NEEDED_MODULES if not client.module_running(name)]
    for name in missing:
        yield Finding(
            "problem",
            f"module {name}, which {NEEDED_MODULES[name]}, is not running",
            "load it in modules.conf, see asterisk-conf",
        )
    for name, harm in UNWANTED_MODULES.items():
        if client.module_running(name):
            yield Finding("warning", f"module {name} is running: it {harm}", "do not load it in modules.conf")
    if not missing:
        yield Finding("ok", f"all {len(NEEDED_MODULES)} modules that callbacks need are running")


def _trunks_in_use(config: Settings) -> list[str]:
    """Those of the database that are switched on; the one of the settings where it has none or cannot be read."""
    try:
        with store() as s:
            trunks = s.trunks.all()
    except CallbackError:
        trunks = []
    return [trunk.name for trunk in trunks if trunk.enabled] if trunks else [config.asterisk.trunk]


def _trunk(client: AriClient, trunk: str) -> Finding:
    from stasis_callback.ari.errors import AriUnavailable

    # Not GET /endpoints: its module is not among those that asterisk-conf loads.
    try:
        reply = client.rest.send("GET", "asterisk", "config", "dynamic", "res_pjsip", "endpoint", trunk)
    except AriUnavailable:
        return Finding("warning", f"whether there is a PJSIP endpoint {trunk} could not be seen")
    if not reply.ok or not isinstance(reply.body, list):
        return Finding(
            "problem", f"there is no PJSIP endpoint {trunk}", "make it in Asterisk's local/pjsip.conf"
        )
    if {"attribute": "direct_media", "value": "false"} not in reply.body:
        return Finding(
            "problem",
            f"PJSIP endpoint {trunk} lets speech go around Asterisk: the keys pressed would be lost",
            "make it from the template (carrier) of pjsip.conf, or set direct_media = no",
        )
    return Finding("ok", f"PJSIP endpoint {trunk} is there")


def _application(client: AriClient) -> Finding:
    if client.rest.fetch("applications", client.app) is None:
        return Finding("problem", "the service is not connected to Asterisk", "start `stasis-callback run`")
    return Finding("ok", f"the service is connected as {client.app}")


def _is_local(config: Settings) -> bool:
    return urlsplit(config.ari.url).hostname in _LOOPBACK


def _journal(config: Settings) -> Finding:
    path = config.asterisk.cel_path
    if path.is_file() and os.access(path, os.R_OK):
        return Finding("ok", f"billing journal {path} can be read")
    if path.exists() or not os.access(path.parent, os.R_OK | os.X_OK):
        return Finding(
            "problem",
            f"the billing journal {path} cannot be read: after a crash, calls could not be charged",
            "compare asterisk.cel_path with cel_custom.conf, and let this user read the file",
        )
    return Finding(
        "warning", f"there is no billing journal {path} yet", "Asterisk makes it at the first call"
    )


def _prompts(config: Settings, languages: set[str]) -> Finding:
    from stasis_callback.resources import sounds_dir

    folders = [folder for folder in SOUND_FOLDERS if folder.is_dir()]
    if not _is_local(config) or not folders:
        return Finding("warning", "whether Asterisk has the prompts cannot be seen from this machine")
    missing = [
        name
        for name in sorted(languages)
        if not any((f / name / "stasis-callback").is_dir() for f in folders)
    ]
    if missing:
        where = folders[0] / missing[0] / "stasis-callback"
        return Finding(
            "problem",
            f"Asterisk has no prompts in {', '.join(missing)}",
            f"ln -s {sounds_dir() / missing[0]} {where}",
        )
    return Finding("ok", f"prompts in {', '.join(sorted(languages))}")
