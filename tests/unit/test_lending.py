"""Whose turn it is: whoever asked first, but those first whom somebody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from stasis_callback.clock import Clock, Inbox, wait_until
from stasis_callback.store.database.lending import FIRST_IN_A_ROW, Lending
from stasis_callback.store.database.patience import Patience


class Borrowers:
    """Threads that want the one thing there is; each says who it is when it has it."""

    def __init__(self) -> None:
        self.patience = Patience(Clock())
        self.lending: Lending[str] = Lending(self.patience)
        self.served: Inbox[str] = Clock().inbox()

    def ask(self, name: str, *, first: bool = False) -> None:
        """Let a thread ask for it; returns when the thread waits."""
        waiting = self.lending.waiting
        threading.Thread(target=self._first if first else self._usual, args=[name], daemon=True).start()
        assert wait_until(lambda: self.lending.waiting > waiting, timeout_s=5)

    def order(self, count: int) -> list[str | None]:
        """The order in which threads get it."""
        self.lending.give("turn")
        return [self.served.get(5) for _ in range(count)]

    def _first(self, name: str) -> None:
        with self.patience.first():
            self._usual(name)

    def _usual(self, name: str) -> None:
        thing = self.lending.take()
        if thing is not None:
            self.served.put(name)
            self.lending.give(thing)


@pytest.fixture
def borrowers() -> Borrowers:
    return Borrowers()


def test_whoever_asked_first_has_it_first(borrowers: Borrowers) -> None:
    for name in "abc":
        borrowers.ask(name)
    assert borrowers.order(3) == ["a", "b", "c"]


def test_whom_somebody_waits_for_goes_before_those_who_asked_earlier(borrowers: Borrowers) -> None:
    borrowers.ask("call")
    borrowers.ask("caller", first=True)
    assert borrowers.order(2) == ["caller", "call"]


def test_a_crowd_that_goes_first_does_not_keep_the_others_off(borrowers: Borrowers) -> None:
    borrowers.ask("call")
    for n in range(FIRST_IN_A_ROW + 2):
        borrowers.ask(f"caller {n}", first=True)
    order = borrowers.order(FIRST_IN_A_ROW + 3)
    assert order.index("call") == FIRST_IN_A_ROW


def test_when_nothing_will_come_everybody_is_told(borrowers: Borrowers) -> None:
    told: Inbox[Exception] = Clock().inbox()

    def wait(about: Callable[[], object]) -> None:
        try:
            about()
        except OSError as error:
            told.put(error)

    def first() -> None:
        with borrowers.patience.first():
            borrowers.lending.take()

    for about in (borrowers.lending.take, first):
        threading.Thread(target=wait, args=[about], daemon=True).start()
    assert wait_until(lambda: borrowers.lending.waiting == 2, timeout_s=5)
    borrowers.lending.fail(OSError("gone"))
    assert str(told.get(5)) == str(told.get(5)) == "gone"
