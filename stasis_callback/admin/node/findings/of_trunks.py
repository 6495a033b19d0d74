"""Checks of trunks: their sections in pjsip.conf, whether their carriers can be reached, and how calls went."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from stasis_callback.admin.node.findings import Finding
from stasis_callback.clock import US_PER_S, Clock, iso

if TYPE_CHECKING:
    from stasis_callback.ari.client import AriClient
    from stasis_callback.ari.pjsip import Pjsip
    from stasis_callback.store.stores import Stores

RTP_TIMEOUT_LIMIT_S = 45
"""With more, a call whose parties have vanished is not ended within a minute."""
OPTIONS_TIMEOUT_S = 3.0
"""Asterisk's time limit for an answer (`qualify_timeout`), in seconds."""
REFUSED_S = 86_400
"""Refusals by a carrier are reported for this long, in seconds."""

Section = dict[str, list[str]]


def trunk_findings(client: AriClient, trunk: str) -> Iterator[Finding]:
    """The checks of one trunk in Asterisk."""
    from stasis_callback.ari.errors import AriError
    from stasis_callback.ari.pjsip import Pjsip

    pjsip = Pjsip(client.rest)
    try:
        endpoint = pjsip.section("endpoint", trunk)
        if endpoint is None:
            yield Finding(
                "problem",
                f"PJSIP endpoint {trunk} does not exist",
                "create it in Asterisk's local/pjsip.conf",
            )
            return
        named = _first(endpoint, "aors")
        aor = pjsip.section("aor", named) if named else None
        wrong = [
            *_media(trunk, endpoint),
            *_reachable(client, pjsip, trunk, aor),
            *_identified(pjsip, trunk, _first(aor or {}, "contact")),
        ]
    except AriError:
        yield Finding("warning", f"could not check whether PJSIP endpoint {trunk} exists")
        return
    if not any(finding.level == "problem" for finding in wrong):
        yield Finding("ok", f"PJSIP endpoint {trunk} exists")
    yield from wrong


def _media(trunk: str, endpoint: Section) -> Iterator[Finding]:
    """Whether Asterisk sees the sound, and ends a call whose parties have vanished."""
    template = "create it from the template (carrier) of pjsip.conf"
    if _first(endpoint, "direct_media") != "false":
        yield Finding(
            "problem",
            f"PJSIP endpoint {trunk} has direct_media: audio bypasses Asterisk and DTMF digits are lost",
            f"{template}, or set direct_media = no",
        )
    for option, value, most in (("rtp_timeout", 30, RTP_TIMEOUT_LIMIT_S), ("rtp_timeout_hold", 300, 3600)):
        set_s = int(_first(endpoint, option) or 0)
        if not 0 < set_s <= most:
            has = f"{option} = {set_s}" if set_s else f"no {option}"
            yield Finding(
                "problem",
                f"PJSIP endpoint {trunk} has {has}: a call that lost both parties keeps being charged",
                f"{template}, or set {option} = {value}",
            )
    if _first(endpoint, "timers") == "no":
        yield Finding(
            "warning",
            f"PJSIP endpoint {trunk} has no session timers: a call that the carrier has lost may go on",
            f"{template}, or set timers = yes",
        )


def _reachable(client: AriClient, pjsip: Pjsip, trunk: str, aor: Section | None) -> Iterator[Finding]:
    """Whether the carrier answers Asterisk's OPTIONS."""
    if aor is None:
        yield Finding(
            "problem",
            f"PJSIP endpoint {trunk} has no aor: calls lead nowhere",
            "add a section of type = aor with the carrier's contact, and name it in aors",
        )
        return
    state = pjsip.state(trunk)
    frequency_s = float(_first(aor, "qualify_frequency") or 0)
    if frequency_s == 0:
        yield Finding(
            "warning",
            f"the carrier of trunk {trunk} is not monitored (no qualify_frequency)",
            "set qualify_frequency = 60 in its aor section",
        )
    elif state == "offline" and (soon_s := frequency_s + OPTIONS_TIMEOUT_S - client.loaded_for_s()) > 0:
        yield Finding(
            "warning",
            f"could not check yet whether the carrier of trunk {trunk} can be reached: Asterisk asks it within "
            f"{frequency_s:.0f} s after a start or reload",
            f"run doctor again in {soon_s:.0f} s",
        )
    elif state == "offline":
        yield Finding(
            "problem",
            f"trunk {trunk} is unreachable: {_first(aor, 'contact') or 'its contact'} does not answer OPTIONS",
            "check the contact, the firewall, and whether the carrier answers OPTIONS",
        )
    elif state == "unknown":
        yield Finding(
            "warning",
            f"could not check whether the carrier of trunk {trunk} can be reached",
            "load res_ari_endpoints.so in modules.conf, see asterisk-conf",
        )


