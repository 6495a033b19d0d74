"""Watches the wire of the fake Asterisk: no timer is ever moved past what is held for its leg.

Every scenario on the fake runs under this watch (`world.py`): at each request that makes a channel or moves its
timer, the database must hold, already and durably, what the leg can cost until then (invariants I10 and I11).
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.rating import cost_micros
from stasis_callback.store.stores import Stores
from stasis_callback.testing.fake.faults import Entry

FUSE = "TIMEOUT(absolute)"


class FuseWatch:
    """`violations` has a sentence for every request that went further than the money.

    On a busy machine a request may take so long to arrive that the timer, which counts from then, lasts into the next
    second. The service reads it back and asks for less: only a timer that was left so is a violation.
    """

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._found: list[str] = []
        self._late: dict[str, str] = {}
        self.seen = 0

    @property
    def violations(self) -> list[str]:
        return [*self._found, *self._late.values()]

    def __call__(self, entry: Entry) -> None:
        if entry.kind != "request" or not entry.name.startswith("POST /channels"):
            return
        leg_id, fuse_s = _fuse(entry.name, entry.detail)
        if fuse_s is None:
            return
        self.seen += 1
        # This is a thread of Asterisk's, which does not wait for our database.
        with self._stores.database.patience(0), suppress(StoreUnavailable):
            self._look(entry, leg_id, fuse_s)

    def _look(self, entry: Entry, leg_id: str, fuse_s: float) -> None:
        leg = next((leg for leg in self._stores.calls.open_legs() if leg.id == leg_id), None)
        if leg is None:
            self._found.append(f"{leg_id}: {entry.name} for a leg that is not noted")
            return
        start_us = leg.answered_at_us or leg.dialed_at_us
        elapsed_s = (entry.at_us - leg.answered_at_us) / US_PER_S if leg.answered_at_us else 0.0
        # A whole second less than it could be: a request takes its time.
        seconds = max(math.floor(elapsed_s + fuse_s), 0)
        price = self._stores.tariffs.version(leg.rate_id, leg.terms_id).price
        held, cost = self._stores.ledger.held_micros(leg_id), cost_micros(price, seconds, start_us)
        self._late.pop(leg_id, None)
        if cost > held:
            words = f"{leg_id}: {entry.name} lets it run for {seconds} s that cost {cost}, {held} are held"
            if cost_micros(price, max(seconds - 1, 0), start_us) > held:
                self._found.append(words)
            else:
                self._late[leg_id] = words


def _fuse(name: str, detail: Any) -> tuple[str, float | None]:
    """The leg a request is about, and the timer it sets."""
    parts = name.split("/")
    leg_id = str(detail.get("channelId") or (parts[2] if len(parts) > 2 else ""))
    if len(parts) > 3:
        text = detail.get("value") if parts[3] == "variable" and detail.get("variable") == FUSE else None
    else:
        text = (detail.get("variables") or {}).get(FUSE)
    return leg_id, None if text is None else float(text)
