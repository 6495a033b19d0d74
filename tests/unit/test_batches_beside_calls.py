"""Closing a batch of accounts and blocking one of vouchers beside calls: between any two of their small transactions
others get their turn, what was broken off is gone on with, and the audit log says who did it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from shop import NOON_US, SetClock, Shop

from stasis_callback.admin.commands import run
from stasis_callback.clock import Clock, Inbox
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.accounts import vouchers
from stasis_callback.store.accounts.closing import AT_ONCE, BatchClosing
from stasis_callback.store.accounts.codes import READABLE
from stasis_callback.store.accounts.opening import BatchOpening
from stasis_callback.store.audit import verify
from stasis_callback.testing.hiccups import MOMENTS, Moment, at_random, hiccups, once

ACCOUNTS, VOUCHERS = 2 * AT_ONCE + 5, 5


class Resting(SetClock):
    """Does something in each pause, for which all others wait."""

    def __init__(self, at_each_rest: Callable[[], object]) -> None:
        super().__init__(NOON_US)
        self.at_each_rest = at_each_rest
        self.rests = 0

    def inbox(self) -> Inbox[Any]:
        return _Pause(self)


class _Pause(Inbox[Any]):
    def __init__(self, clock: Resting) -> None:
        super().__init__()
        self._clock = clock

    def get(self, timeout_s: float | None) -> None:
        self._clock.rests += 1
        self._clock.at_each_rest()


@pytest.fixture
def jana(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A batch of accounts with one dollar each, and one of vouchers; Jana works on them."""
    monkeypatch.setattr(vouchers, "ROWS_AT_ONCE", 2)
    monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", shop.url)
    numbers = [f"7{n:03}" for n in range(ACCOUNTS)]
    stores = shop.stores
    BatchOpening(
        stores.database,
        stores.accounts,
        stores.ledger,
        shop.clock,
        "people",
        "callback",
        "spring",
        1_000_000,
        "x",
    ).open_all(numbers)
    stores.vouchers.generate("spring", VOUCHERS, 5_000_000, "USD", length=12, alphabet=READABLE)
    stores.database.operator = "jana"
    return shop


def closing(shop: Shop, clock: Clock | None = None, *, write_off: bool = True) -> BatchClosing:
    stores = shop.stores
    return BatchClosing(stores.database, stores.accounts, clock or shop.clock, "spring", write_off, "jana")


def elsewhere(work: Callable[[], object]) -> Any:
    """Another thread does it at once; it fails where it would have to wait for this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(timeout=5)


def noted(shop: Shop, noun: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Who did what, oldest first."""
    entries = shop.stores.trail.newest(noun=noun, name="spring", operator="jana")
    return [(entry.operator, entry.before, entry.after) for entry in reversed(entries)]


def statuses(shop: Shop) -> dict[str, int]:
    return shop.stores.search.batch("spring")


# --- accounts -----------------------------------------------------------------------------------------------------


def test_calls_are_accepted_between_the_accounts_that_are_closed(jana: Shop) -> None:
    caller = jana.account("caller")
    clock = Resting(lambda: elsewhere(lambda: jana.missed_call(caller)))
    assert closing(jana, clock).close_all() == ACCOUNTS
    assert (statuses(jana), clock.rests) == ({"closed": ACCOUNTS}, 2)
    assert noted(jana, "batch") == [("jana", {"active": ACCOUNTS}, {"closed": ACCOUNTS})]
    written_off = [row for row in jana.rows()["Transfer"] if row["key"].startswith("adjust:close:")]
    assert [row["operator"] for row in written_off] == ["jana"] * ACCOUNTS
    assert verify(jana.stores.database, jana.stores.tariffs) == []


def test_the_command_closes_them_in_small_transactions(jana: Shop) -> None:
    begun: list[str] = []
    with hiccups(jana.stores.database, lambda asked: begun.append(asked)):
        done = run(["account", "close-batch", "spring", "--write-off"], "jana", jana.stores)
    assert (done.code, done.text) == (0, f"{ACCOUNTS} accounts of batch spring are closed\n")
    assert begun.count("transaction") == 3
    assert noted(jana, "batch") == [("jana", {"active": ACCOUNTS}, {"closed": ACCOUNTS})]


def test_a_run_that_was_broken_off_is_noted_and_gone_on_with(jana: Shop) -> None:
    def interrupt() -> None:
        assert len(noted(jana, "batch")) == 1, "also when the process is killed in this moment"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        closing(jana, Resting(interrupt)).close_all()
    left = {"active": ACCOUNTS - AT_ONCE, "closed": AT_ONCE}
    assert statuses(jana) == left
    assert closing(jana).close_all() == ACCOUNTS - AT_ONCE
    assert noted(jana, "batch") == [
        ("jana", {"active": ACCOUNTS}, {"closed": ACCOUNTS}),
        ("jana", {"closed": ACCOUNTS}, left),
        ("jana", left, {"closed": ACCOUNTS}),
    ]
    assert closing(jana).close_all() == 0
    assert len(noted(jana, "batch")) == 3
    assert verify(jana.stores.database, jana.stores.tariffs) == []


