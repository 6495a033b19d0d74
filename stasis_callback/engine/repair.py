"""Repair by command: ends and charges legs and callbacks that neither their node nor recovery ends.

It uses the code that ends calls, so everything is keyed and a leg is charged once. Calls of a live node are never
touched: a leg needs repair only if its callback has ended or is queued, a callback only if its node is dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from stasis_callback.ari.cel import CelJournal, CelRecord
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount
from stasis_callback.engine.nodes import end_left_call, end_of_left_leg, journal_of
from stasis_callback.engine.settlement import last_seen_us
from stasis_callback.store.calls.legs import LegEnd, XdrView
from stasis_callback.store.calls.repairs import LeftLeg, Repairs, StrayHold
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.stores import Stores

GONE_S = 600
"""A node that was seen less long ago may come back: it looks after its calls itself then."""


@dataclass(frozen=True, slots=True)
class LeftOpen:
    """Something that is left open: a leg, or a callback. Amounts in micros, times in microseconds."""

    id: str
    what: str
    node: str
    since_at_us: int
    account: str = ""
    currency: str = ""
    held_micros: int = 0


class Mending:
    """Lists and repairs legs and callbacks that were left open."""

    def __init__(self, stores: Stores, journal: CelJournal, clock: Clock) -> None:
        self._stores = stores
        self._journal = journal
        self._clock = clock
        self._repairs = Repairs(stores.database, clock)

    # --- what there is -------------------------------------------------------------------------------------------

    def troubles(self) -> list[LeftOpen]:
        """All that was left open: legs, holds of legs that do not exist, callbacks."""
        legs = [_leg_trouble(left) for left in self._repairs.left_legs()]
        legs += [_hold_trouble(stray) for stray in self._repairs.stray_holds()]
        return legs + [_call_trouble(request) for request in self._left_calls()]

    def _left_calls(self) -> list[RequestView]:
        """Callbacks under way of nodes that are dead, and were not seen for long."""
        before_us = self._clock.now_us() - GONE_S * US_PER_S
        return [
            request
            for left in self._stores.nodes.abandoned()
            if left.pulse_us < before_us
            for request in self._stores.requests.under_way_of(left.node)
        ]

    # --- mending it ----------------------------------------------------------------------------------------------

    def mend(self, subject: str, *, operator: str, reason: str) -> str:
        """End what is left of one leg or callback; what was done, in words.

        Raises InvalidInput when there is nothing left of this id, or its node lives.
        """
        legs = self._repairs.left_legs(subject)
        if legs:
            [left] = legs
            records = journal_of(self._stores, self._journal, [left.leg])
            return self._repairs.ending(partial(self._mend_leg, left, records, operator, reason))
        if self._repairs.stray_holds(subject):
            return self._repairs.ending(partial(self._give_back, subject, operator, reason))
        for request in self._left_calls():
            if request.id == subject:
                return self._mend_call(request, operator, reason)
        raise InvalidInput(
            f"{subject!r} is not a leg or callback that needs repair: see `stasis-callback ledger repair`"
        )

    def _mend_leg(self, left: LeftLeg, records: dict[str, CelRecord], operator: str, reason: str) -> str:
        leg_id = left.leg.id
        self._repairs.lock(left.request.id)
        mended = self._stores.database.noted(f"mended:{leg_id}")
        if not self._repairs.left_legs(leg_id):
            if mended is None:
                raise InvalidInput(f"leg {leg_id} was settled in the meantime")
            return str(mended)
        if left.settled:
            self._repairs.reopen(leg_id)
        done = _charged(self._stores.calls.settle(leg_id, _end(left, records.get(leg_id))))
        self._repairs.note(leg_id, done, operator=operator, reason=reason)
        self._stores.database.note(f"mended:{leg_id}", done)
        return done

    def _give_back(self, leg_id: str, operator: str, reason: str) -> str:
        """Let the account have the funds again that are held for a leg that does not exist."""
        mended = self._stores.database.noted(f"mended:{leg_id}")
        strays = self._repairs.stray_holds(leg_id)
        if not strays:
            if mended is None:
                raise InvalidInput(f"the funds held for leg {leg_id} were given back in the meantime")
            return str(mended)
        self._stores.ledger.void(leg_id)
        amount = format_amount(strays[0].amount_micros, strays[0].currency)
        done = f"{amount} held for leg {leg_id} are given back: there is no such leg"
        self._repairs.note(leg_id, done, operator=operator, reason=reason)
        self._stores.database.note(f"mended:{leg_id}", done)
        return done

    def _mend_call(self, request: RequestView, operator: str, reason: str) -> str:
        node, done = request.claimed_by, ""

        def note() -> None:
            nonlocal done
            ended = self._stores.requests.get(request.id)
            waits = ended.finished_at_us is None
            became = "is queued for another attempt" if waits else f"has ended: {ended.outcome}"
            done = f"request {request.id} {became}"
            self._repairs.note(request.id, done, operator=operator, reason=reason)
            self._stores.nodes.note(node, "repaired", operator, f"{request.id}: {reason}")

        with self._stores.nodes.standing_in(node) as alone:
            if not alone:
                raise InvalidInput(f"node {node} is alive and handles request {request.id} itself")
            if not end_left_call(self._stores, self._journal, request, note):
                raise InvalidInput(
                    f"request {request.id} was taken over by another node in the meantime: list it again"
                )
        return done

    def history(self, limit: int) -> list[dict[str, object]]:
        """Past repairs, newest first."""
        return [
            {"at_us": r.at_us, "id": r.subject, "done": r.done, "operator": r.operator, "reason": r.reason}
            for r in self._repairs.history(limit)
        ]


def _end(left: LeftLeg, record: CelRecord | None) -> LegEnd:
    """From the journal; else until its node was last known to live, or until the callback was over before that."""
    request = left.request
    wall_us = min(request.last_alive_us, request.finished_at_us or request.last_alive_us)
    return end_of_left_leg(left.leg, record, last_seen_us(left.leg, request, wall_us))


def _leg_trouble(left: LeftLeg) -> LeftOpen:
    leg, request = left.leg, left.request
    if left.settled:
        why = "the leg is marked as settled, but was never charged"
    else:
        why = f"the leg is open, although its callback is {request.state}"
    answered = "it was never answered" if leg.answered_at_us is None else "it was answered"
    return LeftOpen(
        leg.id,
        f"{why}; {answered}",
        request.claimed_by,
        leg.dialed_at_us,
        left.account,
        left.currency,
        left.funds_micros,
    )


def _hold_trouble(stray: StrayHold) -> LeftOpen:
    what = "funds are held for a leg that does not exist"
    return LeftOpen(
        stray.leg_id, what, "", stray.since_us, stray.account, stray.currency, stray.amount_micros
    )


def _call_trouble(request: RequestView) -> LeftOpen:
    what = f"the callback is {request.state} on a dead node"
    return LeftOpen(request.id, what, request.claimed_by, request.last_alive_us)


def _charged(xdr: XdrView) -> str:
    amount = format_amount(xdr.amount_micros, xdr.currency)
    if xdr.answered_at_us is None:
        return f"leg {xdr.leg_id} is settled with {amount}: it was never answered"
    return (
        f"leg {xdr.leg_id} is settled with {amount}: {xdr.duration_us / US_PER_S:.3f} s, source {xdr.source}"
    )
