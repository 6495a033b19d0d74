"""What every call works with, handed in from the composition root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stasis_callback.ari.cel import CelJournal
from stasis_callback.ari.client import AriClient
from stasis_callback.clock import Clock
from stasis_callback.core.errors import require
from stasis_callback.core.numbers import Rule, is_dialable, translate
from stasis_callback.engine.funding import Funding
from stasis_callback.engine.stores import Stores
from stasis_callback.ivr.call import Watcher


@dataclass(frozen=True)
class Services:
    """The parts of the service that a call uses."""

    stores: Stores
    client: AriClient
    watcher: Watcher
    journal: CelJournal
    funding: Funding
    clock: Clock
    sounds: Path
    trunk: str
    number_rules: tuple[Rule, ...] = ()
    """From E.164 digits to what the trunk wants to be dialled."""

    def endpoint(self, number: str) -> str:
        """The dial string for a number: `+?[0-9]{3,15}`, one trunk, nothing a caller could add to."""
        require(is_dialable(number), "only 3 to 15 digits are ever dialled")
        dialled = translate(self.number_rules, number)
        require(
            is_dialable(dialled.removeprefix("+")), "the trunk's number_rules do not leave 3 to 15 digits"
        )
        return f"PJSIP/{dialled}@{self.trunk}"
