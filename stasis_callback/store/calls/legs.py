"""Legs and xDRs: what was dialled, what answered, what it cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

from peewee import JOIN, ModelSelect

from stasis_callback.clock import Clock, doubted
from stasis_callback.core.errors import NotOurs, require
from stasis_callback.core.fraud import NOBODY_REACHED, Cause, NotAllowed, Spent, cause_of_leg, spent_by
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.progress import Step
from stasis_callback.core.rating import billed_seconds, charged_seconds, cost_micros
from stasis_callback.core.states import HoldState, LegState
from stasis_callback.store.accounts.fraud import (
    NEVER_CALLED,
    RESERVED_BEFORE,
    SET_ASIDE,
    Fraud,
    Held,
    Use,
    asked_prefixes,
    asked_subjects,
    fraud_trouble,
)
from stasis_callback.store.accounts.notices import note_low_balance
from stasis_callback.store.accounts.tables import Account
from stasis_callback.store.accounts.view import AccountView
from stasis_callback.store.calls.steps import note_step
from stasis_callback.store.calls.tables import LegRow, Xdr
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.identity import Identity
from stasis_callback.store.database.statements import every, insert, one, run
from stasis_callback.store.money.chain import Chain
from stasis_callback.store.money.ledger import LOCKED_HOLD, Ledger
from stasis_callback.store.money.reading import open_holds
from stasis_callback.store.money.views import CallRecord, HoldChange, LockedHold
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.rates.tables import Trunk
from stasis_callback.store.rates.tariffs import Tariffs
from stasis_callback.store.rates.trunks import Carrier

Side = Literal["a", "b"]
Source = Literal["events", "cel", "estimated"]


@dataclass(frozen=True, slots=True)
class Fare:
    """On what a leg is called: who pays, where to, at what price, and over whose trunk.

    `carrier` is the trunk and what we pay for it; None for the trunk of the settings.
    """

    account: AccountView
    number: str
    rate: RateView
    carrier: Carrier | None = None


@dataclass(frozen=True, slots=True)
class LegView:
    """A leg that is not settled yet."""

    id: str
    request_id: str
    side: Side
    number: str
    account_id: int
    rate_id: int
    terms_id: int
    dialed_at_us: int
    answered_at_us: int | None
    answered_mark: str | None
    """Its answer by the steady clock of the machine that noted it (`Clock.since_s`)."""


@dataclass(frozen=True, slots=True)
class LegEnd:
    """How a leg ended. Times are Asterisk's own, in microseconds; `source` says how we know them."""

    answered_at_us: int | None
    ended_at_us: int
    outcome: Outcome
    cause: int
    source: Source
    clock_suspect: bool = False
    """Wall clock and steady clock disagreed: the shorter time counts."""
    no_media: bool = False
    """Nothing was heard of this party any more, or nothing at all."""
    answer_noted: bool = False
    """Its answer is in the database already, and its account known to be used."""

    @property
    def may_be_unnoted(self) -> bool:
        """Whether it was answered and the database may not know."""
        return self.answered_at_us is not None and not self.answer_noted

    @property
    def duration_us(self) -> int:
        """Answer to hang-up; 0 for an unanswered leg."""
        return 0 if self.answered_at_us is None else max(self.ended_at_us - self.answered_at_us, 0)


@dataclass(frozen=True, slots=True)
class XdrView:
    """One line of the call records. Amounts in micros, times in microseconds."""

    leg_id: str
    request_id: str
    side: Side
    account: str
    number: str
    prefix: str
    dialed_at_us: int
    answered_at_us: int | None
    ended_at_us: int
    duration_us: int
    charged_s: int
    amount_micros: int
    overrun_micros: int
    currency: str
    outcome: str
    cause: int
    source: str
    trunk: str = ""
    """The trunk it went over; "" for the one of the settings."""
    cost_micros: int = 0
    """What we pay for it, in `cost_currency`; that is "" where it is not known."""
    cost_currency: str = ""
    clock_suspect: bool = False
    """A clock was stepped during the call: the shorter of two measured times was charged."""
    no_media: bool = False
    """No sound came from this party: from the start of the talk, or so long that Asterisk ended the leg."""


_OPEN_LEGS = """SELECT id, request_id, side, number, account_id, rate_id, terms_id, dialed_at_us, answered_at_us,
    answered_mark FROM leg WHERE state <> 'settled'"""
