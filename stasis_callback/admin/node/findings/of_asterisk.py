"""Asterisk: its version, modules and trunks, whether the service is connected, and whose clock is wrong."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from stasis_callback.admin.context import asterisk
from stasis_callback.admin.node.findings import Finding
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput

if TYPE_CHECKING:
    from stasis_callback.ari.client import AriClient
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
CLOCKS_LIMIT_S = 2.0
"""Clocks of service and Asterisk that are further apart have been set, or are not kept in step."""


def asterisk_findings(config: Settings, trunks: Collection[str]) -> Iterator[Finding]:
    """What is wrong with Asterisk, or with the way to it; `trunks` are those in use."""
    from stasis_callback.ari.errors import AriError

    try:
        with asterisk(config) as client:
            yield version_finding(client.info().version)
            yield from _modules(client)
            for trunk in trunks:
                yield _trunk(client, trunk)
            yield _clocks(client)
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


def _clocks(client: AriClient) -> Finding:
    if not client.time.measure():
        return Finding("warning", "Asterisk does not say what time it is")
    apart_s = (client.time.now_us() - Clock().now_us()) / US_PER_S
    if abs(apart_s) > CLOCKS_LIMIT_S:
        return Finding(
            "problem",
            f"Asterisk's clock is {abs(apart_s):.1f} s {'ahead of' if apart_s > 0 else 'behind'} ours",
            "have both machines' clocks kept in step (chrony, systemd-timesyncd): calls are charged by them",
        )
    return Finding("ok", "Asterisk's clock and ours agree")


def _application(client: AriClient) -> Finding:
    if client.rest.fetch("applications", client.app) is None:
        return Finding("problem", "the service is not connected to Asterisk", "start `stasis-callback run`")
    return Finding("ok", f"the service is connected as {client.app}")
