"""Checks of Asterisk: version, modules, trunks, clock, and whether the service is connected."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from stasis_callback.admin.context import asterisk
from stasis_callback.admin.node.findings import Finding, to_start
from stasis_callback.admin.node.findings.of_dialplan import dialplan_findings
from stasis_callback.admin.node.findings.of_registrations import registration_findings
from stasis_callback.admin.node.findings.of_trunks import trunk_findings
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput

if TYPE_CHECKING:
    from stasis_callback.ari.client import AriClient
    from stasis_callback.settings import Settings

# First release without the known ARI vulnerabilities and deadlocks, by release series.
ADVISED = {20: (20, 20, 1), 22: (22, 10, 1), 23: (23, 4, 1)}
OLDEST_SERIES = 20

# Without these modules callbacks fail, in some cases silently. All are in asterisk-conf/modules.conf.
NEEDED_MODULES = {
    "app_stasis.so": "passes missed calls to the service",
    "bridge_simple.so": "connects two legs",
    "cel_custom.so": "writes the CEL journal",
    "chan_pjsip.so": "carries the calls",
    "format_pcm.so": "plays prompts",
    "func_pjsip_endpoint.so": "tells whether identities of a trunk count",
    "func_timeout.so": "ends calls when their funds are used up",
    "func_uri.so": "passes the headers of missed calls",
    "res_ari_applications.so": "filters events",
    "res_ari_bridges.so": "connects two legs",
    "res_ari_channels.so": "places calls",
    "res_ari_events.so": "reports what happens",
    "res_ari_playbacks.so": "plays prompts",
    "res_pjsip_header_funcs.so": "reads the headers of missed calls",
    "res_rtp_asterisk.so": "carries audio",
    "res_stasis_playback.so": "plays prompts",
}
ANSWER_CHECK_MODULES = {"app_amd.so": "tells persons from voicemail (answer_check=amd)"}
UNWANTED_MODULES = {
    "app_system.so": "runs programs from the dialplan",
    "func_shell.so": "runs programs from the dialplan",
    "bridge_native_rtp.so": "prevents DTMF detection in bridges",
}
CLOCKS_LIMIT_S = 2.0
"""A larger difference between the clocks of service and Asterisk means that they are not synchronized."""


def asterisk_findings(
    config: Settings, trunks: Collection[str], *, checks_answers: bool = False, runs: bool | None = None
) -> Iterator[Finding]:
    """The checks of Asterisk and of the connection to it; `trunks` are those in use. `checks_answers`: somewhere
    `answer_check` is `amd`. `runs`: whether a process has the name of this node, if that is known.
    """
    from stasis_callback.ari.errors import AriError

    console_path = config.asterisk.console_path
    try:
        with asterisk(config) as client:
            yield version_finding(client.info().version)
            yield from _modules(client, NEEDED_MODULES | (ANSWER_CHECK_MODULES if checks_answers else {}))
            for trunk in trunks:
                yield from trunk_findings(client, trunk)
            yield from registration_findings(client, console_path, trunks)
            yield from dialplan_findings(client, console_path, trunks, checks_answers=checks_answers)
            yield _clocks(client)
            yield _application(client, config.node, runs)
    except InvalidInput as error:
        yield Finding("problem", str(error), "check [ari] in the settings")
    except AriError as error:
        if error.status == 401:
            advice = "set the same user and password in [ari] and in Asterisk's local/ari.conf"
        else:
            advice = "check that Asterisk runs with http.conf and ari.conf of asterisk-conf; check ari.url"
        yield Finding("problem", f"Asterisk at {config.ari.url}: {error}", advice)


def shipped_modules() -> set[str]:
    """The modules that our asterisk-conf/modules.conf loads."""
    from stasis_callback.resources import asterisk_conf_dir

    text = (asterisk_conf_dir() / "modules.conf").read_text(encoding="utf-8")
    return set(re.findall(r"^load = (\S+)", text, re.MULTILINE))


def version_finding(text: str) -> Finding:
    """Whether this release of Asterisk is recommended."""
    numbers = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if numbers is None:
        return Finding("warning", f"unknown Asterisk version {text!r}", "22.10.1 or newer is recommended")
    found = tuple(int(part or 0) for part in numbers.groups())
    if found[0] < OLDEST_SERIES:
        return Finding("problem", f"Asterisk {text} is too old", "install 22.10.1 or newer")
    advised = ADVISED.get(found[0], (22, 10, 1) if found[0] == 21 else (0, 0, 0))
    if found < advised:
        wanted = ".".join(map(str, advised))
        return Finding(
            "warning",
            f"Asterisk {text} has known vulnerabilities and deadlocks",
            f"install {wanted} or newer",
        )
    return Finding("ok", f"Asterisk {text} answers")


def _modules(client: AriClient, needed: Mapping[str, str]) -> Iterator[Finding]:
    missing = [name for name in needed if not client.module_running(name)]
    for name in missing:
        yield Finding(
            "problem",
            f"module {name}, which {needed[name]}, is not running",
            f"run `asterisk -rx 'module load {name}'`, or load it in modules.conf, see asterisk-conf",
        )
    others = sorted(shipped_modules() - needed.keys())
    if absent := [name for name in others if not client.module_running(name)]:
        yield Finding(
            "warning",
            f"modules of the shipped configuration are not running: {', '.join(absent)}",
            "load them in modules.conf, unless you know that you do not need them, see asterisk-conf",
        )
    for name, harm in UNWANTED_MODULES.items():
        if client.module_running(name):
            yield Finding("warning", f"module {name} is running: it {harm}", "remove it from modules.conf")
    if not missing:
        yield Finding("ok", f"all {len(needed)} required modules are running")


def _clocks(client: AriClient) -> Finding:
    if not client.time.measure():
        return Finding("warning", "could not read Asterisk's clock")
    apart_s = (client.time.now_us() - Clock().now_us()) / US_PER_S
    if abs(apart_s) > CLOCKS_LIMIT_S:
        return Finding(
            "problem",
            f"Asterisk's clock is {abs(apart_s):.1f} s {'ahead of' if apart_s > 0 else 'behind'} this machine's",
            "synchronize the clocks of both machines (chrony, systemd-timesyncd): call charges depend on them",
        )
    return Finding("ok", "Asterisk's clock agrees with the clock of this machine")


def _application(client: AriClient, node: str, runs: bool | None) -> Finding:
    if client.rest.fetch("applications", client.app) is None:
        return Finding("problem", "the service is not connected to Asterisk", to_start(runs))
    if runs is False:
        return Finding(
            "problem",
            f"another process is connected as {client.app}: node {node} is not running on this database",
            "find and stop it (`ss -tnp` shows who is connected to Asterisk's port), or set another ari.app; do not "
            "start a service beside it",
        )
    return Finding("ok", f"the service is connected as {client.app}")