_OPEN_BY_SIDE = "SELECT side, COUNT(*) FROM leg WHERE state <> 'settled' GROUP BY side"
_ALL_OPEN = f"{_OPEN_LEGS} ORDER BY dialed_at_us"
_OPEN_OF = f"{_OPEN_LEGS} AND request_id = ? ORDER BY dialed_at_us"
_ANSWERED = """UPDATE leg SET state = 'answered', answered_at_us = ?, answered_mark = ?
    WHERE id = ? AND state = 'dialing'
    RETURNING account_id, side, request_id, (SELECT told FROM request WHERE request.id = leg.request_id)"""
_LOCKED = f"""SELECT {LOCKED_HOLD}, leg.request_id, leg.side, leg.number, leg.account_id, leg.rate_id,
    leg.terms_id, leg.state, leg.dialed_at_us, leg.answered_at_us, account.number,
    leg.trunk_id, leg.cost_rate_id, leg.cost_terms_id, trunk.name, tariff.currency, request.told,
    book.credit_limit_micros, product.low_balance_micros, leg.reserved_micros, leg.reserved_s, {RESERVED_BEFORE},
    request.triggered_by, request.ani, request.subscriber_id, request.link, request.source
    FROM leg JOIN hold ON hold.leg_id = leg.id JOIN book ON book.id = hold.book_id
    JOIN request ON request.id = leg.request_id JOIN account ON account.id = leg.account_id
    JOIN product ON product.id = account.product_id LEFT JOIN trunk ON trunk.id = leg.trunk_id
    LEFT JOIN tariff_terms AS cost ON cost.id = leg.cost_terms_id LEFT JOIN tariff ON tariff.id = cost.tariff_id"""
_LOCK_LEG = f"{_LOCKED} WHERE leg.id = ? FOR NO KEY UPDATE OF leg, hold, book"
_LOCK_OPEN_LEGS = f"""{_LOCKED} WHERE leg.request_id = ? AND leg.state <> 'settled'
    ORDER BY leg.id DESC FOR NO KEY UPDATE OF request, leg, hold, book"""
_MINE = f"""SELECT request.told, leg.request_id, hold.state, {NEVER_CALLED}, {SET_ASIDE} FROM request
    LEFT JOIN leg ON leg.id = ? LEFT JOIN hold ON hold.leg_id = leg.id
    WHERE request.id = ? AND request.incarnation = ? FOR NO KEY UPDATE OF request"""
_MINE_BESIDE = f"""SELECT request.told, leg.request_id, hold.state, {NEVER_CALLED}, {SET_ASIDE},
    beside.book_id, beside.amount_micros, beside.state
    FROM request JOIN hold AS beside ON beside.leg_id = ?
    LEFT JOIN leg ON leg.id = ? LEFT JOIN hold ON hold.leg_id = leg.id
    WHERE request.id = ? AND request.incarnation = ? FOR NO KEY UPDATE OF request, beside"""
_OPEN_OF_REQUEST = "SELECT id FROM leg WHERE request_id = ? AND state <> 'settled'"
_LOCKS_OF_ALL = (
    "SELECT 1 FROM request WHERE id = ? FOR NO KEY UPDATE",
    f"{_OPEN_OF_REQUEST} ORDER BY id FOR NO KEY UPDATE",
    f"SELECT 1 FROM hold WHERE leg_id IN ({_OPEN_OF_REQUEST}) ORDER BY leg_id FOR NO KEY UPDATE",
    f"""SELECT 1 FROM book WHERE id IN (SELECT book_id FROM hold WHERE leg_id IN ({_OPEN_OF_REQUEST}))
        ORDER BY id FOR NO KEY UPDATE""",
)
_SETTLED = "UPDATE leg SET state = ?, answered_at_us = ? WHERE id = ?"
_USE = "UPDATE account SET first_used_at_us = COALESCE(first_used_at_us, ?), last_used_at_us = ?"
_USED = f"{_USE} WHERE id = ?"
_USED_BY = f"{_USE} WHERE id = (SELECT account_id FROM leg WHERE id = ? AND state = 'dialing')"


