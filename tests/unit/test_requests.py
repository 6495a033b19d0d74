"""The queue: what is accepted, who gets it, how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from shop import NOON_US, Shop

from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import InvariantBroken
from stasis_callback.core.options import CallOptions
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.states import RequestState
from stasis_callback.core.words import Ending, Refusal
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.calls.requests import LEASE_S, Accepted, Again, Requests, RequestView
from stasis_callback.store.database.identity import Identity


def states(shop: Shop) -> list[str]:
    return [str(request.state) for request in reversed(shop.stores.requests.newest())]


def together(count: int, action: Callable[[int], object]) -> list[object]:
    """What `action` gives in `count` threads that start at the same moment; an error is a result too."""
    gate, results = threading.Barrier(count), list[object]()

    def run(number: int) -> None:
        gate.wait()
        try:
            results.append(action(number))
        except Exception as error:  # noqa: BLE001
            results.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


# --- accepted or refused -------------------------------------------------------------------------------------


def test_an_accepted_request_is_queued_with_all_that_was_said(shop: Shop) -> None:
    account = shop.account("100")
    assert shop.missed_call(account, key="k", callback_delay_s="2.5", welcome="on") == ""
    (request,) = shop.stores.requests.newest()
    assert (request.key, request.triggered_by, request.ani, request.dnis) == ("k", "ani", "100", "800")
    assert (request.account_id, request.leg_a_number) == (account.id, "100")
    assert (request.state, request.outcome, request.attempts) == (RequestState.QUEUED, "", 0)
    assert (request.created_at_us, request.due_at_us) == (NOON_US, NOON_US + 2_500_000)
    assert (request.options.welcome, request.options.callback_delay_s) == (True, 2.5)
    assert shop.stores.requests.get(request.id) == request


def test_nobody_waits_an_hour_longer_because_the_clock_was_put_back(shop: Shop) -> None:
    shop.missed_call(shop.account("100"), key="soon", callback_delay_s="0", retry_interval_s="30")
    shop.missed_call(shop.account("200"), key="later", callback_delay_s="600")
    shop.clock.passes(-3600)
    assert shop.stores.requests.bring_nearer() == 2
    due_in_s = {r.key: (r.due_at_us - shop.clock.now_us()) // US_PER_S for r in shop.stores.requests.newest()}
    assert due_in_s == {"soon": 30, "later": 600}
    assert shop.stores.requests.bring_nearer() == 0


def test_missed_calls_in_a_row_make_one_callback_per_window(shop: Shop) -> None:
    account, other = shop.account("100"), shop.account("200")
    story: list[tuple[float, AccountView, str, str]] = [
        # after_s  who      window  what becomes of it
        (0,        account, "60",   ""),
        (0,        account, "60",   "in_progress"),
        (0,        other,   "60",   ""),
        (30,       account, "60",   "in_progress"),
    ]  # fmt: skip
    for after_s, who, window, reason in story:
        shop.clock.passes(after_s)
        assert shop.missed_call(who, dedupe_window_s=window) == reason
    (request,) = (one for one in shop.stores.requests.claim(2) if one.account_id == account.id)
    shop.stores.requests.finish(request.id, Ending.COMPLETED)
    story = [
        (0,        account, "60",   "repeated"),
        (29.9,     account, "60",   "repeated"),
        (0.1,      account, "60",   ""),         # 60 s after the first one was accepted
        (0,        other,   "60",   "in_progress"),
    ]  # fmt: skip
    for after_s, who, window, reason in story:
        shop.clock.passes(after_s)
        assert shop.missed_call(who, dedupe_window_s=window) == reason


def test_without_a_window_the_next_callback_can_follow_at_once(shop: Shop) -> None:
    account = shop.account()
    request = shop.request(account)
    shop.stores.requests.finish(request.id, Ending.COMPLETED)
    assert shop.missed_call(account, dedupe_window_s="60") == "repeated"
    assert shop.missed_call(account, dedupe_window_s="0") == ""


@pytest.mark.parametrize("ending", Ending)
def test_whose_callback_failed_may_ask_again_at_once(shop: Shop, ending: Ending) -> None:
    account = shop.account()
    shop.stores.requests.finish(shop.request(account).id, ending)
    reached = ending in (
        "completed", "hung_up", "not_accepted", "login_failed", "low_balance", "no_destination", "rejected"
    )  # fmt: skip
    assert shop.missed_call(account, dedupe_window_s="60") == ("repeated" if reached else "")


def test_the_same_key_never_makes_a_second_callback(shop: Shop) -> None:
    account, other = shop.account("100"), shop.account("200")
    assert shop.missed_call(account, key="k") == ""
    assert shop.missed_call(other, key="k") == "repeated"
    shop.stores.requests.finish(shop.stores.requests.claim(1)[0].id, Ending.COMPLETED)
    shop.clock.passes(100_000)
    assert shop.missed_call(account, key="k") == "repeated"
    assert states(shop) == ["done"]


def test_a_full_queue_takes_no_more(shop: Shop) -> None:
    accounts = [shop.account(number) for number in ("100", "200", "300")]
    assert [shop.missed_call(account, limit=2) for account in accounts] == ["", "", "queue_full"]
    shop.stores.requests.claim(1)
    assert shop.missed_call(accounts[2], limit=2) == ""


def test_a_refusal_is_kept_with_its_reason_and_stands_in_nobodys_way(shop: Shop) -> None:
    account = shop.account("100")
    shop.stores.requests.refuse(CallbackRequest("k1", "ani", "999", "800"), Refusal.UNKNOWN_ACCOUNT)
    shop.stores.requests.refuse(CallbackRequest("k2", "ani", "100", "800"), Refusal.NO_FUNDS, account.id)
    shop.stores.requests.refuse(CallbackRequest("k2", "ani", "100", "800"), Refusal.NO_ANI, account.id)
    kept = {
        r.key: (str(r.state), r.outcome, r.account_id, r.finished_at_us)
        for r in shop.stores.requests.newest()
    }
    assert kept == {
        "k1": ("refused", "unknown_account", 0, NOON_US),
        "k2": ("refused", "no_funds", account.id, NOON_US),
    }
    assert shop.stores.requests.next_due_us() is None
    assert shop.stores.requests.claim(10) == []
    assert shop.missed_call(account) == ""


def test_twenty_missed_calls_of_one_account_at_once_make_one_callback(shop: Shop) -> None:
    account = shop.account()
    results = together(20, lambda n: shop.missed_call(account, key=f"k{n}"))
    assert sorted(map(str, results)) == ["", *["in_progress"] * 19]
    assert states(shop) == ["queued"]


def test_twenty_missed_calls_of_twenty_accounts_at_once_all_get_in(shop: Shop) -> None:
    accounts = [shop.account(f"1{n:02}") for n in range(20)]
    assert together(20, lambda n: shop.missed_call(accounts[n], key=f"k{n}")) == [""] * 20


# --- claimed -------------------------------------------------------------------------------------------------


def test_requests_are_claimed_when_they_are_due_the_longest_waiting_first(shop: Shop) -> None:
    for number, delay in (("100", "20"), ("200", "0"), ("300", "10"), ("400", "30")):
        shop.clock.at_us += 1
        shop.missed_call(shop.account(number), callback_delay_s=delay)
    shop.clock.at_us = NOON_US + 2

    def claimed(limit: int) -> list[str]:
        return [request.ani for request in shop.stores.requests.claim(limit)]

    assert shop.stores.requests.next_due_us() == NOON_US + 2
    assert claimed(10) == ["200"]
    assert claimed(10) == []
    assert shop.stores.requests.next_due_us() == NOON_US + 3 + 10 * US_PER_S
    shop.clock.passes(25)
    assert claimed(0) == []
    assert claimed(1) == ["300"]
    assert claimed(10) == ["100"]
    shop.clock.passes(6)
    assert claimed(10) == ["400"]
    assert shop.stores.requests.next_due_us() is None


def test_each_request_is_claimed_by_one_thread_only(shop: Shop) -> None:
    for n in range(24):
        shop.missed_call(shop.account(f"1{n:02}", funds="0"))
    results = together(8, lambda _: [request.id for request in shop.stores.requests.claim(4)])
    claimed = [request_id for result in results for request_id in result]  # type: ignore[attr-defined]
    assert len(claimed) == len(set(claimed)) == 24
    assert states(shop) == ["dialing"] * 24


# --- to the end ----------------------------------------------------------------------------------------------


def test_a_busy_subscriber_is_called_again_later(shop: Shop) -> None:
    account = shop.account()
    request = shop.request(account)
    assert (request.state, request.claims, request.attempts) == (RequestState.DIALING, 1, 0)
    assert shop.stores.requests.attempt(request.id)
    shop.stores.requests.retry(request, Again(30), outcome=Ending.BUSY)
    waiting = shop.stores.requests.get(request.id)
    assert (waiting.state, waiting.outcome, waiting.due_at_us) == ("queued", "busy", NOON_US + 30 * US_PER_S)
    assert waiting.attempts == 1
    assert shop.missed_call(account) == "in_progress"
    shop.clock.passes(29)
    assert shop.stores.requests.claim(1) == []
    shop.clock.passes(1)
    (again,) = shop.stores.requests.claim(1)
    assert (again.id, again.state, again.claims) == (request.id, RequestState.DIALING, 2)
    # Whoever still works on the attempt before has nothing to say any more.
    shop.stores.requests.answered(request)
    shop.stores.requests.retry(request, Again(5), outcome=Ending.BUSY)
    assert shop.stores.requests.get(request.id) == again
    shop.stores.requests.answered(again)
    assert shop.stores.requests.get(request.id).state == RequestState.TALKING
    shop.stores.requests.finish(request.id, Ending.COMPLETED)
    done = shop.stores.requests.get(request.id)
    assert (done.state, done.outcome, done.finished_at_us) == ("done", "completed", NOON_US + 30 * US_PER_S)


def test_an_attempt_that_asterisk_never_heard_of_does_not_count_and_keeps_its_time(shop: Shop) -> None:
    request = shop.request(shop.account())
    assert shop.stores.requests.attempt(request.id)
    shop.clock.passes(40)
    shop.stores.requests.retry(request, Again(None, 0), outcome=Ending.NOT_DIALED)
    waiting = shop.stores.requests.get(request.id)
    assert (waiting.state, waiting.attempts, waiting.due_at_us) == ("queued", 0, NOON_US)


def test_one_that_was_due_stays_due_when_the_clock_was_put_back_in_its_attempt(shop: Shop) -> None:
    request = shop.request(shop.account())
    shop.clock.passes(-3600)
    shop.stores.requests.retry(request, Again(None, 0), outcome=Ending.NOT_DIALED)
    assert shop.stores.requests.get(request.id).due_at_us == shop.clock.now_us()


def test_a_callback_taken_back_under_way_is_neither_begun_nor_tried_again(shop: Shop) -> None:
    request = shop.request(shop.account())
    assert shop.stores.requests.cancel(request.id)
    assert shop.stores.requests.cancel(request.id)  # said twice
    assert shop.stores.requests.cancel_wanted(request.id)
    assert not shop.stores.requests.attempt(request.id)
    shop.stores.requests.retry(request, Again(30), outcome=Ending.BUSY)
    over = shop.stores.requests.get(request.id)
    assert (over.state, over.outcome, over.attempts) == ("cancelled", "busy", 0)
    assert not shop.stores.requests.cancel(request.id)


def test_a_callback_is_not_over_while_a_leg_of_it_is_open(shop: Shop) -> None:
    account = shop.account(funds="1")
    request = shop.request(account)
    assert shop.leg(f"{request.id}-b1", account, request, hold="0.5")
    before = shop.rows()
    with pytest.raises(InvariantBroken, match="a leg that is not settled"):
        shop.stores.requests.finish(request.id, Ending.COMPLETED)
    assert shop.rows() == before


def test_what_was_done_may_be_asked_again(shop: Shop) -> None:
    """A database that went away may have done it, and nobody knows: it is asked once more."""
    request = shop.request(shop.account())
    for _ in range(2):
        shop.stores.requests.answered(request)
    for _ in range(2):
        shop.stores.requests.finish(request.id, Ending.COMPLETED)
    assert shop.stores.requests.get(request.id).outcome == "completed"


MOVES: dict[str, Callable[[Requests, str], None]] = {
    "answered": lambda requests, one: requests.answered(requests.get(one)),
    "retry": lambda requests, one: requests.retry(requests.get(one), Again(1), outcome=Ending.BUSY),
    "finish": lambda requests, one: requests.finish(one, Ending.COMPLETED),
}
ILLEGAL = [
    ("refused", ["answered", "retry", "finish"]),
    ("queued", ["answered"]),
    ("done", ["answered", "retry"]),
    ("cancelled", ["answered", "retry", "finish"]),
]


@pytest.mark.parametrize(("state", "move"), [(state, move) for state, moves in ILLEGAL for move in moves])
def test_a_move_that_cannot_be_stops_and_changes_nothing(shop: Shop, state: str, move: str) -> None:
    request = shop.request(shop.account())
    shop.sql(f"UPDATE request SET state = '{state}'")
    before = shop.rows()
    with pytest.raises(InvariantBroken, match=f"a request cannot go from {state} to"):
        MOVES[move](shop.stores.requests, request.id)
    assert shop.rows() == before


@pytest.mark.parametrize(
    ("state", "move"), [("queued", "retry"), ("talking", "answered"), ("done", "finish")]
)
def test_a_move_that_was_made_is_not_made_again(shop: Shop, state: str, move: str) -> None:
    """The response to a commit was lost, and the unit is run again."""
    request = shop.request(shop.account())
    shop.sql(f"UPDATE request SET state = '{state}'")
    before = shop.rows()
    MOVES[move](shop.stores.requests, request.id)
    assert shop.rows() == before


def test_the_newest_requests_come_first(shop: Shop) -> None:
    for number in ("100", "200", "300"):
        shop.missed_call(shop.account(number))
        shop.clock.passes(1)
    shop.stores.requests.claim(1)
    newest = shop.stores.requests.newest
    assert [r.ani for r in newest()] == ["300", "200", "100"]
    assert [r.ani for r in newest(limit=1)] == ["300"]
    assert [r.ani for r in newest(state="queued")] == ["300", "200"]


# --- after a crash -------------------------------------------------------------------------------------------


def test_open_calls_are_left_to_their_node_and_the_lease_tells_when_it_lived(shop: Shop) -> None:
    request = shop.request(shop.account("100"))
    shop.missed_call(shop.account("200"))
    other_node = Requests(shop.stores.database, shop.clock, Identity("node2", "start"))
    (before,) = shop.stores.requests.left_open()
    assert (before.id, before.last_alive_us) == (request.id, NOON_US)
    shop.clock.passes(LEASE_S - 1)
    other_node.renew_leases([request.id])
    assert shop.stores.requests.get(request.id) == before
    shop.stores.requests.renew_leases([request.id])
    (after,) = shop.stores.requests.left_open()
    assert after.last_alive_us == NOON_US + (LEASE_S - 1) * US_PER_S
    assert before.last_alive_us == NOON_US
    shop.clock.passes(10 * LEASE_S)
    assert other_node.left_open() == []
    shop.stores.requests.finish(request.id, Ending.FAILED)
    assert shop.stores.requests.left_open() == []


def test_many_leases_are_renewed_at_once(shop: Shop) -> None:
    request = shop.request(shop.account())
    shop.clock.passes(5)
    shop.stores.requests.renew_leases([*(f"gone-{n}" for n in range(1200)), request.id])
    assert shop.stores.requests.get(request.id).last_alive_us == shop.clock.now_us()


# --- begun as it is accepted


def begin(
    shop: Shop, number: str, note_leg: Callable[[RequestView], bool] | None = None, **options: str
) -> Accepted:
    account = shop.account(number)
    return shop.stores.requests.accept_or_begin(
        CallbackRequest(f"key-{number}", "ani", number, "800"),
        begin=True,
        note_leg=note_leg,
        account_id=account.id,
        subscriber_id=account.id,
        leg_a_number=number,
        stored_options=options,
        queue_limit=10,
        request_id=f"id-{number}",
    )


def test_a_callback_that_is_due_at_once_is_claimed_with_the_commit_that_accepts_it(shop: Shop) -> None:
    accepted = begin(shop, "420111222333")
    assert accepted.begun == shop.stores.requests.get("id-420111222333")
    assert (accepted.begun.state, accepted.begun.claims) == (RequestState.DIALING, 1)
    assert accepted.begun.leg_id("a", 1) == "id-420111222333-a1"
    assert shop.stores.requests.claim(10) == []
    assert [request.id for request in shop.stores.requests.left_open()] == ["id-420111222333"]


@pytest.mark.parametrize("noted", [True, False])
def test_its_leg_is_noted_by_that_commit_too_and_counts_as_an_attempt(shop: Shop, noted: bool) -> None:
    seen = []

    def note_leg(request: RequestView) -> bool:
        assert shop.stores.database.in_transaction
        seen.append(request)
        return noted

    accepted = begin(shop, "420111222333", note_leg=note_leg)
    assert seen == [accepted.begun]
    assert accepted.leg_noted is noted
    assert accepted.begun is not None
    assert accepted.begun.attempts == 0, "as it was before the attempt"
    assert shop.stores.requests.get("id-420111222333").attempts == (1 if noted else 0)


def test_no_leg_is_noted_of_what_waits_or_is_refused(shop: Shop) -> None:
    def note_leg(_: RequestView) -> bool:
        raise AssertionError("nothing is to be begun")

    assert begin(shop, "420111222333", note_leg=note_leg, callback_delay_s="5") == Accepted("")
    again = CallbackRequest("key-again", "ani", "420111222333", "800")
    account = shop.stores.accounts.named("420111222333")
    refused = shop.stores.requests.accept_or_begin(
        again,
        begin=True,
        note_leg=note_leg,
        account_id=account.id,
        subscriber_id=account.id,
        leg_a_number="420111222333",
        stored_options={},
        queue_limit=10,
    )
    assert refused == Accepted(Refusal.IN_PROGRESS)


def test_a_callback_that_is_due_later_waits_in_the_queue(shop: Shop) -> None:
    assert begin(shop, "420111222333", callback_delay_s="5") == Accepted("")
    assert states(shop) == ["queued"]


def test_a_node_that_drains_begins_nothing(shop: Shop) -> None:
    shop.stores.nodes.set_draining(shop.stores.nodes.me.name, True, operator="jan", reason="upgrade")
    assert begin(shop, "420111222333") == Accepted("")
    assert states(shop) == ["queued"]


def test_what_is_taken_back_while_the_phone_rings_ends_as_cancelled(shop: Shop) -> None:
    request = shop.request(shop.account("420111222333"))
    assert shop.stores.requests.cancel(request.id)
    shop.stores.requests.finish(request.id, Ending.NO_ANSWER, claims=request.claims)
    assert shop.stores.requests.get(request.id).state is RequestState.CANCELLED


def test_what_is_taken_back_in_the_talk_is_done(shop: Shop) -> None:
    request = shop.request(shop.account("420111222333"))
    shop.stores.requests.answered(request)
    assert shop.stores.requests.cancel(request.id)
    shop.stores.requests.finish(request.id, Ending.COMPLETED, claims=request.claims)
    assert shop.stores.requests.get(request.id).state is RequestState.DONE


@pytest.mark.parametrize("at_once", [1, 3])
def test_who_is_told_how_long_to_wait_is_accepted_after_that(shop: Shop, at_once: int) -> None:
    """What makes a request a repetition, and until when it is one, are one rule."""
    requests = shop.stores.requests
    account = shop.stores.accounts.change(shop.account().number, simultaneous_calls=at_once)

    def asks(key: str, number: str) -> str:
        wanted = CallbackRequest(key, "web", number, "", "442071234567", "shop")
        return requests.accept(
            wanted, account_id=account.id, subscriber_id=account.id, leg_a_number=number, stored_options={},
            queue_limit=99,
        )  # fmt: skip

    def waits_s(number: str) -> int:
        return requests.repeated_for_s("web", number, account.id, "442071234567", CallOptions())

    assert asks("first", "420777000001") == ""
    first = requests.with_key("first")
    assert first is not None
    assert requests.cancel(first.id)  # taken back: something better may be asked for at once
    assert waits_s("420777000001") == 0
    assert asks("second", "420777000001") == ""
    requests.finish(requests.claim(1)[0].id, Ending.COMPLETED)
    window_s = int(CallOptions().dedupe_window_s)
    assert waits_s("420777000001") == window_s
    assert waits_s("420777000002") == (window_s if at_once == 1 else 0)
    assert asks("third", "420777000001") == "repeated"
    shop.clock.passes(window_s)
    assert waits_s("420777000001") == 0
    assert asks("fourth", "420777000001") == ""
