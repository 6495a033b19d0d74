"""Windows of time in the database that a clock has written which was ahead for a moment, or was put back since: none
stays closed until the time that the clock said. And windows are what they were where two clocks differ by seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from shop import Shop

from stasis_callback.core.fraud import Spent
from stasis_callback.core.limits import Limit
from stasis_callback.core.options import CallOptions
from stasis_callback.core.progress import Step
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Ending
from stasis_callback.mail.notices import AGAIN as MAIL_AGAIN
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.accounts.notices import note_alarm
from stasis_callback.store.database.limits import CLOCKS_APART_S, Addition
from stasis_callback.store.database.outbox import LONGEST_PAUSE_S
from stasis_callback.web.webhooks import AGAIN as WEBHOOK_AGAIN

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
LOCK_S = 900
THREE_AN_HOUR = Limit(3, HOUR_S)


@contextmanager
def ahead(shop: Shop, seconds: float) -> Iterator[None]:
    """The clock is ahead for a moment."""
    shop.clock.passes(seconds)
    yield
    shop.clock.passes(-seconds)


# --- one callback per window ------------------------------------------------------------------------------------


def served(shop: Shop, account: AccountView, window_s: int = MINUTE_S) -> None:
    """A missed call, and a callback that reached somebody."""
    assert shop.missed_call(account, dedupe_window_s=str(window_s)) == ""
    (request,) = shop.stores.requests.claim(1)
    shop.stores.requests.finish(request.id, Ending.COMPLETED)


def waits_s(shop: Shop, account: AccountView) -> int:
    return shop.stores.requests.repeated_for_s("ani", account.number, account.id, "", CallOptions())


def test_who_was_served_just_before_the_clock_was_put_back_may_call_again(shop: Shop) -> None:
    account = shop.account("100")
    served(shop, account)
    shop.clock.passes(-HOUR_S)
    assert waits_s(shop, account) == 0
    served(shop, account)
    assert (shop.missed_call(account), waits_s(shop, account)) == ("repeated", MINUTE_S)
    shop.clock.passes(MINUTE_S - 1)
    assert (shop.missed_call(account), waits_s(shop, account)) == ("repeated", 1)
    shop.clock.passes(1)
    assert (waits_s(shop, account), shop.missed_call(account)) == (0, "")


def test_a_callback_of_a_clock_that_was_a_month_ahead_for_a_moment_is_no_window_of_a_month(
    shop: Shop,
) -> None:
    account = shop.account("100")
    with ahead(shop, 30 * DAY_S):
        served(shop, account)
    for _ in range(3):
        shop.clock.passes(DAY_S)
        served(shop, account)


def test_a_subscriber_who_calls_from_another_number_then_is_not_refused_either(shop: Shop) -> None:
    account = shop.account("100")
    with ahead(shop, DAY_S):
        served(shop, account)
    wanted = CallbackRequest("other", "ani", "200", "800")
    assert shop.stores.requests.accept(
        wanted, account_id=account.id, subscriber_id=account.id, leg_a_number="200", stored_options={},
        queue_limit=9,
    ) == ""  # fmt: skip


def test_what_another_node_accepted_whose_clock_is_a_little_ahead_is_repeated(shop: Shop) -> None:
    account = shop.account("100")
    with ahead(shop, 2):
        served(shop, account)
    assert (shop.missed_call(account), waits_s(shop, account)) == ("repeated", MINUTE_S + 2)


@pytest.mark.parametrize("ahead_s", [0, 2, 2 * CLOCKS_APART_S, DAY_S])
def test_a_window_of_nothing_refuses_nobody(shop: Shop, ahead_s: int) -> None:
    account = shop.account("100")
    with ahead(shop, ahead_s):
        served(shop, account, window_s=0)
    for _ in range(3):
        served(shop, account, window_s=0)


# --- limits -----------------------------------------------------------------------------------------------------


def test_a_limit_of_an_hour_is_reached_for_an_hour(shop: Shop) -> None:
    """Also where its window was begun a year ahead, and where it was full then."""
    limits = shop.stores.limits
    with ahead(shop, 365 * DAY_S):
        assert limits.take("begun", THREE_AN_HOUR)
        assert all(limits.take("full", THREE_AN_HOUR) for _ in range(3))
    assert [limits.take("begun", THREE_AN_HOUR) for _ in range(3)] == [True, True, False]
    assert [limits.take("full", THREE_AN_HOUR) for _ in range(3)] == [False] * 3, "no guess more than three"
    assert (limits.wait_s("begun"), limits.wait_s("full")) == (HOUR_S, HOUR_S)
    shop.clock.passes(HOUR_S)
    for key in ("begun", "full"):
        assert [limits.take(key, THREE_AN_HOUR) for _ in range(4)] == [True, True, True, False]


def test_of_several_limits_none_is_used_up_where_one_was_full_a_year_ahead(shop: Shop) -> None:
    limits = shop.stores.limits
    with ahead(shop, 365 * DAY_S):
        assert all(limits.take("full", THREE_AN_HOUR) for _ in range(3))
    assert limits.take_all([("open", THREE_AN_HOUR), ("full", THREE_AN_HOUR)]) == "full"
    assert [key for key, _, _ in limits.counted("")] == ["full"]


def test_two_nodes_whose_clocks_differ_by_seconds_share_a_limit(shop: Shop) -> None:
    """Also one of a second, as trunks have."""
    limits = shop.stores.limits
    for key, limit in (("a", Limit(3, 1)), ("b", THREE_AN_HOUR)):
        taken = []
        for _ in range(4):
            with ahead(shop, CLOCKS_APART_S - 1):
                taken.append(limits.take(key, limit))
            taken.append(limits.take(key, limit))
        assert taken.count(True) == 3


# --- counters of the fraud control ----------------------------------------------------------------------------------


@pytest.mark.parametrize("period_s", [HOUR_S, DAY_S])
def test_a_counter_begun_a_month_ahead_ends_with_this_period(shop: Shop, period_s: int) -> None:
    adds = counter(shop, period_s)
    with ahead(shop, 30 * DAY_S):
        assert adds() == 1
    assert adds() == 2, "nothing that was spent is forgotten"
    assert shop.stores.limits.spent(["x"]) == {"x": Spent(2, 120, 2_000_000)}
    for _ in range(25):
        shop.clock.passes(period_s)
        assert adds() == 1


def test_a_counter_begun_in_the_next_hour_ends_with_this_one(shop: Shop) -> None:
    """A clock that was ahead by less than a period."""
    adds = counter(shop, HOUR_S)
    shop.clock.passes(_until_next(shop, HOUR_S) + HOUR_S / 2)
    with ahead(shop, HOUR_S / 2 + MINUTE_S):
        adds()
    assert adds() == 2
    shop.clock.passes(_until_next(shop, HOUR_S))
    assert adds() == 1


def test_two_nodes_whose_clocks_differ_by_seconds_count_as_one_around_midnight(shop: Shop) -> None:
    adds = counter(shop, DAY_S)
    shop.clock.passes(_until_next(shop, DAY_S) - 0.6)
    assert adds() == 1
    counted = []
    for _ in range(5):
        with ahead(shop, 1.2):
            counted.append(adds())
        counted.append(adds())
    assert counted == list(range(1, 11)), "the first one of the new day begins it, for both"


def counter(shop: Shop, period_s: int) -> Callable[[], int]:
    """Counts a call of a minute; how many are counted then."""

    def adds() -> int:
        with shop.stores.database.transaction():
            added = shop.stores.limits.add([Addition("x", period_s, Spent(1, 60, 1_000_000))])
        return added["x"].calls

    return adds


def _until_next(shop: Shop, period_s: int) -> float:
    """Seconds until the next period begins."""
    return period_s - shop.clock.at_us / 1_000_000 % period_s


# --- lockouts -----------------------------------------------------------------------------------------------------


def wrong_pins(shop: Shop) -> None:
    for _ in range(3):
        shop.stores.throttles.failed("login:100", limit=3, lock_s=LOCK_S)


def test_nobody_is_locked_out_for_a_year_by_a_clock_that_was_ahead(shop: Shop) -> None:
    with ahead(shop, 365 * DAY_S):
        wrong_pins(shop)
        assert shop.stores.throttles.locked("login:100")
    for _ in range(3):
        assert not shop.stores.throttles.locked("login:100")
        shop.clock.passes(100 * DAY_S)
    wrong_pins(shop)
    assert shop.stores.throttles.locked("login:100"), "wrong PINs count as before"
    shop.clock.passes(LOCK_S)
    assert not shop.stores.throttles.locked("login:100")


def test_a_lockout_holds_on_a_node_whose_clock_is_seconds_behind(shop: Shop) -> None:
    with ahead(shop, CLOCKS_APART_S - 1):
        wrong_pins(shop)
    assert shop.stores.throttles.locked("login:100")


# --- what waits to be sent ------------------------------------------------------------------------------------------


def web_order(shop: Shop) -> str:
    """A callback whose steps are told to `shop`."""
    account = shop.account("100")
    wanted = CallbackRequest("k", "web", "100", "", "442071234567", "shop")
    assert shop.stores.requests.accept(
        wanted, account_id=account.id, subscriber_id=account.id, leg_a_number="100", stored_options={},
        queue_limit=9,
    ) == ""  # fmt: skip
    (request,) = shop.stores.requests.newest()
    return request.id


def told(shop: Shop) -> list[Step]:
    """The steps that are sent now, each taken by its receiver."""
    events, steps = shop.stores.events, []
    while claimed := events.claim("shop", 5):
        for event in claimed:
            steps.append(event.step)
            events.close(event, "sent")
    return steps


@pytest.mark.parametrize("ahead_s", [2 * HOUR_S, DAY_S, 365 * DAY_S])
def test_a_step_noted_by_a_clock_that_was_ahead_is_sent_at_once(shop: Shop, ahead_s: int) -> None:
    with ahead(shop, ahead_s):
        web_order(shop)
    assert told(shop) == [Step.QUEUED]


def test_the_steps_of_a_callback_stay_in_order_when_the_first_is_noted_by_a_clock_that_was_ahead(
    shop: Shop,
) -> None:
    with ahead(shop, DAY_S):
        request_id = web_order(shop)
    shop.stores.events.note(request_id, Step.CALLING_FIRST)
    shop.stores.events.note(request_id, Step.FIRST_ANSWERED)
    assert told(shop) == [Step.QUEUED, Step.CALLING_FIRST, Step.FIRST_ANSWERED]


def test_a_step_noted_half_an_hour_ahead_waits_no_longer_than_that(shop: Shop) -> None:
    with ahead(shop, HOUR_S / 2):
        web_order(shop)
    shop.clock.passes(HOUR_S / 2)
    assert told(shop) == [Step.QUEUED]


def test_the_longest_pause_is_not_cut_short(shop: Shop) -> None:
    """Also where it was begun by a node whose clock is seconds ahead."""
    assert max(WEBHOOK_AGAIN.longest_s, MAIL_AGAIN.longest_s) <= LONGEST_PAUSE_S
    web_order(shop)
    with ahead(shop, CLOCKS_APART_S - 1):
        (event,) = shop.stores.events.claim("shop", 1)
        shop.stores.events.retry(event, LONGEST_PAUSE_S)
    assert told(shop) == []
    shop.clock.passes(LONGEST_PAUSE_S + CLOCKS_APART_S - 1)
    assert told(shop) == [Step.QUEUED]


def test_what_is_claimed_is_claimed_after_a_clock_that_was_ahead_too(shop: Shop) -> None:
    with ahead(shop, DAY_S):
        web_order(shop)
    assert len(shop.stores.events.claim("shop", 5)) == 1
    assert shop.stores.events.claim("shop", 5) == [], "another process has it"


def test_a_mail_written_by_a_clock_that_was_ahead_is_sent_at_once(shop: Shop) -> None:
    replies = shop.stores.replies
    with ahead(shop, DAY_S):
        replies.put("k", "ann@example.com", "text")
        replies.put("l", "ben@example.com", "text")
    assert [reply.recipient for reply in replies.claim_due(5)] == ["ann@example.com", "ben@example.com"]
    assert replies.claim_due(5) == []


@pytest.mark.parametrize("medium", ["webhook", "mail"])
def test_an_alarm_noted_by_a_clock_that_was_ahead_is_told_at_once(shop: Shop, medium: str) -> None:
    with ahead(shop, DAY_S), shop.stores.database.transaction():
        note_alarm("fraud:1", "{}", shop.clock.at_us, "shop", "shop")
    notices = shop.stores.webhook_notices if medium == "webhook" else shop.stores.mail_notices
    assert len(notices.claim("shop", 5)) == 1
    assert notices.claim("shop", 5) == []