class _LockedLeg(NamedTuple):
    """What settling needs of a leg, which no other transaction changes before this one is over: `_LOCKED`."""

    hold: LockedHold
    request_id: str
    side: Side
    number: str
    account_id: int
    rate_id: int
    terms_id: int
    state: str
    dialed_at_us: int
    answered_at_us: int | None
    account: str
    trunk_id: int | None
    cost_rate_id: int | None
    cost_terms_id: int | None
    trunk: str | None
    cost_currency: str | None
    told: str
    credit_limit_micros: int
    low_balance_micros: int | None
    reserved_micros: int | None
    reserved_s: int | None
    before_s: int
    before_micros: int
    reserved_day: int
    triggered_by: str
    ani: str
    subscriber_id: int | None
    link: str
    source: str

    @property
    def cause(self) -> Cause:
        """Who is behind it."""
        shared = self.account_id != self.subscriber_id
        asked = self.triggered_by, self.ani, self.link, self.source
        return cause_of_leg(self.account, self.number, self.side, shared, *asked)

    @classmethod
    def of(cls, row: Sequence[Any], chains: dict[int, Chain]) -> _LockedLeg:
        """A row of `_LOCKED`; `chains` as for `LockedHold.of`."""
        return cls(LockedHold.of(row[:_HELD], chains), *row[_HELD:])

    def falls_below(self, before_micros: int) -> bool:
        """Whether the funds were enough before, and are less now than its product wants to be told of."""
        if self.low_balance_micros is None:
            return False
        least_micros = self.low_balance_micros - self.credit_limit_micros
        return self.hold.chain.balance_micros < least_micros <= before_micros


_HELD = 12  # columns of `_LOCKED` are those of `LOCKED_HOLD`
_XDR_COLUMNS = tuple(f.name for f in fields(XdrView) if f.name not in ("account", "trunk"))


