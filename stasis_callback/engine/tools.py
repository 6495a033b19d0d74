"""The services shared by all calls, passed in from the composition root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stasis_callback.ari.cel import CelJournal
from stasis_callback.ari.client import AriClient
from stasis_callback.clock import Clock
from stasis_callback.engine.funding import Funding
from stasis_callback.engine.routing import Router
from stasis_callback.engine.trunk_health import TrunkHealth
from stasis_callback.ivr.call import Watcher
from stasis_callback.store.stores import Stores


@dataclass(frozen=True)
class CallTools:
    """The parts of the service that a call uses."""

    stores: Stores
    client: AriClient
    watcher: Watcher
    journal: CelJournal
    funding: Funding
    clock: Clock
    sounds: Path
    router: Router
    health: TrunkHealth
