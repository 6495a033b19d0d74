"""The ledger against a model in plain Python, through thousands of histories; invariants checked after every step."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from databases import Databases
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from profiles import count
from shop import Shop

from stasis_callback.core.errors import InvalidInput, InvariantBroken
from stasis_callback.store.money.views import Settlement

amounts = st.integers(0, 40)
"""Micros: small, so that limits are met often."""


@dataclass
class Leg:
    """The hold of a leg in the model."""

    account: int
    held: int
    charged: int | None = None
    open: bool = True


@dataclass
class Model:
    """Funds as anybody would note them on paper: no double entry, nothing kept that can be worked out."""

    credit: list[int]
    topped_up: list[int]
    legs: list[Leg] = field(default_factory=list)
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    caps: list[int | None] = field(default_factory=lambda: [None, None])
    reversed: set[int] = field(default_factory=set)

    def held(self, account: int) -> int:
        return sum(leg.held for leg in self.legs if leg.open and leg.account == account)

    def paid(self, leg: Leg) -> int:
        return min(leg.charged or 0, leg.held)

    def balance(self, account: int) -> int:
        return self.topped_up[account] - sum(self.paid(leg) for leg in self.legs if leg.account == account)

    def funds(self, account: int) -> int:
        return self.balance(account) - self.held(account) + self.credit[account]

    def free(self, account: int) -> int:
        cap = self.caps[account]
        if cap is None:
            return self.funds(account)
        # All of it is one day. What was taken back later counts as spent all the same.
        spent = sum(self.paid(leg) for leg in self.legs if leg.account == account)
        return min(self.funds(account), cap - spent - self.held(account))


class LedgerMachine(RuleBasedStateMachine):
    """Two accounts; legs are opened, changed, charged below, at and above their hold, charged again, given back."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.shop = Shop(Path(self.folder.name))
        self.ledger = self.shop.stores.ledger
        self.history: list[dict[int, tuple[object, ...]]] = [{}, {}]

    def teardown(self) -> None:
        self.shop.stores.database.close()
        Databases.remove(self.shop.url)
        self.folder.cleanup()

    @initialize(credit=st.tuples(amounts, amounts))
    def open_accounts(self, credit: tuple[int, int]) -> None:
        self.accounts = [
            self.shop.account(number, funds="0", credit_limit_micros=limit)
            for number, limit in zip(("100", "200"), credit, strict=True)
        ]
        self.requests = [self.shop.request(account) for account in self.accounts]
        self.model = Model(list(credit), [0, 0])

    # --- what can happen -----------------------------------------------------------------------------------------

    @rule(account=st.integers(0, 1), amount=amounts, key=st.sampled_from("abcdef"))
    def top_up(self, account: int, amount: int, key: str) -> None:
        def act() -> bool:
            return self.ledger.top_up(self.accounts[account].book_id, amount, key=key)

        if amount == 0:
            with pytest.raises(InvalidInput):
                act()
        elif key not in self.model.keys:
            assert act() is True
            self.model.keys[key] = (account, amount)
            self.model.topped_up[account] += amount
        elif self.model.keys[key] == (account, amount):
            assert act() is False
        else:
            with pytest.raises(InvariantBroken):
                act()

    @rule(account=st.integers(0, 1), amount=amounts)
    def open_leg(self, account: int, amount: int) -> None:
        enough = amount <= self.model.free(account) or amount == 0
        who, request = self.accounts[account], self.requests[account]
        hold = f"0.{amount:06d}"
        assert self.shop.leg(f"leg-{len(self.model.legs)}", who, request, hold=hold) is enough
        if enough:
            self.model.legs.append(Leg(account, amount))

    def pick(self, which: int) -> tuple[str, Leg]:
        number = which % len(self.model.legs)
        return f"leg-{number}", self.model.legs[number]

    @precondition(lambda self: self.model.legs)
    @rule(which=st.integers(0, 50), amount=amounts)
    def change_hold(self, which: int, amount: int) -> None:
        leg_id, leg = self.pick(which)
        if not leg.open:
            with pytest.raises(InvariantBroken):
                self.ledger.change_hold(leg_id, amount)
            return
        enough = amount - leg.held <= max(self.model.free(leg.account), 0)
        assert self.ledger.change_hold(leg_id, amount) is enough
        if enough:
            leg.held = amount

    @precondition(lambda self: self.model.legs)
    @rule(which=st.integers(0, 50), more=st.integers(-10, 10))
    def settle(self, which: int, more: int) -> None:
        leg_id, leg = self.pick(which)
        amount = max(leg.held + more, 0)
        if not leg.open and leg.charged != amount:
            with pytest.raises(InvariantBroken):
                self.ledger.settle(leg_id, amount)
            return
        overrun = max(amount - leg.held, 0)
        assert self.ledger.settle(leg_id, amount) == Settlement(amount - overrun, overrun)
        leg.charged, leg.open = amount, False

    @precondition(lambda self: any(leg.charged is not None for leg in self.model.legs))
    @rule(which=st.integers(0, 50))
    def settle_again(self, which: int) -> None:
        settled = [n for n, leg in enumerate(self.model.legs) if leg.charged is not None]
        number = settled[which % len(settled)]
        amount = self.model.legs[number].charged
        assert amount is not None
        overrun = max(amount - self.model.legs[number].held, 0)
        assert self.ledger.settle(f"leg-{number}", amount) == Settlement(amount - overrun, overrun)

    @precondition(lambda self: self.model.legs)
    @rule(which=st.integers(0, 50))
    def void(self, which: int) -> None:
        leg_id, leg = self.pick(which)
        self.ledger.void(leg_id)
        leg.open = False

    @rule(account=st.integers(0, 1), limit=amounts)
    def set_credit_limit(self, account: int, limit: int) -> None:
        if self.model.funds(account) - self.model.credit[account] + limit < 0:
            with pytest.raises(InvalidInput):
                self.ledger.set_credit_limit(self.accounts[account].book_id, limit)
            return
        self.ledger.set_credit_limit(self.accounts[account].book_id, limit)
        self.model.credit[account] = limit

    @rule(account=st.integers(0, 1), cap=st.none() | amounts)
    def set_daily_cap(self, account: int, cap: int | None) -> None:
        self.ledger.set_daily_cap(self.accounts[account].book_id, cap)
        self.model.caps[account] = cap

    @rule(account=st.integers(0, 1), amount=st.integers(-40, 40).filter(bool), number=st.integers())
    def adjust(self, account: int, amount: int, number: int) -> None:
        def act() -> bool:
            key = f"{number}-{len(self.history[1])}"
            return self.ledger.adjust(
                self.accounts[account].book_id, amount, key=key, reason="because", operator="anna"
            )

        if amount < 0 and self.model.funds(account) + amount < 0:
            with pytest.raises(InvalidInput):
                act()
            return
        assert act() is True
        self.model.topped_up[account] += amount

    @precondition(lambda self: self.history[1])
    @rule(which=st.integers(0, 50))
    def take_back(self, which: int) -> None:
        """Any posting, once; a reversal itself cannot be reversed."""
        transfers = self.shop.rows()["Transfer"]
        transfer = transfers[which % len(transfers)]
        lines = [e for e in self.shop.rows()["Entry"] if e["transfer"] == transfer["id"]]
        books = {account.book_id: number for number, account in enumerate(self.accounts)}
        moved = {books[e["book"]]: e["amount_micros"] for e in lines if e["book"] in books}
        gone = transfer["id"] in self.model.reversed or transfer["kind"] == "reversal"
        if gone or any(amount > 0 and self.model.funds(a) < amount for a, amount in moved.items()):
            with pytest.raises(InvalidInput):
                self.ledger.reverse(transfer["id"], reason="because", operator="anna")
            return
        self.ledger.reverse(transfer["id"], reason="because", operator="anna")
        self.model.reversed.add(transfer["id"])
        for account, amount in moved.items():
            self.model.topped_up[account] -= amount

    @precondition(lambda self: self.model.legs)
    @rule(which=st.integers(0, 50), amount=amounts)
    def fail_half_way(self, which: int, amount: int) -> None:
        """Several changes in one unit, then an error: none of them has an effect."""
        leg_id, leg = self.pick(which)
        with suppress(ZeroDivisionError), self.shop.stores.database.transaction():
            self.ledger.top_up(self.accounts[leg.account].book_id, amount + 1, key="never")
            if leg.open:
                self.ledger.change_hold(leg_id, 0)
                self.ledger.settle(leg_id, amount)
            raise ZeroDivisionError

    # --- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def the_ledger_agrees_with_the_model(self) -> None:
        for number, account in enumerate(self.accounts):
            now = self.shop.stores.accounts.get(account.id)
            model = self.model
            assert now.balance_micros == model.balance(number)
            assert now.held_micros == model.held(number)
            assert now.credit_limit_micros == model.credit[number]
            assert self.ledger.available_micros(account.book_id) == model.free(number)
            assert model.funds(number) >= 0  # I4

    @invariant()
    def the_books_hold_the_invariants(self) -> None:
        rows = self.shop.rows()
        entries, books, holds = rows["Entry"], rows["Book"], rows["Hold"]
        transfers = {row["id"]: row for row in rows["Transfer"]}
        for transfer in transfers:  # I1
            assert sum(e["amount_micros"] for e in entries if e["transfer"] == transfer) == 0
        for book in books:
            if not book["house"]:  # I2
                assert book["balance_micros"] == sum(
                    e["amount_micros"] for e in entries if e["book"] == book["id"]
                )
            mine = [h["amount_micros"] for h in holds if h["book"] == book["id"] and h["state"] == "open"]
            assert book["held_micros"] == sum(mine) >= 0  # I3
        states = {hold["leg"]: hold["state"] for hold in holds}
        for number, leg in enumerate(self.model.legs):
            settled = [t for t in transfers.values() if t["key"] == f"settle:leg-{number}"]
            assert len(settled) == (leg.charged is not None)  # I7
            expected = "open" if leg.open else "voided" if leg.charged is None else "posted"
            assert states[f"leg-{number}"] == expected  # I5
        customers = {book["id"] for book in books if not book["house"]}
        for transfer in (t for t in transfers.values() if t["kind"] == "settle"):  # I6
            lines = [e for e in entries if e["transfer"] == transfer["id"] and e["book"] in customers]
            hold = next(h for h in holds if transfer["key"] == f"settle:{h['leg']}")
            assert -sum(e["amount_micros"] for e in lines) <= hold["amount_micros"]
        overrun = next((b["id"] for b in books if b["name"] == "house:overrun:USD"), None)
        charges = {number for number, t in transfers.items() if t["kind"] == "settle"}
        booked = -sum(
            e["amount_micros"] for e in entries if e["book"] == overrun and e["transfer"] in charges
        )
        assert booked == sum(max((leg.charged or 0) - leg.held, 0) for leg in self.model.legs)

    @invariant()
    def the_journal_only_grows(self) -> None:
        """I8 and I9: what was written once stays as it was, whatever came later."""
        rows = self.shop.rows()
        for kept, table in zip(self.history, ("Entry", "Transfer"), strict=True):
            now = {row["id"]: tuple(row.values()) for row in rows[table]}
            assert {number: now.get(number) for number in kept} == kept
            kept.update(now)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(deadline=None, max_examples=count(25, 500), stateful_step_count=25)
TestLedger.pytestmark = pytest.mark.timeout(count(300, 7200))  # type: ignore[attr-defined]  # for pytest, not for hypothesis