def _identified(pjsip: Pjsip, trunk: str, contact: str) -> Iterator[Finding]:
    """Whether calls from the carrier are known as this trunk's, and lead to where all of them are taken."""
    from stasis_callback.store.rates.trunks import INCOMING

    incoming = f"{trunk}{INCOMING}"
    identify = pjsip.section("identify", incoming) or pjsip.section("identify", trunk)
    registration = pjsip.section("registration", trunk) or {}
    if identify is not None:
        yield from _leads(pjsip, trunk, f"identify section of trunk {trunk}", _first(identify, "endpoint"))
        yield from _matches(trunk, identify, contact)
    elif _first(registration, "line") == "true":
        yield from _leads(pjsip, trunk, f"registration section {trunk}", _first(registration, "endpoint"))
    else:
        yield Finding(
            "warning",
            f"no identify section {incoming}: calls from this carrier are refused, unless another section matches it",
            f"add [{incoming}] type = identify with the addresses its calls come from; not needed for a trunk that "
            "only carries outgoing calls",
        )


def _leads(pjsip: Pjsip, trunk: str, section: str, leads_to: str) -> Iterator[Finding]:
    """Whether a section leads to an endpoint that takes every call of this trunk."""
    from stasis_callback.store.rates.trunks import INCOMING

    incoming = f"{trunk}{INCOMING}"
    if leads_to not in (trunk, incoming):
        yield Finding(
            "problem",
            f"{section} leads to endpoint {leads_to or '(none)'}",
            f"set endpoint = {incoming}",
        )
    elif (endpoint := pjsip.section("endpoint", leads_to)) is None:
        yield Finding(
            "problem",
            f"{section} leads to endpoint {leads_to}, which does not exist",
            f"add [{leads_to}](incoming) to Asterisk's local/pjsip.conf",
        )
    elif (
        "g729" not in _first(endpoint, "allow") or _first(endpoint, "media_use_received_transport") != "true"
    ):
        yield Finding(
            "warning",
            f"{section} leads to endpoint {leads_to}, which takes some codecs or transports only: missed calls that "
            "offer others are refused with 488 and not called back",
            f"add [{incoming}](incoming) to Asterisk's local/pjsip.conf, and set endpoint = {incoming}",
        )


def _matches(trunk: str, identify: Section, contact: str) -> Iterator[Finding]:
    """Whether the addresses of an identify section have the one where the trunk's calls go."""
    addresses = _addresses(contact)
    matches = [ip_network(match, strict=False) for match in identify.get("match", []) if match]
    if addresses and not any(ip_address(one) in match for one in addresses for match in matches):
        yield Finding(
            "warning",
            f"identify section {trunk} does not match {contact}, where its calls go",
            "check `match`: carriers mostly send calls from the address they receive calls on",
        )


def _addresses(contact: str) -> list[str]:
    """The addresses of the host in a contact; [] where it has none or is not known."""
    found = re.fullmatch(r"<?sips?:(?:[^@]*@)?(\[[0-9a-fA-F:]+\]|[^:;>?]+).*", contact)
    if found is None:
        return []
    try:
        known = socket.getaddrinfo(found[1].strip("[]"), None, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    return [str(entry[4][0]) for entry in known]


def _first(section: Section, option: str) -> str:
    return next(iter(section.get(option, [])), "")


# --- in the database ---------------------------------------------------------------------------------------------


def stored_trunk_findings(s: Stores) -> Iterator[Finding]:
    """Whether a trunk is enabled, and how the trunks do on the nodes that are alive."""
    from stasis_callback.admin.rates.trunks import state_in_words

    trunks = [trunk for trunk in s.trunks.all() if trunk.enabled_at_us is not None]
    if trunks and not any(trunk.enabled for trunk in trunks):
        yield Finding(
            "problem",
            "no trunk is enabled: no calls can be made",
            "run `stasis-callback trunk enable NAME`, or remove all trunks to use the one of the settings",
        )
    now_us = Clock().now_us()
    for node, states in s.nodes.trunk_states().items():
        for state in states:
            if state.rests_until_us is not None:
                yield Finding(
                    "warning",
                    f"node {node}: trunk {state.trunk} is {state_in_words(state)}",
                    "ask the carrier; see `leg.failed_over` in the log",
                )
            if state.refusal and now_us - state.refused_at_us < REFUSED_S * US_PER_S:
                yield Finding(
                    "warning",
                    f"node {node}: the carrier of trunk {state.trunk} refused us ({state.refusal}) at "
                    f"{iso(state.refused_at_us)}",
                    "check user and password, the caller ids, and the number of calls that it allows",
                )
