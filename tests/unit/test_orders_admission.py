"""Requests that bring their numbers with them: who may, where to, how often; and nothing is dialled otherwise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from argon2 import Parameters
from shop import NOON_US, UK_RATE, Shop

from stasis_callback.core.limits import RequestLimits
from stasis_callback.core.rating import Rate
from stasis_callback.core.words import Ending, Refusal
from stasis_callback.engine.admission.orders import Answer, Order, Orders
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.database.statements import run
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.testing.hiccups import MOMENTS, Asked, Moment, Plan, hiccups

A, B = "442071234567", "447400900123"
ACCOUNT, PASSWORD = "6192345678", "1ak45"


def admit(shop: Shop, **values: Any) -> Answer:
    usual: dict[str, Any] = {
        "key": f"web:{len(shop.rows()['Request'])}-{shop.clock.at_us}",
        "trigger": "web",
        "account": ACCOUNT,
        "password": PASSWORD,
        "number_a": A,
        "number_b": B,
        "instance": "shop",
        "source": "192.0.2.1",
        "limits": RequestLimits(),
    }
    return Orders(shop.stores, shop.clock, 1000).admit(Order(**usual | values))


def with_password(shop: Shop, number: str = ACCOUNT, funds: str = "10.00") -> AccountView:
    shop.account(number, funds=funds)
    return shop.stores.accounts.change(number, password=PASSWORD)


@pytest.fixture
def subscriber(shop: Shop) -> AccountView:
    return with_password(shop)


def test_a_good_order_is_queued_with_both_numbers(shop: Shop, subscriber: AccountView) -> None:
    answer = admit(shop, key="web:1", options={"languages": "fr"})
    assert answer.reason == ""
    request = shop.stores.requests.get(answer.request_id)
    assert (request.leg_a_number, request.destination) == (A, B)
    assert (request.instance, request.triggered_by, request.state) == ("shop", "web", "queued")
    assert (request.account_id, request.subscriber_id) == (subscriber.id, subscriber.id)
    assert request.options.languages == "fr"
    assert shop.stores.requests.with_key("web:1") == request


def _blocked(shop: Shop) -> None:
    shop.stores.accounts.change(ACCOUNT, status="blocked")


def _expired(shop: Shop) -> None:
    shop.stores.accounts.change(ACCOUNT, expires_at_us=NOON_US)


def _own(number: str) -> Any:
    return lambda shop: shop.stores.access_numbers.add(number, {})


def _nothing(shop: Shop) -> None:
    pass


@pytest.mark.parametrize(
    ("prepare", "values",                                        "reason"),
    [
        (_nothing,  {"number_a": "12"},                           "bad_callback_number"),
        (_nothing,  {"number_a": "+442071234567"},                "bad_callback_number"),
        (_nothing,  {"number_a": "44207&1234567"},                "bad_callback_number"),
        (_nothing,  {"number_a": ""},                             "bad_callback_number"),
        (_nothing,  {"number_b": "x" * 40},                       "bad_destination"),
        (_nothing,  {"number_b": "٤٤٢٠٧١٢٣٤٥٦٧"},                 "bad_destination"),
        (_nothing,  {"number_b": A},                              "same_number"),
        (_own(A),   {},                                           "own_number"),
        (_own(B),   {},                                           "own_destination"),
        (_nothing,  {"number_a": "33123456789"},                  "destination_not_in_tariff"),
        (_nothing,  {"number_a": "112"},                          "emergency_number"),
        (_nothing,  {"number_b": "33123456789"},                  "destination_not_allowed"),
        (_nothing,  {"number_b": "999"},                          "emergency_destination"),
        (_nothing,  {"account": "nobody"},                        "wrong_login"),
        (_nothing,  {"password": "wrong"},                        "wrong_login"),
        (_nothing,  {"password": ""},                             "wrong_login"),
        (_nothing,  {"account": "' OR 1=1 --"},                   "wrong_login"),
        (_blocked,  {},                                           "account_blocked"),
        (_expired,  {},                                           "account_expired"),
        (_blocked,  {"password": None},                           "wrong_login"),
        (_blocked,  {"password": "wrong"},                        "wrong_login"),
        (_blocked,  {"trusted": True, "password": None},          "account_blocked"),
    ],
)  # fmt: skip
def test_what_is_refused_is_kept_with_its_reason_and_never_queued(
    shop: Shop, subscriber: AccountView, prepare: Any, values: dict[str, Any], reason: str
) -> None:
    prepare(shop)
    assert admit(shop, **values) == Answer(Refusal.of(reason) or "")
    (row,) = shop.rows()["Request"]
    assert (row["state"], row["outcome"]) == ("refused", reason)


def test_premium_ranges_are_refused_by_the_tariff(shop: Shop, subscriber: AccountView) -> None:
    shop.stores.tariffs.put_rates("standard", [NewRate(Rate("4490", forbidden=True))])
    assert admit(shop, number_b="449012345678").reason == "destination_not_allowed"


def test_both_legs_are_paid_for_or_none_is_called(shop: Shop) -> None:
    one_second = UK_RATE.first_price_micros // 60
    account = with_password(shop, funds="0")
    shop.stores.ledger.top_up(account.book_id, 2 * one_second - 1, key="nearly")
    assert admit(shop).reason == "no_funds"
    shop.stores.ledger.top_up(account.book_id, 1, key="enough")
    assert admit(shop).reason == ""


def test_an_alias_is_no_login(shop: Shop, subscriber: AccountView) -> None:
    shop.stores.accounts.change(ACCOUNT, aliases=["447000000000"])
    assert admit(shop, account="447000000000").reason == "wrong_login"


def test_the_same_account_number_and_key_happen_once(shop: Shop, subscriber: AccountView) -> None:
    assert admit(shop, key="web:1").reason == ""
    assert admit(shop, key="web:1").reason == "repeated"
    assert admit(shop, key="web:2").reason == "in_progress"
    shop.stores.requests.claim(1)
    shop.stores.requests.finish(shop.stores.requests.newest(state="dialing")[0].id, Ending.COMPLETED)
    assert admit(shop, key="web:3").reason == "repeated"
    assert admit(shop, key="web:4", number_b="447400900999").reason == ""


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (Ending.COMPLETED, "repeated"),
        (Ending.NO_DESTINATION, ""),
        (Ending.FAILED, ""),
        (Ending.REJECTED, "repeated"),
    ],
)
def test_an_order_whose_leg_b_was_not_reached_can_be_repeated_at_once(
    shop: Shop, subscriber: AccountView, ending: Ending, reason: str
) -> None:
    assert admit(shop, key="web:1").reason == ""
    (request,) = shop.stores.requests.claim(1)
    shop.stores.requests.finish(request.id, ending)
    assert admit(shop, key="web:2").reason == reason


def test_what_was_cancelled_can_be_asked_for_again(shop: Shop, subscriber: AccountView) -> None:
    first = admit(shop)
    assert shop.stores.requests.cancel(first.request_id)
    assert admit(shop, key="again").reason == ""


def test_a_shared_account_pays_for_many_at_once(shop: Shop) -> None:
    shop.account("house", funds="10.00")
    house = {"account": "house", "password": None, "trusted": True, "shared": True}
    answers = [admit(shop, number_a=f"44207123456{n}", key=f"k{n}", **house) for n in range(3)]
    assert [answer.reason for answer in answers] == ["", "", ""]
    assert shop.stores.requests.get(answers[0].request_id).subscriber_id is None


# --- limits --------------------------------------------------------------------------------------------------------


def test_wrong_passwords_lock_the_account_and_the_right_one_works_after_the_time(
    shop: Shop, subscriber: AccountView
) -> None:
    for n in range(5):
        assert admit(shop, password=f"guess{n}", source=f"192.0.2.{n}").reason == "wrong_login"
    assert admit(shop, source="198.51.100.1") == Answer(Refusal.LOCKED_OUT, retry_after_s=900)
    shop.clock.passes(899)
    assert admit(shop, source="198.51.100.1") == Answer(Refusal.LOCKED_OUT, retry_after_s=1)
    shop.clock.passes(1)
    assert admit(shop, source="198.51.100.1").reason == ""


def test_an_unknown_account_is_locked_in_the_same_words(shop: Shop) -> None:
    answers = [admit(shop, account="nobody").reason for _ in range(6)]
    assert answers == ["wrong_login"] * 5 + ["locked_out"]


def test_a_right_password_forgets_the_wrong_ones(shop: Shop, subscriber: AccountView) -> None:
    for n in range(8):
        password = PASSWORD if n == 4 else "wrong"
        assert admit(shop, password=password, key=f"k{n}").reason == ("" if n == 4 else "wrong_login")


def test_a_source_that_tries_many_accounts_is_refused(shop: Shop) -> None:
    answers = [admit(shop, account=f"guess-{n}").reason for n in range(21)]
    assert answers == ["wrong_login"] * 20 + ["locked_out"]
    assert admit(shop, account="guess-21", source="198.51.100.7").reason == "wrong_login"


@pytest.mark.parametrize("guess", [{"password": "wrong"}, {"account": "nobody", "password": None}])
def test_guesses_in_parallel_are_no_more_than_the_limit(
    shop: Shop, subscriber: AccountView, guess: dict[str, Any]
) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda n: admit(shop, key=f"p{n}", source=f"192.0.2.{n}", **guess).reason, range(30))
        )
    assert sorted(answers) == ["locked_out"] * 25 + ["wrong_login"] * 5


@pytest.mark.parametrize(
    ("limit", "same"),
    [
        ("limit_source", "source"),
        ("limit_account", "account"),
        ("limit_number", "number_a"),
        ("limit_instance", ""),
    ],
)
def test_each_limit_counts_its_own(shop: Shop, subscriber: AccountView, limit: str, same: str) -> None:
    limits = RequestLimits.parse({limit: "2/60"})
    for other in ("100", "101", "102"):
        with_password(shop, other)

    def ask(n: int, **values: Any) -> Answer:
        fresh = {
            "source": f"192.0.2.{n}", "account": ("100", "101", "102", ACCOUNT)[n], "number_a": f"44207123456{n}"
        }  # fmt: skip
        fresh.pop(same, None)
        answer = admit(shop, limits=limits, key=f"k{n}", **fresh | values)
        for request in shop.stores.requests.claim(9):
            shop.stores.requests.finish(request.id, Ending.COMPLETED)
        shop.clock.passes(1)
        return answer

    options = {"options": {"dedupe_window_s": "0"}}
    assert [ask(n, **options).reason for n in range(3)] == ["", "", "too_many_requests"]
    assert ask(3, **options) == Answer(Refusal.TOO_MANY_REQUESTS, retry_after_s=57)
    shop.clock.passes(57)
    assert ask(3, **options).reason == ""


WAYS: dict[str, dict[str, Any]] = {
    "with a password": {},
    "by its id": {"password": None},
    "named by the operator": {"password": None, "trusted": True},
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_hiccup_of_the_database_changes_neither_the_answer_nor_what_was_counted(
    shop: Shop, subscriber: AccountView, way: str, moment: Moment
) -> None:
    values = {"options": {"dedupe_window_s": "0"}, **WAYS[way]}
    assert admit(shop, key="first", **values).reason == ""
    before = shop.stores.limits.counted("")
    for request in shop.stores.requests.claim(9):
        shop.stores.requests.finish(request.id, Ending.COMPLETED)
    with hiccups(shop.stores.database, at_each(moment)):
        answer = admit(shop, key="second", **values)
    assert answer.reason == ""
    assert shop.stores.requests.get(answer.request_id).key == "second"
    assert len(shop.rows()["Request"]) == 2
    assert shop.stores.limits.counted("") == [(key, count + 1, until) for key, count, until in before]
    assert shop.stores.database.repeats >= 1


def test_a_callback_whose_commit_was_not_heard_of_stays_accepted_when_others_reach_the_limit(
    shop: Shop, subscriber: AccountView
) -> None:
    runs = [0]

    def plan(asked: Asked) -> Moment | None:
        if asked != "transaction":
            return None
        runs[0] += 1
        if runs[0] == 3:  # before the second run of what accepts: somebody else has had the last of the day
            run("UPDATE allowance SET count = count + 1 WHERE key LIKE ?", "%:day:%")
        return "after" if runs[0] == 2 else None

    limits = RequestLimits.parse({"limit_day": "1/60"})
    with hiccups(shop.stores.database, plan):
        answer = admit(shop, key="k1", limits=limits, **WAYS["by its id"])
    assert (runs, answer.reason) == ([3], "")
    assert shop.stores.requests.get(answer.request_id).state == "queued"
    assert admit(shop, key="k2", number_a="442071234568", limits=limits).reason == "too_many_requests"


def at_each(moment: Moment) -> Plan:
    """A hiccup in each transaction; none when it is run again."""
    runs = [0]

    def plan(asked: Asked) -> Moment | None:
        if asked != "transaction":
            return None
        runs[0] += 1
        return moment if runs[0] % 2 else None

    return plan


def test_what_is_refused_counts_for_its_source_too(shop: Shop, subscriber: AccountView) -> None:
    """Or it could fill the database; also where nobody logs in."""
    limits = RequestLimits.parse({"limit_source": "2/60"})
    for way, source in zip(WAYS.values(), ("192.0.2.1", "192.0.2.2", "192.0.2.3"), strict=True):
        values = {"limits": limits, "source": source, "number_b": "33123456789", **way}
        answers = [admit(shop, key=f"{source}-{n}", **values) for n in range(3)]
        assert [answer.reason for answer in answers] == [
            "destination_not_allowed", "destination_not_allowed", "too_many_requests",
        ]  # fmt: skip
        assert answers[2].retry_after_s == 60
    assert len(shop.rows()["Request"]) == 6


def test_throttled_requests_leave_no_rows(shop: Shop) -> None:
    for _ in range(30):
        admit(shop, account="nobody")
    assert len(shop.rows()["Request"]) == 5


def test_unknown_and_wrong_take_the_same_time(
    shop: Shop, subscriber: AccountView, hashes_compared: list[Parameters]
) -> None:
    def work(account: str) -> list[Parameters]:
        hashes_compared.clear()
        answer = admit(shop, account=account, password="wrong", limits=None, key=account)
        assert answer.reason == "wrong_login"
        return hashes_compared[:]

    assert len(work("nobody")) == 1
    assert work("nobody") == work(ACCOUNT)


def test_the_password_is_in_no_representation_of_an_order() -> None:
    order = Order("k", "web", ACCOUNT, A, password=PASSWORD)
    assert PASSWORD not in repr(order)
