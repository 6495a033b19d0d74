"""What every call works with, handed in from the composition root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stasis_callback.ari.cel import CelJournal
from stasis_callback.ari.client import AriClient
from stasis_callback.clock import Clock
from stasis_callback.core.errors import require
from stasis_callback.core.numbers import is_dialable
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

    def endpoint(self, number: str) -> str:
        """The dial string for a number: digits only, one trunk, nothing a caller could add to."""
        require(is_dialable(number), "only 3 to 15 digits are ever dialled")
        return f"PJSIP/{number}@{self.trunk}"
