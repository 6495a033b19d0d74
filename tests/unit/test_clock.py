"""Time, and the inbox: the one way to wait."""

from __future__ import annotations

import threading
import time

import pytest

from stasis_callback.clock import Clock, Inbox, doubt_of_s, doubted, iso, seconds_between, wait_until


def test_the_clock_agrees_with_the_machine() -> None:
    clock = Clock()
    assert abs(clock.now_us() - time.time_ns() // 1000) < 5_000_000
    before = clock.monotonic_s()
    assert clock.monotonic_s() >= before


def test_items_come_out_in_the_order_they_went_in() -> None:
    inbox = Clock().inbox()
    for item in (1, 2, 3):
        inbox.put(item)
    assert len(inbox) == 3
    assert [inbox.get(0), inbox.get(None), inbox.get(0.0)] == [1, 2, 3]
    assert len(inbox) == 0


def test_an_empty_inbox_gives_nothing_when_the_time_is_up() -> None:
    inbox = Clock().inbox()
    before = time.monotonic()
    assert inbox.get(0.05) is None
    assert 0.05 <= time.monotonic() - before < 2
    assert inbox.get(0) is None
    assert inbox.get(-1) is None


@pytest.mark.parametrize("timeout_s", [30, None])
def test_a_waiting_thread_wakes_as_soon_as_something_comes(timeout_s: float | None) -> None:
    inbox = Inbox[str]()
    got: list[str | None] = []
    waiter = threading.Thread(target=lambda: got.append(inbox.get(timeout_s)))
    waiter.start()
    inbox.put("hang-up")
    waiter.join(5)
    assert got == ["hang-up"]


def test_nothing_is_lost_when_many_put_at_once() -> None:
    inbox = Inbox[int]()

    def put_all(first: int) -> None:
        for i in range(200):
            inbox.put(first + i)

    threads = [threading.Thread(target=put_all, args=(first,)) for first in range(0, 1600, 200)]
    for thread in threads:
        thread.start()
    got = [inbox.get(5) for _ in range(1600)]
    for thread in threads:
        thread.join()
    assert sorted(item for item in got if item is not None) == list(range(1600))


@pytest.mark.parametrize(
    ("at_us", "text"),
    [
        (0,                     "1970-01-01T00:00:00.000Z"),
        (1_795_554_245_123_999, "2026-11-24T21:04:05.123Z"),
        (1_795_554_245_000_001, "2026-11-24T21:04:05.000Z"),
        (-1,                    "1969-12-31T23:59:59.999Z"),
    ],
)  # fmt: skip
def test_an_instant_is_written_in_utc_to_the_millisecond(at_us: int, text: str) -> None:
    assert iso(at_us) == text


def test_a_mark_may_say_how_much_later_the_moment_may_have_been() -> None:
    clock = Clock()
    earlier = doubted(clock.mark(10.0), 2.5)
    assert doubt_of_s(earlier) == 2.5
    assert doubt_of_s(clock.mark()) == 0.0
    assert doubted(clock.mark(), 0.0).count(":") == 1
    lived_s = seconds_between(earlier, clock.mark())
    assert lived_s is not None
    assert 10.0 <= lived_s < 15.0
    assert seconds_between(earlier, "") is None  # of a call that was never seen alive


def test_waiting_for_a_condition_ends_when_it_holds_or_the_time_is_up() -> None:
    tries = iter([False, False, True])
    assert wait_until(lambda: next(tries), timeout_s=5, every_s=0.001)
    assert not wait_until(lambda: False, timeout_s=0.02, every_s=0.001)
    assert wait_until(lambda: True, timeout_s=0)
