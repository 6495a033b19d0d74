"""Checks of the trunks that register: whether the carrier has accepted that."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stasis_callback.admin.node.findings import Finding

if TYPE_CHECKING:
    from stasis_callback.ari.client import AriClient

# ` trunk/sip:sip.carrier.example   auth   Registered  (exp. 3580s)`: columns are not cut, however long a name is.
_REGISTRATION = re.compile(r"^ (\S+?)/(sips?:\S+)\s+\S+\s+([A-Z]\w+)", re.MULTILINE)
_ADVICE = {
    "Rejected": "check the user name, the password, client_uri and server_uri in Asterisk's local/pjsip.conf; "
    "`pjsip set logger on` in Asterisk's console shows what the carrier answers",
    "Unregistered": "check server_uri in Asterisk's local/pjsip.conf, and whether the carrier can be reached; "
    "after a start of Asterisk it takes some seconds",
}


def registration_findings(
    client: AriClient, console_path: Path, trunks: Collection[str]
) -> Iterator[Finding]:
    """The state of each registration, which Asterisk tells on its console only."""
    from stasis_callback.ari.console import ask

    try:
        answer = ask(console_path, "pjsip show registrations")
    except OSError as error:
        yield from _unknown(client, console_path, trunks, error)
        return
    for name, server, state in _REGISTRATION.findall(answer):
        if state == "Registered":
            yield Finding("ok", f"trunk {name} is registered at {server}")
        else:
            # To Asterisk a registrar that has not answered for half a minute "rejects" too.
            rejected = "has rejected the registration, or did not answer it"
            what = rejected if state == "Rejected" else f"has not answered yet ({state.lower()})"
            advice = _ADVICE.get(state, "Asterisk has given up: reload it, and see max_retries in pjsip.conf")
            yield Finding("problem", f"trunk {name} is not registered: {server} {what}", advice)


def _unknown(
    client: AriClient, console_path: Path, trunks: Collection[str], error: OSError
) -> Iterator[Finding]:
    """A warning, if there are registrations of trunks at all."""
    from stasis_callback.ari.errors import AriUnavailable

    for trunk in trunks:
        path = ("asterisk", "config", "dynamic", "res_pjsip", "registration", trunk)
        try:
            registers = client.rest.send("GET", *path).ok
        except AriUnavailable:
            return  # what is wrong with that, another check tells
        if registers:
            why = f"{console_path}: {error.strerror or error}"
            yield Finding(
                "warning",
                f"could not ask Asterisk whether trunk {trunk} is registered: {why}",
                "run doctor as root or in Asterisk's group, with astctlpermissions = 0660 in asterisk.conf; "
                "check asterisk.console_path",
            )
