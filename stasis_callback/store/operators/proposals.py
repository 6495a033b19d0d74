"""Changes that wait for a second operator."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.name_locks import name_lock, taken_names
from stasis_callback.store.database.trail import Fields, note_change
from stasis_callback.store.operators.tables import ConsoleProposal

LIST_LIMIT = 200
SAID_LIMIT = 500
NOUN = "console-proposal"
"""What proposals are called in the audit log; their name there is their id."""


@dataclass(frozen=True, slots=True)
class ProposalView:
    """A change that was proposed.

    `state`: `waiting`, `agreed` (being carried out, or nobody knows what came out), `done`, `failed`, `declined` or
    `withdrawn`. `said` is what the command said when it was carried out. `is_open`: it can be decided.
    """

    id: int
    command: tuple[str, ...]
    proposer: str
    proposed_at_us: int
    state: str
    decider: str
    decided_at_us: int | None
    said: str
    is_open: bool

    @property
    def times_us(self) -> list[int]:
        """When something was done about it."""
        return [self.proposed_at_us, *([] if self.decided_at_us is None else [self.decided_at_us])]


class Proposals:
    """What one operator proposes and another one decides. Each step stands in the audit log."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @unit
    def add(self, key: str, command: Sequence[str], proposer: str) -> None:
        """Propose a command. The same key is the same proposal."""
        added = (
            ConsoleProposal.insert(
                key=key, command=json.dumps(list(command)), proposer=proposer, proposed_at_us=self._clock.now_us(),
                state="waiting", decider="", outcome="", said="",
            ).on_conflict_ignore().as_rowcount().execute()
        )  # fmt: skip
        if added:
            row = ConsoleProposal.get(ConsoleProposal.key == key)
            self._note(row, proposer, {}, {"command": " ".join(command), "state": "waiting"})

    @contextmanager
    def alone(self, proposal_id: int) -> Iterator[None]:
        """Within the block nobody else decides about it: from the decision until it was carried out, as long as that
        takes. Raises InvalidInput while another does.

        A lock, which goes with its process: no clock says that whoever carries it out has died.
        """
        # Of an owner of its own: another's connection would be taken for a former one of this, and ended.
        lock = name_lock(self._database.url, _lock_name(proposal_id), f"second {token_hex(8)}")
        if not lock.take():
            raise InvalidInput("this change is being carried out: see what came out when that is over")
        try:
            yield
        finally:
            lock.forget()

    @unit
    def decide(self, proposal_id: int, decider: str, *, agreed: bool) -> ProposalView:
        """Within `alone`: agree or decline, once; again where carrying it out has failed, or was cut off. Who
        declines what they proposed withdraws it. Raises InvalidInput if it was decided, or is the decider's own to
        agree to.
        """
        row = ConsoleProposal.get_or_none(ConsoleProposal.id == proposal_id)
        if row is None:
            raise InvalidInput("this change was never proposed")
        if row.proposer == decider and agreed:
            raise InvalidInput("a second operator must agree: you proposed this change yourself")
        before, state = _state(row), "agreed" if agreed else "declined"
        changed = (
            ConsoleProposal.update(
                state=state, decider=decider, decided_at_us=self._clock.now_us(),
                outcome="" if agreed else row.outcome, said="" if agreed else row.said,
            )
            .where(
                ConsoleProposal.id == proposal_id,
                (ConsoleProposal.state == "waiting")
                | ((ConsoleProposal.state == "agreed") & (ConsoleProposal.outcome != "done")),
            )
            .execute()
        )  # fmt: skip
        if not changed and not self._database.noted("decided"):
            raise InvalidInput(f"this change was decided by {row.decider} already")
        self._database.note("decided", True)
        decided = ConsoleProposal.get_by_id(proposal_id)
        if changed:
            self._note(decided, decider, {"state": before}, {"state": _state(decided)})
        return _view(decided, is_cut_off=False)

    @unit
    def finish(self, proposal_id: int, decider: str, *, done: bool, said: str) -> None:
        """Note what came out of a change that `decider` has agreed to. What was done is done, also where another has
        agreed meanwhile, as a server has forgotten who was alone with it.
        """
        outcome = "done" if done else "failed"
        mine = (ConsoleProposal.decider == decider) & (ConsoleProposal.outcome == "")
        changed = (
            ConsoleProposal.update(outcome=outcome, said=said[:SAID_LIMIT])
            .where(
                ConsoleProposal.id == proposal_id,
                ConsoleProposal.state == "agreed",
                (ConsoleProposal.outcome != "done") if done else mine,
            )
            .execute()
        )
        if changed:
            after = {"state": outcome, "said": said[:SAID_LIMIT]}
            self._note(ConsoleProposal.get_by_id(proposal_id), decider, {"state": "agreed"}, after)

    @read
    def newest(self) -> list[ProposalView]:
        """The proposals, newest first."""
        rows = list(ConsoleProposal.select().order_by(ConsoleProposal.id.desc()).limit(LIST_LIMIT))
        unknown = [_lock_name(row.id) for row in rows if _state(row) == "agreed"]
        cut_off = set(unknown) - taken_names(self._database.url, unknown)
        return [_view(row, is_cut_off=_lock_name(row.id) in cut_off) for row in rows]

    def _note(self, row: ConsoleProposal, operator: str, before: Fields, after: Fields) -> None:
        note_change(self._database, self._clock, NOUN, str(row.id), before, after, operator)


def _state(row: ConsoleProposal) -> str:
    if row.state == "agreed":
        return row.outcome or "agreed"
    return "withdrawn" if row.state == "declined" and row.decider == row.proposer else str(row.state)


def _view(row: ConsoleProposal, *, is_cut_off: bool) -> ProposalView:
    state = _state(row)
    return ProposalView(
        row.id, tuple(json.loads(row.command)), row.proposer, row.proposed_at_us, state, row.decider,
        row.decided_at_us, row.said, state in ("waiting", "failed") or is_cut_off,
    )  # fmt: skip


def _lock_name(proposal_id: int) -> str:
    return f"proposal-{proposal_id}"
