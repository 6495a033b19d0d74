"""What Asterisk's PJSIP has in its configuration, and whether it reaches a trunk's other end. For the commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from stasis_callback.ari.errors import AriError
from stasis_callback.ari.rest import Rest

SectionKind = Literal["endpoint", "aor", "identify", "registration"]


@dataclass(frozen=True, slots=True)
class Pjsip:
    """The configuration as Asterisk has loaded it. Every method raises `AriError` when Asterisk does not answer."""

    rest: Rest = field(repr=False)

    def section(self, kind: SectionKind, name: str) -> dict[str, list[str]] | None:
        """The options of a section of pjsip.conf, each with its values; None when there is no such section."""
        # Not GET /endpoints: its module is not among those that an older installation loads.
        reply = self.rest.send("GET", "asterisk", "config", "dynamic", "res_pjsip", kind, name)
        if reply.status == 404:
            return None
        if not reply.ok or not isinstance(reply.body, list):
            raise AriError(reply.status, reply.message)
        found: dict[str, list[str]] = {}
        for option in reply.body:
            found.setdefault(str(option.get("attribute")), []).append(str(option.get("value")))
        return found

    def state(self, endpoint: str) -> Literal["online", "offline", "unknown"]:
        """Whether an endpoint's contact answers OPTIONS; `unknown` where Asterisk cannot tell."""
        reply = self.rest.send("GET", "endpoints", "PJSIP", endpoint)
        word = reply.body.get("state") if reply.ok and isinstance(reply.body, dict) else ""
        if word == "online":
            return "online"
        return "offline" if word == "offline" else "unknown"