@pytest.mark.parametrize("why", ["live call", "balance"])
def test_where_one_cannot_be_closed_none_is(jana: Shop, why: str) -> None:
    last = jana.stores.accounts.named(f"7{ACCOUNTS - 1:03}")
    if why == "live call":
        jana.missed_call(last)
    before = jana.rows()
    with pytest.raises(InvalidInput, match=why):
        closing(jana, write_off=why == "live call").close_all()
    assert jana.rows() == before


def test_a_call_that_begins_meanwhile_ends_it_and_the_command_says_how_far_it_came(
    jana: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = jana.stores.accounts.named(f"7{ACCOUNTS - 1:03}")
    clock = Resting(lambda: elsewhere(lambda: jana.missed_call(last)))
    monkeypatch.setattr("stasis_callback.admin.accounts.batches.Clock", lambda: clock)
    done = run(["account", "close-batch", "spring", "--write-off"], "jana", jana.stores)
    assert done.code == 2
    assert (
        f"{2 * AT_ONCE} accounts of batch spring were closed, 5 were not: run the command again"
        in done.complaint
    )
    assert f"account {last.number} has a live call" in done.complaint
    left = {"active": 5, "closed": 2 * AT_ONCE}
    assert statuses(jana) == left
    assert noted(jana, "batch")[-1] == ("jana", {"closed": ACCOUNTS}, left)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_hiccup_closes_each_account_once(jana: Shop, moment: Moment) -> None:
    with hiccups(jana.stores.database, once(moment)):
        assert closing(jana).close_all() == ACCOUNTS
    assert noted(jana, "batch") == [("jana", {"active": ACCOUNTS}, {"closed": ACCOUNTS})]
    keys = [row["key"] for row in jana.rows()["Transfer"] if row["key"].startswith("adjust:close:")]
    assert len(keys) == ACCOUNTS
    assert verify(jana.stores.database, jana.stores.tariffs) == []


# --- vouchers -----------------------------------------------------------------------------------------------------


def test_calls_are_accepted_between_the_vouchers_that_are_blocked(
    jana: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = jana.account("caller")
    clock = Resting(lambda: elsewhere(lambda: jana.missed_call(caller)))
    monkeypatch.setattr(jana.stores.vouchers, "_clock", clock)
    done = run(["voucher", "block", "spring"], "jana", jana.stores)
    assert (done.code, done.text) == (0, f"{VOUCHERS} vouchers of batch spring are blocked\n")
    assert clock.rests == 2
    assert noted(jana, "voucher") == [
        ("jana", {"new": VOUCHERS, "blocked": 0}, {"new": 0, "blocked": VOUCHERS})
    ]


def test_blocking_that_was_broken_off_is_noted_and_gone_on_with(
    jana: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        assert len(noted(jana, "voucher")) == 1, "also when the process is killed in this moment"
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(jana.stores.vouchers, "_clock", Resting(interrupt))
        with pytest.raises(KeyboardInterrupt):
            jana.stores.vouchers.block("spring", blocked=True)
    assert jana.stores.vouchers.block("spring", blocked=True) == 3
    assert [after for _, _, after in noted(jana, "voucher")] == [
        {"new": 0, "blocked": 5},
        {"new": 3, "blocked": 2},
        {"new": 0, "blocked": 5},
    ]


def test_a_voucher_that_is_redeemed_meanwhile_is_not_noted_as_blocked(
    jana: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    jana.account("caller")
    *_, last = jana.stores.vouchers.generate("may", 5, 5_000_000, "USD", length=12, alphabet=READABLE)
    left = [last]
    clock = Resting(
        lambda: left and elsewhere(lambda: jana.stores.vouchers.redeem(left.pop(), "caller", "x"))
    )
    monkeypatch.setattr(jana.stores.vouchers, "_clock", clock)
    assert jana.stores.vouchers.block("may", blocked=True) == 4
    newest = jana.stores.trail.newest(noun="voucher", name="may", operator="jana")[0]
    assert (newest.before, newest.after) == ({"blocked": 5}, {"blocked": 4})


@pytest.mark.parametrize("seed", range(5))
def test_hiccups_neither_lose_nor_repeat_what_is_noted(jana: Shop, seed: int) -> None:
    with hiccups(jana.stores.database, at_random(seed, share=0.3)):
        assert jana.stores.vouchers.block("spring", blocked=True) == VOUCHERS
    assert noted(jana, "voucher") == [
        ("jana", {"new": VOUCHERS, "blocked": 0}, {"new": 0, "blocked": VOUCHERS})
    ]


def test_nobody_rests_within_a_transaction(jana: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a command is only tried: a pause there would be one more for all who wait for its end."""
    clock = Resting(lambda: pytest.fail("a rest within a transaction"))
    monkeypatch.setattr(jana.stores.vouchers, "_clock", clock)
    with jana.stores.database.transaction():
        assert jana.stores.vouchers.block("spring", blocked=True) == VOUCHERS
        assert closing(jana, clock).close_all() == ACCOUNTS
    assert clock.rests == 0
