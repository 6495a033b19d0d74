"""How a trunk does, as one process sees it: what it tells its operators, and as text for other processes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Literal


@dataclass(frozen=True, slots=True)
class TrunkState:
    """A trunk that has failed: how often in a row, and how the last time. Times in microseconds since the epoch.

    `failure` and `refusal` are a SIP status, `silent` (no sign of life within the trunk's no-progress time) or
    `cause N` (Q.850).
    """

    trunk: str
    failures: int
    """In a row; 0: it has carried a call since."""
    failure: str
    failed_at_us: int
    rests_until_us: int | None = None
    """While it rests other trunks go first; None: it does not."""
    refusal: str = ""
    """The last time that the carrier refused us (login, caller id, number of calls); "": it never did."""
    refused_at_us: int = 0

    def word(self, now_us: int) -> Literal["ok", "failing", "resting", "half_open"]:
        """Its state in a word. `half_open`: it has rested, and the next call tries it."""
        if not self.failures:
            return "ok"
        if self.rests_until_us is None:
            return "failing"
        return "resting" if now_us < self.rests_until_us else "half_open"


def states_to_text(states: Iterable[TrunkState]) -> str:
    """States as text, for other processes; "" for none."""
    found = [asdict(state) for state in states]
    return json.dumps(found) if found else ""


def states_from_text(text: str) -> list[TrunkState]:
    """What `states_to_text` has written, maybe of a newer version, which says more."""
    known = {f.name for f in fields(TrunkState)}
    return [
        TrunkState(**{name: value for name, value in said.items() if name in known})
        for said in json.loads(text or "[]")
    ]
