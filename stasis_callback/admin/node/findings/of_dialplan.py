"""Checks of the dialplan: whether missed calls reach the service, and whether what a leg needs is there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stasis_callback.admin.node.findings import Finding

if TYPE_CHECKING:
    from stasis_callback.ari.client import AriClient

_ADVICE = "add what is in extensions.conf of asterisk-conf, then `dialplan reload`"


def dialplan_findings(
    client: AriClient, console_path: Path, trunks: Collection[str], *, checks_answers: bool
) -> Iterator[Finding]:
    """Each context that calls depend on, as Asterisk has loaded it; it shows them on its console only.

    Nothing where there is no console on this machine: Asterisk runs elsewhere.
    """
    from stasis_callback.ari.channels import ANSWER_CHECK, NO_FORWARD
    from stasis_callback.ari.console import ask
    from stasis_callback.ari.errors import AriError

    needed = {context: "a phone could send leg A or leg B elsewhere" for context in NO_FORWARD.values()}
    if checks_answers:
        needed[ANSWER_CHECK] = "persons and voicemail cannot be told apart (answer_check=amd)"
    try:
        contexts = {context: trunk for trunk in trunks for context in _contexts(client, trunk)}
        for context, trunk in contexts.items():
            if not _leads_to(client.app, context, console_path):
                yield Finding(
                    "problem",
                    f"calls from trunk {trunk} come to context {context}, which does not lead to {client.app}",
                    "set context = from-trunk for the endpoint in Asterisk's local/pjsip.conf, or send the access "
                    f"numbers on by Goto (docs/guides/existing-asterisk.md), and {_ADVICE}",
                )
        for context, harm in needed.items():
            if f"[ Context '{context}'" not in ask(console_path, f"dialplan show {context}"):
                yield Finding("problem", f"the dialplan has no context {context}: {harm}", _ADVICE)
    except PermissionError:
        yield Finding(
            "warning",
            f"could not read Asterisk's dialplan: {console_path}: Permission denied",
            "run doctor as root or in Asterisk's group, with astctlpermissions = 0660 in asterisk.conf",
        )
    except (OSError, AriError):
        return  # what is wrong with them, other checks tell


def _leads_to(app: str, context: str, console_path: Path) -> bool:
    """Whether calls in a context come to the service, by itself or by another context that it sends them to."""
    from stasis_callback.ari.console import ask

    shown = ask(console_path, f"dialplan show {context}")
    others = {context for context, *_ in re.findall(r"Goto\(([^,()]+),[^,()]+,[^,()]+\)", shown)}
    return f"Stasis({app}," in shown or any(
        f"Stasis({app}," in ask(console_path, f"dialplan show {other}") for other in others
    )


def _contexts(client: AriClient, trunk: str) -> set[str]:
    """Where the calls of a trunk begin in the dialplan."""
    from stasis_callback.ari.pjsip import Pjsip
    from stasis_callback.store.rates.trunks import INCOMING

    pjsip = Pjsip(client.rest)
    incoming = pjsip.section("endpoint", f"{trunk}{INCOMING}") or pjsip.section("endpoint", trunk) or {}
    return {context for context in incoming.get("context", []) if context}
