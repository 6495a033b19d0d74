"""Changes that wait for a second operator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.operators.tables import ConsoleProposal

LIST_LIMIT = 200


@dataclass(frozen=True, slots=True)
class ProposalView:
    """A change that was proposed."""

    id: int
    command: tuple[str, ...]
    proposer: str
    proposed_at_us: int
    state: str
    decider: str
    decided_at_us: int | None


class Proposals:
    """What one operator proposes and another one decides."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @unit
    def add(self, key: str, command: Sequence[str], proposer: str) -> None:
        """Propose a command. The same key is the same proposal."""
        ConsoleProposal.insert(
            key=key, command=json.dumps(list(command)), proposer=proposer, proposed_at_us=self._clock.now_us(),
            state="waiting", decider="",
        ).on_conflict_ignore().execute()  # fmt: skip

    @unit
    def decide(self, proposal_id: int, decider: str, *, agreed: bool) -> ProposalView:
        """Agree or decline, once. Raises InvalidInput if it was decided, or is the decider's own."""
        row = ConsoleProposal.get_or_none(ConsoleProposal.id == proposal_id)
        if row is None:
            raise InvalidInput("this change was never proposed")
        if row.proposer == decider and agreed:
            raise InvalidInput("a second operator must agree: you proposed this change yourself")
        changed = (
            ConsoleProposal.update(
                state="agreed" if agreed else "declined", decider=decider, decided_at_us=self._clock.now_us()
            )
            .where(ConsoleProposal.id == proposal_id, ConsoleProposal.state == "waiting")
            .execute()
        ) or self._database.noted("decided")
        self._database.note("decided", changed)
        if not changed:
            raise InvalidInput(f"this change was decided by {row.decider} already")
        return _view(ConsoleProposal.get_by_id(proposal_id))

    @read
    def newest(self, *, waiting: bool = False) -> list[ProposalView]:
        """The proposals, newest first."""
        rows = ConsoleProposal.select().order_by(ConsoleProposal.id.desc()).limit(LIST_LIMIT)
        return [_view(row) for row in (rows.where(ConsoleProposal.state == "waiting") if waiting else rows)]


def _view(row: ConsoleProposal) -> ProposalView:
    return ProposalView(
        row.id, tuple(json.loads(row.command)), row.proposer, row.proposed_at_us, row.state, row.decider,
        row.decided_at_us,
    )  # fmt: skip
