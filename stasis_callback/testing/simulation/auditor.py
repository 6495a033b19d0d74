"""Audits the database after a simulation, and calculates every charge from what really happened.

Plain SQL and its own `money`: it shares no code with what it audits. Where a fault hid the end of a leg, less than
the truth may be charged and never more; where none did, exactly the truth.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stasis_callback.store.audit import verify
from stasis_callback.store.stores import open_stores

from .asterisk import Life
from .business import EarlierClock, dnis_of
from .money import PriceList, price_of, started_seconds
from .plan import INTERNAL, PIN_ACCESS
from .scheduler import START_US, US_PER_S
from .watcher import HEARD_S

if TYPE_CHECKING:
    from .world import SimWorld

CLOCK_TOLERANCE_S = 2
"""A step of Asterisk's clock of less than this is not noticed."""
NOTICED_S = 6.0
"""Longer than it takes to notice that Asterisk is silent."""
THAWED_S = 3.0
"""An end within this after the link is back may be one that came in the silence (`ivr/call.py`)."""
LOST_US = 10_000
"""The end of a connection is read within this: what was up when Asterisk died may be charged until then."""
GIVEN_AWAY_US = 13 * US_PER_S
"""The most that is given away: a lease is renewed every five seconds, but not while a talk that is over waits to be
settled, and says when Asterisk was last heard of, which is asked for a sign of life every two.
"""
OUR_REASONS = ("failed", "interrupted", "not_dialed", "")
"""Outcomes that no party caused: a callback that never rang must not end with one."""