class Calls:
    """The leg and xDR tables."""

    def __init__(
        self, database: Database, ledger: Ledger, tariffs: Tariffs, fraud: Fraud, clock: Clock, me: Identity
    ) -> None:
        self._database = database
        self._me = me
        self._ledger = ledger
        self._tariffs = tariffs
        self._fraud = fraud
        self._clock = clock

    def lock(self, *leg_ids: str, books: Iterable[int]) -> None:
        """Within a transaction that changes more than one hold or book: keep others off all of them first.

        Everybody locks in one order: the request, its legs, the account, holds, books; of one kind by id. So no two
        ever wait for each other.
        """
        if self._database.alone:
            return
        for leg_id in sorted(leg_ids):
            run("SELECT 1 FROM hold WHERE leg_id = ? FOR NO KEY UPDATE", leg_id)
        for book_id in sorted(set(books)):
            run("SELECT 1 FROM book WHERE id = ? FOR NO KEY UPDATE", book_id)

    @unit
    def open_leg(
        self,
        leg_id: str,
        request_id: str,
        side: Side,
        fare: Fare,
        hold_micros: int,
        held_s: int = 0,
        *,
        dialed_at_us: int | None = None,
        beside: tuple[str, int] | None = None,
    ) -> bool:
        """Note a leg and hold its funds before it is dialled; False, and nothing noted, when they do not suffice.

        The hold pays for `held_s` seconds, which budgets of minutes count from now on. The hold of the leg `beside`
        it is made so much in the same moment: both, or none.

        Again for a leg that is noted already, because the answer was lost: True, and it has what it held then.
        `dialed_at_us` is now by Asterisk's clock, as all times of a leg are; None for our own. Raises NotOurs when
        another node has taken the call over, NotAllowed when the fraud control holds it back.
        """
        subjects = self._fraud.budgets.subjects(Cause(fare.account.number, fare.number, side))
        fraud = *asked_prefixes(fare.number), *asked_subjects(subjects, self._clock.now_us())
        # Locked, so that it is not taken over before the commit.
        whose = leg_id, request_id, self._me.incarnation
        mine = one(_MINE_BESIDE, *fraud, beside[0], *whose) if beside else one(_MINE, *fraud, *whose)
        if mine is None:
            raise NotOurs(f"leg {leg_id}: request {request_id} does not belong to this node")
        told, known_of, hold_state, never, set_aside, *beside_now = mine
        if known_of is not None:
            require(
                known_of == request_id and hold_state == HoldState.OPEN, f"leg id {leg_id} was already used"
            )
            return True
        if trouble := fraud_trouble(set_aside, never):
            raise NotAllowed(trouble)
        change = None
        if beside:
            book_id, held_micros, state = beside_now
            change = HoldChange(beside[0], book_id, held_micros, state, beside[1])
        now_us = self._clock.now_us() if dialed_at_us is None else dialed_at_us
        held = self._note(leg_id, request_id, side, fare, hold_micros, held_s, now_us, change)
        if held and side == "b" and told:
            note_step(request_id, Step.CALLING_SECOND, now_us)
        return held

    def open_first_leg(
        self, leg_id: str, request_id: str, fare: Fare, hold_micros: int, held_s: int, dialed_at_us: int
    ) -> bool:
        """The same for leg A of a request that this very transaction has noted, so that nobody else can have it."""
        return self._note(leg_id, request_id, "a", fare, hold_micros, held_s, dialed_at_us, None)

    def _note(
        self,
        leg_id: str,
        request_id: str,
        side: Side,
        fare: Fare,
        hold_micros: int,
        held_s: int,
        dialed_at_us: int,
        change: HoldChange | None,
    ) -> bool:
        ahead = Held(fare.number, side, held_s, hold_micros, fare.account.currency)
        insert(
            LegRow,
            id=leg_id,
            request_id=request_id,
            side=side,
            number=fare.number,
            account_id=fare.account.id,
            rate_id=fare.rate.id,
            terms_id=fare.rate.terms_id,
            state=LegState.DIALING.value,
            dialed_at_us=dialed_at_us,
            **_carried(fare.carrier),
            **ahead.columns(self._fraud.budgets, self._clock.now_us()),
        )
        if not self._ledger.hold(leg_id, fare.account.book_id, hold_micros, change):
            run("DELETE FROM leg WHERE id = ?", leg_id)
            return False
        self._fraud.reserve(ahead)
        return True

    @unit
    def change_hold(self, leg_id: str, held: Held) -> bool:
        """Make the hold of an open leg so much in all; False when it cannot grow that far.

        Raises OverBudget when its range or number has no budget for that.
        """
        if not self._ledger.change_hold(leg_id, held.micros):
            return False
        self._fraud.reserve_more(leg_id, held)
        return True

    def leg_answered(
        self, leg_id: str, answered_at_us: int, ago_s: float = 0.0, doubt_s: float = 0.0
    ) -> None:
        """Asterisk has reported the answer, which came `ago_s` seconds ago by a clock that never jumps, or up to
        `doubt_s` later.
        """
        # Marked before the database is asked, which may be away for seconds.
        self._note_answer(leg_id, answered_at_us, doubted(self._clock.mark(ago_s), doubt_s))

    @unit
    def _note_answer(self, leg_id: str, answered_at_us: int, mark: str) -> None:
        leg = one(_ANSWERED, answered_at_us, mark, leg_id)
        if leg is None:
            return
        account_id, side, request_id, told = leg
        self._used(account_id, answered_at_us)
        if side == "b" and told:
            note_step(request_id, Step.CONNECTED, self._clock.now_us())

    @staticmethod
    def _used(account_id: int, at_us: int) -> None:
        """A call was answered: the days an account has after its first and its last use count from now."""
        run(_USED, at_us, at_us, account_id)

    @unit
    def settle(self, leg_id: str, end: LegEnd) -> XdrView:
        """Charge an ended leg, close its hold and write its xDR: once, however often this is called."""
        if end.may_be_unnoted:  # before the hold and the book are locked
            if not self._database.alone:
                run("SELECT 1 FROM leg WHERE id = ? FOR NO KEY UPDATE", leg_id)
            run(_USED_BY, end.answered_at_us, end.answered_at_us, leg_id)
        row = one(_LOCK_LEG, leg_id)
        require(row is not None, f"unknown leg {leg_id}")
        leg = _LockedLeg.of(row, {})
        if leg.state == LegState.SETTLED:
            return xdr_view(Xdr.get(Xdr.leg == leg_id))
        return self._settle_each([(leg, end)])[0]

    @unit
    def settle_all(self, request_id: str, ends: Mapping[str, LegEnd]) -> list[XdrView] | None:
        """Charge every leg of a request that is not settled, so that one commit may end the request too.

        None, and nothing is done, when they have to be settled one by one: one of them is not in `ends`, or an answer
        may not be noted.
        """
        if any(end.may_be_unnoted for end in ends.values()):
            return None
        if len(ends) > 1 and not self._database.alone:
            for statement in _LOCKS_OF_ALL:  # of several legs, all holds before all books
                run(statement, request_id)
        chains: dict[int, Chain] = {}
        legs = [_LockedLeg.of(row, chains) for row in every(_LOCK_OPEN_LEGS, request_id)]
        named = [leg for leg in legs if leg.hold.leg_id in ends]
        before: list[XdrView] = []
        if self._database.noted(f"settled:{request_id}"):
            # An earlier run found no other leg: what is open now and not named is of the next attempt.
            before = [xdr_view(row) for row in Xdr.select().where(Xdr.leg.in_(list(ends)))]
        elif len(named) < len(legs):
            return None
        self._database.note(f"settled:{request_id}")
        return before + self._settle_each([(leg, ends[leg.hold.leg_id]) for leg in named])

    def _settle_each(self, legs: Sequence[tuple[_LockedLeg, LegEnd]]) -> list[XdrView]:
        settled = [self._settle(leg, end) for leg, end in legs]
        # Last, because many calls wait for the counters of what many call.
        self._fraud.count(
            _use(leg, xdr)
            for (leg, _), xdr in zip(legs, settled, strict=True)
            if xdr.outcome not in NOBODY_REACHED or leg.reserved_micros is not None
        )
        return settled

    def _settle(self, leg: _LockedLeg, end: LegEnd) -> XdrView:
        before_micros = leg.hold.chain.balance_micros
        xdr = self._charge(leg, end)
        self._close(leg, xdr)
        if leg.falls_below(before_micros):
            low_micros = leg.low_balance_micros or 0
            note_low_balance(leg.account_id, leg.hold.leg_id, low_micros, self._clock.now_us())
        return xdr

    def _close(self, leg: _LockedLeg, xdr: XdrView) -> None:
        """Note a leg as settled."""
        run(_SETTLED, LegState.SETTLED.value, xdr.answered_at_us, leg.hold.leg_id)
        if leg.side == "b" and leg.told:
            note_step(leg.request_id, Step.SECOND_ENDED, self._clock.now_us())

    def _charge(self, leg: _LockedLeg, end: LegEnd) -> XdrView:
        """Close the leg's hold, charged or not, and write the call record."""
        xdr = self._rated(leg, end)

        def record(overrun_micros: int) -> CallRecord:
            nonlocal xdr
            if overrun_micros:
                xdr = replace(xdr, overrun_micros=overrun_micros)
            values: dict[str, object] = {column: getattr(xdr, column) for column in _XDR_COLUMNS}
            values |= {"account_id": leg.account_id, "trunk_id": leg.trunk_id}
            values["created_at_us"] = self._clock.now_us()
            return CallRecord(Xdr, values, (leg.rate_id, leg.terms_id, leg.cost_rate_id, leg.cost_terms_id))

        if xdr.amount_micros:
            self._ledger.charge(leg.hold, xdr.amount_micros, record)
        else:
            self._ledger.give_back(leg.hold, record)
        return xdr

    def _rated(self, leg: _LockedLeg, end: LegEnd) -> XdrView:
        """The call record but for what the leg cost above its hold."""
        price = self._tariffs.version(leg.rate_id, leg.terms_id).price
        seconds = charged_seconds(end.duration_us) if end.answered_at_us is not None else 0
        return XdrView(
            leg_id=leg.hold.leg_id,
            request_id=leg.request_id,
            side=leg.side,
            account=leg.account,
            number=leg.number,
            prefix=price.rate.prefix,
            dialed_at_us=leg.dialed_at_us,
            answered_at_us=end.answered_at_us,
            ended_at_us=end.ended_at_us,
            duration_us=end.duration_us,
            charged_s=billed_seconds(price, seconds),
            amount_micros=cost_micros(price, seconds, end.answered_at_us or 0),
            overrun_micros=0,
            currency=leg.hold.chain.currency,
            outcome=end.outcome.value,
            cause=end.cause,
            source=end.source,
            trunk=leg.trunk or "",
            cost_micros=self._cost_micros(leg, seconds, end),
            cost_currency=leg.cost_currency or "",
            clock_suspect=end.clock_suspect,
            no_media=end.no_media,
        )

    def _cost_micros(self, leg: _LockedLeg, seconds: int, end: LegEnd) -> int:
        """What we pay for the same seconds, by the rate that was noted with the leg."""
        if leg.cost_rate_id is None or leg.cost_terms_id is None:
            return 0
        price = self._tariffs.version(leg.cost_rate_id, leg.cost_terms_id).price
        return cost_micros(price, seconds, end.answered_at_us or 0)

    @read
    def last_destination(self, account_id: int) -> str | None:
        """The number that the account's newest leg B went to; None where it is forgotten."""
        mine = Xdr.select().where(Xdr.account == account_id, Xdr.side == "b")
        last = mine.order_by(Xdr.id.desc()).first()
        return str(last.number) if last and last.number_salt else None

    @read
    def talks_paid_from(self, book_id: int) -> int:
        """How many legs B have funds of this book held: the calls that share it."""
        held = [hold.leg_id for hold in open_holds(book_id)]
        return int(LegRow.select().where(LegRow.id.in_(held), LegRow.side == "b").count()) if held else 0

    @read
    def open_legs(self, request_id: str | None = None) -> list[LegView]:
        """Legs that are not settled, of one request or of all."""
        rows = every(_OPEN_OF, request_id) if request_id else every(_ALL_OPEN)
        return [LegView(*row) for row in rows]

    @read
    def open_by_side(self) -> dict[str, int]:
        """How many legs are not settled: of side `a`, of side `b`."""
        return {side: int(count) for side, count in every(_OPEN_BY_SIDE)}

    @read
    def open_ids(self) -> set[str]:
        """The legs that are not settled, by name."""
        return {leg_id for (leg_id,) in every("SELECT id FROM leg WHERE state <> 'settled'")}

    @read
    def settled(self, ids: Collection[str]) -> set[str]:
        """Which of these legs are settled: whatever lives of one is nobody's, and nobody pays for it."""
        rows = LegRow.select(LegRow.id).where(LegRow.id.in_(list(ids)), LegRow.state == LegState.SETTLED)
        return {row.id for row in rows}

    @read
    def xdrs(
        self, *, account: str | None = None, request_id: str | None = None, limit: int = 1000
    ) -> list[XdrView]:
        """Call records in the order they ended, the newest `limit` of them."""
        rows = xdr_rows()
        rows = rows.order_by(Xdr.id.desc()).limit(limit)
        if account is not None:
            rows = rows.where(Account.number == account)
        if request_id is not None:
            rows = rows.where(Xdr.request == request_id)
        return [xdr_view(row) for row in reversed(list(rows))]


