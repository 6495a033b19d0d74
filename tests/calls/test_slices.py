"""Funds are held slice by slice: what happens to the account during the talk counts at the next slice."""

from __future__ import annotations

import pytest
from world import ANI, FRIEND, World

from stasis_callback.core.money import parse_amount
from stasis_callback.core.rating import Rate

SLICE = {"hold_slice_s": "10", "hold_extend_before_s": "5"}


def _talking(world: World, funds: str, **options: str) -> None:
    """Leg A is free, leg B costs a tenth of a cent a second; slices of ten seconds."""
    world.sells(Rate("420"), Rate("44", first_price_micros=60_000, next_price_micros=60_000))
    world.access_number(**SLICE | options)
    world.account(funds=funds)
    world.phone().answers().dials(f"{FRIEND}#")
    world.phone(FRIEND).answers()


def _held_micros(world: World) -> int:
    return world.stores.accounts.named(ANI).held_micros


def _ends(world: World, funds: str) -> int:
    """Wait for the end of the call; the seconds charged for leg B."""
    world.phone(FRIEND).wait_for("ended", timeout_s=40)
    world.phone().hang_up()
    world.finished()
    world.nothing_left(funds=funds)
    b = world.xdrs()["b1"]
    assert (b.amount_micros, b.overrun_micros) == (b.charged_s * 1000, 0)
    return b.charged_s


def test_a_talk_goes_on_slice_by_slice(world: World) -> None:
    _talking(world, "10.00")
    with world.running():
        world.rings()
        world.phone(FRIEND).wait_for("answered", timeout_s=30)
        world.announced("two hours")
        assert _held_micros(world) == 10_000  # ten seconds of the two hours that were announced
        world.until(lambda: len(world.events("talk.extended")) == 1)
        assert _held_micros(world) == 20_000
        world.until(lambda: len(world.events("talk.extended")) == 2, timeout_s=20)
        world.phone(FRIEND).hang_up()
        assert 14 <= _ends(world, "10.00") <= 18


def test_the_last_slice_is_what_is_left(world: World) -> None:
    _talking(world, "0.013", low_funds_warning_s="4")
    with world.running():
        world.rings()
        assert _ends(world, "0.013") == 13
        world.announced("credit")
    assert [line["funded_s"] for line in world.events("talk.extended")] == [13]
    assert [line["left_s"] for line in world.events("talk.warning")] == [4]


def test_who_has_the_maximum_charge_talks_on_beyond_it(world: World) -> None:
    _talking(world, "0.012")
    world.stores.tariffs.change_terms("standard", {"maximum_micros": 12_000})
    world.phone(FRIEND).hangs_up(after_s=16)
    with world.running():
        world.rings()
        world.announced("two hours")
        world.phone(FRIEND).wait_for("ended", timeout_s=40)
        world.phone().hang_up()
        world.finished()
        world.nothing_left(funds="0.012")
    b = world.xdrs()["b1"]
    assert (b.amount_micros, b.overrun_micros) == (12_000, 0)
    assert b.charged_s > 12


@pytest.mark.option("hold_extend_before_s")
def test_the_next_slice_is_held_no_earlier_than_set(world: World) -> None:
    """At most half of a slice before its end, which the default would be: ten seconds."""
    _talking(world, "10.00", hold_slice_s="20")
    world.phone(FRIEND).hangs_up(after_s=13)
    with world.running():
        world.rings()
        assert 12 <= _ends(world, "10.00") <= 15
    assert world.events("talk.extended") == []


@pytest.mark.option("hold_slice_s")
def test_a_top_up_during_the_talk_prolongs_it(world: World) -> None:
    _talking(world, "0.012")
    with world.running():
        world.rings()
        world.until(lambda: len(world.events("talk.extended")) == 1, timeout_s=30)
        book = world.stores.accounts.named(ANI).book_id
        world.stores.ledger.top_up(book, parse_amount("0.003"), key="during the talk")
        assert _ends(world, "0.015") == 15


def test_an_account_blocked_during_the_talk_ends_with_the_slice(world: World) -> None:
    _talking(world, "10.00")
    with world.running():
        world.rings()
        world.phone(FRIEND).wait_for("answered", timeout_s=30)
        world.stores.accounts.change(ANI, status="blocked")
        assert _ends(world, "10.00") == 10
        world.announced("blocked")
    assert world.events("talk.ends")[0]["reason"] == "account_blocked"


def test_two_calls_of_one_account_share_its_funds_to_the_last_second(world: World) -> None:
    """Forty seconds of talk for two phones of one account: all are used, none twice, and neither call is starved."""
    second_phone, second_friend = "420212345699", "442071234599"
    world.sells(Rate("420"), Rate("44", first_price_micros=60_000, next_price_micros=60_000))
    world.access_number(**SLICE)
    account = world.account(funds="0.040")
    world.stores.accounts.change(ANI, simultaneous_calls=2)
    world.stores.accounts.add_alias(account.id, second_phone)
    calls = {ANI: FRIEND, second_phone: second_friend}
    for number, friend in calls.items():
        world.phone(number).answers().dials(f"{friend}#")
        world.phone(friend).answers()
    with world.running():
        for number in calls:
            world.rings(ani=number)
        for number, friend in calls.items():
            world.phone(friend).wait_for("ended", timeout_s=60)
            world.phone(number).hang_up()
        world.finished(2)
        world.nothing_left(funds="0.040")
    talks = [xdr for xdr in world.stores.calls.xdrs() if xdr.side == "b"]
    assert [xdr.overrun_micros for xdr in talks] == [0, 0]
    assert sum(xdr.charged_s for xdr in talks) == 40
    assert min(xdr.charged_s for xdr in talks) >= 15


def test_calls_are_made_where_none_may_last_longer_than_the_grace_period(world: World) -> None:
    world.usual(ring_timeout_a_s="10", menu_limit_s="20", talk_limit_s="60")
    world.stores.tariffs.change_terms("standard", {"grace_s": 200})
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        friend.wait_for("ended", timeout_s=30)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert [xdr.amount_micros for xdr in world.xdrs().values()] == [0, 0]