class Auditor:
    """The audit of a completed simulation."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._lives = {i: life for i, life in world.asterisk.lives.items() if life.kind != "incoming"}

    def sentences(self) -> Iterator[str]:
        """The violations, one sentence each."""
        yield from self._verified()
        yield from self._books()
        yield from self._left()
        yield from self._requests()
        yield from self._legs()
        yield from self._payers()
        yield from self._calls()
        yield from self._answers()

    def _rows(self, statement: str) -> list[Any]:
        return self._world.rows(statement)

    def _verified(self) -> Iterator[str]:
        stores = open_stores(f"sqlite:///{self._world.folder}/callback.db", "auditor", EarlierClock())
        try:
            for sentence in verify(stores.database, stores.tariffs):
                yield f"ledger verify: {sentence}"
        finally:
            stores.database.close()

    # --- money -------------------------------------------------------------------------------------------------

    def _books(self) -> Iterator[str]:
        """I1 to I4: sums of the entries."""
        transfers: Counter[int] = Counter()
        books: Counter[int] = Counter()
        for row in self._rows("SELECT transfer_id, book_id, amount_micros FROM entry"):
            transfers[row["transfer_id"]] += row["amount_micros"]
            books[row["book_id"]] += row["amount_micros"]
        for transfer, total in transfers.items():
            if total:
                yield f"transfer {transfer} sums to {total}"
        for row in self._rows("SELECT * FROM book WHERE NOT house"):
            if row["balance_micros"] != books[row["id"]]:
                yield f"{row['name']} says {row['balance_micros']}, its entries sum to {books[row['id']]}"
            if row["held_micros"]:
                yield f"{row['name']} still holds {row['held_micros']}"
            if row["balance_micros"] < -row["credit_limit_micros"]:
                yield f"{row['name']} has {row['balance_micros']}, less than its limit"

    def _legs(self) -> Iterator[str]:
        """I7, I12, I14: every leg has one call record, with the charge for what really happened."""
        xdrs = {row["leg_id"]: row for row in self._rows("SELECT * FROM xdr")}
        for leg_id in self._lives:
            if leg_id not in xdrs:
                yield f"{leg_id} was a channel and has no call record"
        posted: Counter[str] = Counter()
        for row in self._rows(
            "SELECT transfer.key, entry.amount_micros FROM entry JOIN transfer ON transfer.id = entry.transfer_id"
            " WHERE transfer.kind = 'settle' AND entry.amount_micros > 0"
        ):
            posted[row["key"].removeprefix("settle:")] += row["amount_micros"]
        for leg_id, xdr in xdrs.items():
            if posted.pop(leg_id, 0) != xdr["amount_micros"]:
                yield f"{leg_id}: the call record says {xdr['amount_micros']}, that was not posted"
            yield from self._charge(leg_id, xdr)
        for leg_id in posted:
            yield f"{leg_id} was charged and has no call record"

    def _charge(self, leg_id: str, xdr: Any) -> Iterator[str]:
        price = price_of(self._world.plan.business.prices, xdr["number"])
        if price is None:
            yield f"{leg_id} went to {xdr['number']}, which has no price"
            return
        life = self._lives.get(leg_id)
        true_us, own_us = _durations_us(life)
        own_s = started_seconds(own_us)
        amount, says = xdr["amount_micros"], f"{leg_id} ({xdr['source']}, {xdr['outcome']})"
        doubt = self._doubt(life)
        if doubt:
            yield from self._too_little(life, price, says, amount)
        if not doubt and amount != price.cost(own_s):
            yield f"{says} is charged {amount} for {xdr['duration_us'] / 1e6:.3f} s, it was {own_us / 1e6:.3f} s"
        elif not doubt and xdr["charged_s"] != price.billed_s(own_s):
            yield f"{says} is billed as {xdr['charged_s']} s, {price.billed_s(own_s)} s are right"
        elif doubt and amount > price.cost(self._at_most_s(life, xdr["source"], true_us, own_s)):
            yield (
                f"{says} is charged {amount} for {xdr['duration_us'] / 1e6:.3f} s, more than the {true_us / 1e6:.3f}"
                f" s that it was, although {doubt}"
            )
        if xdr["overrun_micros"] and not self._excused(leg_id, life):
            yield f"{says} talked past its funds: {xdr['overrun_micros']} of {amount} are the house's"

    def _at_most_s(self, life: Life | None, source: str, true_us: int, own_s: int) -> int:
        """The most that may be charged if the duration is uncertain.

        The process that measured the leg by its monotonic clock was killed, and the journal was written by a clock
        that was stepped: the duration cannot be known, and the hold is the limit.
        """
        true_s = started_seconds(true_us)
        if life is None or not life.stepped:
            return started_seconds(true_us + LOST_US) if life is not None and life.journal_lost else true_s
        died = any(at_us >= (life.answered_true_us or 0) for at_us in self._world.node.died_us)
        return max(true_s + CLOCK_TOLERANCE_S, own_s if died and source == "cel" else 0)

    def _doubt(self, life: Life | None) -> str:
        """Why the service could not know the end of a leg exactly; "" if it could."""
        if life is None or life.answered_us is None:
            return ""
        if life.journal_lost:
            return "Asterisk died and its journal has no end"
        if life.stepped:
            return "Asterisk's clock was moved"
        if self._silence(life) is not None:
            return "nothing was heard of Asterisk when it ended"
        if any(
            a - 60 * US_PER_S < (life.ended_true_us or 0) < b for a, b in self._world.mishaps.journal_gone
        ):
            return "the journal could not be read"
        return ""

    def _silence(self, life: Life) -> int | None:
        """When the fault began that hid the end of a leg, or lost it on its way."""
        ended_us, spans = life.ended_true_us or 0, self._world.mishaps.silences
        lost_us = round(HEARD_S * US_PER_S)
        return min((a for a, b in spans if a - lost_us <= ended_us <= self._over_us(b)), default=None)

    def _over_us(self, ended_us: int) -> int:
        """Until when the ends of legs may be taken for some of a silence that ended then."""
        back = self._world.watcher.complaints.link_back_us
        back_us = next((at_us for at_us in back if at_us >= ended_us), ended_us)
        return max(ended_us + round(NOTICED_S * US_PER_S), back_us + round(THAWED_S * US_PER_S))

    def _too_little(self, life: Life | None, price: PriceList, says: str, amount: int) -> Iterator[str]:
        """Even if the end is uncertain, the part that is certain must be charged."""
        world = self._world
        if life is None or life.answered_true_us is None or life.stepped:
            return
        known_us = self._silence(life)
        if known_us is None and life.journal_lost:
            known_us = life.ended_true_us or 0
        if known_us is None or world.hindered(life.answered_true_us - 20 * US_PER_S, known_us - 1):
            return
        certain_s = started_seconds(known_us - life.answered_true_us - GIVEN_AWAY_US)
        if amount < price.cost(certain_s):
            yield f"{says} is charged {amount}, although {certain_s} s of it are certain"

    def _excused(self, leg_id: str, life: Life | None) -> bool:
        """Whether a fault of Asterisk, or a late timer, explains it, so that the service is not to blame."""
        world = self._world
        if life is None:
            return False
        if life.stepped or life.journal_lost or leg_id in world.watcher.fuses.late_s:
            return True
        began_us, ended_us = life.began_true_us, life.ended_true_us or 0
        return any(a < ended_us and b > began_us for a, b in world.mishaps.silences)

    def _payers(self) -> Iterator[str]:
        """I17: each leg is charged to the right account."""
        world = self._world
        pins = {s.number: s.pin for s in world.plan.subscribers if s.pin}
        owners = {dnis_of(n): dnis_of(n) for n in range(len(world.plan.subscribers))}
        for row in self._rows(
            "SELECT xdr.leg_id, xdr.side, account.number AS payer, request.ani, request.dnis, request.leg_a_number"
            " FROM xdr JOIN account ON account.id = xdr.account_id JOIN request ON request.id = xdr.request_id"
        ):
            right = owners.get(row["dnis"], row["ani"])
            if row["dnis"] == PIN_ACCESS:
                right = INTERNAL if row["side"] == "a" else pins.get(row["ani"], "")
                others = [pin for pin in pins.values() if pin]
                if row["side"] == "b" and row["payer"] in others:
                    continue  # somebody else's PIN is as good
            if row["payer"] != right:
                yield f"{row['leg_id']} is paid by {row['payer']} instead of {right}"

    # --- what is left --------------------------------------------------------------------------------------------

    def _left(self) -> Iterator[str]:
        world = self._world
        for channel in world.asterisk.switch.channels.values():
            yield f"{channel.id} ({channel.state}) is still there"
        for bridge_id in world.asterisk.switch.bridges:
            yield f"bridge {bridge_id} is still there"
        for name in world.leftovers:
            yield f"thread {name} does not stop"
        for row in self._rows("SELECT * FROM hold WHERE state = 'open'"):
            yield f"{row['leg_id']}: its hold of {row['amount_micros']} is still open"
        for row in self._rows("SELECT * FROM leg WHERE state != 'settled'"):
            yield f"{row['id']} is still {row['state']}"

    # --- callbacks -----------------------------------------------------------------------------------------------

    def _requests(self) -> Iterator[str]:
        """Every callback has ended, with an outcome."""
        for row in self._rows("SELECT * FROM request"):
            if row["state"] not in ("done", "refused", "cancelled"):
                yield f"request {row['id']} is still {row['state']}"
            elif not row["outcome"] and row["state"] != "cancelled":
                yield f"request {row['id']} has ended without a reason"
            elif row["state"] == "done" and row["outcome"] in OUR_REASONS and not self._was_called(row["id"]):
                yield f"request {row['id']} has ended as {row['outcome']}: the phone never rang"

    def _was_called(self, request_id: str) -> bool:
        """Whether the phone rang, or Asterisk was asked for it as often as is due, and died over the last one, or the
        carrier refused that.
        """
        if any(life.offered for i, life in self._lives.items() if i.startswith(f"{request_id}-a")):
            return True
        world = self._world
        asked = {
            leg_id: at_us
            for leg_id, at_us in world.watcher.complaints.asked_us.items()
            if leg_id.startswith(f"{request_id}-a")
        }
        if len(asked) < int(world.plan.options["attempts_congestion"]):
            return False
        last = max(asked, key=lambda leg_id: asked[leg_id])
        life = self._lives.get(last)
        if life is not None and life.how == "far end":
            return True
        return world.mishaps.active(asked[last], asked[last] + 5 * US_PER_S, ("asterisk crashed", "power"))

    def _calls(self) -> Iterator[str]:
        """A leg does not continue after the other party has hung up."""
        world = self._world
        by_request: defaultdict[str, list[Life]] = defaultdict(list)
        for life in self._lives.values():
            by_request[life.id.rpartition("-")[0]].append(life)
        for request_id, lives in by_request.items():
            a_end_us = max((life.ended_true_us or 0 for life in lives if "-a" in life.id), default=0)
            for life in lives:
                late_us = (life.ended_true_us or 0) - a_end_us
                if (
                    "-b" in life.id
                    and late_us > 3 * US_PER_S
                    and not world.hindered(a_end_us, life.ended_true_us or 0)
                ):
                    yield f"{life.id} went on for {late_us / 1e6:.1f} s after leg A of {request_id} had ended"

    def _answers(self) -> Iterator[str]:
        """Every caller who was told that a callback is accepted has one."""
        kept = {row["key"] for row in self._rows("SELECT key FROM request WHERE state != 'refused'")}
        for key, answer in self._world.answers.items():
            if not answer.reason and key not in kept:
                yield f"{key} was told that it is accepted, and there is no such request"


def _durations_us(life: Life | None) -> tuple[int, int]:
    """The duration of a leg: the true one, and by Asterisk's clock."""
    if life is None or life.answered_true_us is None or life.answered_us is None:
        return 0, 0
    assert life.ended_true_us is not None
    assert life.ended_us is not None
    return life.ended_true_us - life.answered_true_us, max(life.ended_us - life.answered_us, 0)


def audit(world: SimWorld) -> list[str]:
    """The violations at the end of a simulation."""
    at_s = (world.finished_us - START_US) / US_PER_S
    return [f"{at_s:.3f} s: {sentence}" for sentence in Auditor(world).sentences()]