def _use(leg: _LockedLeg, xdr: XdrView) -> Use:
    """What a settled leg counts for."""
    spent = spent_by(xdr.outcome, xdr.charged_s, xdr.amount_micros, xdr.currency)
    # Before there were `reserved_s`, only ranges counted ahead, and no seconds.
    ahead = None if leg.reserved_micros is None else Spent(0, leg.reserved_s or 0, leg.reserved_micros)
    return Use(leg.cause, spent, ahead, Spent(0, leg.before_s, leg.before_micros), leg.reserved_day)


def _carried(carrier: Carrier | None) -> dict[str, object]:
    if carrier is None:
        return {}
    cost = carrier.cost
    return {"trunk_id": carrier.trunk.id, "cost_rate_id": cost.id, "cost_terms_id": cost.terms_id}


def _side(text: str) -> Side:
    return "a" if text == "a" else "b"


def xdr_rows() -> ModelSelect[Any]:
    """The call records with their accounts and trunks, for `xdr_view`."""
    return Xdr.select(Xdr, Account, Trunk).join(Account).switch(Xdr).join(Trunk, JOIN.LEFT_OUTER)


def xdr_view(row: Xdr) -> XdrView:
    """A row of the call records, with its account and trunk."""
    return XdrView(
        leg_id=row.leg_id,
        request_id=row.request_id,
        side=_side(row.side),
        account=row.account.number,
        number=row.number,
        prefix=row.prefix,
        dialed_at_us=row.dialed_at_us,
        answered_at_us=row.answered_at_us,
        ended_at_us=row.ended_at_us,
        duration_us=row.duration_us,
        charged_s=row.charged_s,
        amount_micros=row.amount_micros,
        overrun_micros=row.overrun_micros,
        currency=row.currency,
        outcome=row.outcome,
        cause=row.cause,
        source=row.source,
        trunk=row.trunk.name if row.trunk else "",
        cost_micros=row.cost_micros,
        cost_currency=row.cost_currency,
        clock_suspect=row.clock_suspect,
        no_media=row.no_media,
    )
