"""PIN trigger: the internal account pays for leg A, the account of the PIN for leg B."""

from __future__ import annotations

from functools import partial

import pytest
from world import ACCESS, ANI, FRIEND, World

from stasis_callback.core.rating import Rate
from stasis_callback.store.rates.tariffs import NewRate

PIN, HOUSE = "6192345678", "house"


def _pins(world: World, **options: str) -> None:
    """The internal account may call Czech numbers only; the PIN's account may call Britain only."""
    world.sells(Rate("44", first_price_micros=120_000, next_price_micros=120_000))
    world.stores.tariffs.add("house", "USD")
    world.stores.tariffs.put_rates(
        "house", [NewRate(Rate("420", first_price_micros=60_000, next_price_micros=60_000))]
    )
    world.stores.accounts.add_product("house", "house")
    world.stores.accounts.add(HOUSE, customer="people", product="house")
    world.stores.ledger.top_up(world.stores.accounts.named(HOUSE).book_id, 100_000_000, key="house")
    world.account(PIN)
    world.access_number(
        **{"authentication": "pin", "internal_account": HOUSE, "first_digit_timeout_s": "3", **options}
    )


def _asked(world: World, times: int) -> bool:
    return sum("personal identification number" in words for words in world.said) >= times


def _failed(world: World, times: int) -> bool:
    return len(world.events("login.failed")) == times


def _paid_by(world: World) -> dict[str, str]:
    return {name: xdr.account for name, xdr in world.xdrs().items()}


@pytest.mark.option("internal_account")
def test_a_pin_opens_the_conversation_and_each_leg_has_its_payer(world: World) -> None:
    _pins(world)
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        assert world.rings().cause == 17
        world.until(partial(_asked, world, 1), timeout_s=30)
        subscriber.dial(f"{PIN}#")
        world.announced("balance is ten dollars")
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("ended", timeout_s=40)
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left(number=PIN)
        world.nothing_left(funds="100.00", number=HOUSE)
    assert (request.triggered_by, request.outcome) == ("pin", "completed")
    assert _paid_by(world) == {"b1": PIN, "a1": HOUSE}
    kept = [line.words for line in world.stores.finding.transcript(request.id)]
    assert kept.index("leg A keyed 11 keys that are not shown: a PIN, password or code") == 1
    assert f"leg A keyed {FRIEND}#" in kept
    assert any("balance is ten dollars" in line for line in kept)
    assert not [line for line in kept if PIN in line]


@pytest.mark.option("lockout_failures")
def test_so_many_wrong_pins_lock_the_caller_out(world: World) -> None:
    _pins(world, dedupe_window_s="0", login_attempts="1", lockout_failures="2")
    subscriber = world.phone().answers().dials("9991#")
    with world.running():
        for callbacks in (1, 2, 3):
            world.rings()
            world.finished(callbacks)
    assert len(subscriber.calls) == 2
    assert sorted(r.outcome for r in world.finished(3)) == ["locked_out", "login_failed", "login_failed"]


def test_three_wrong_pins_cost_the_internal_account_and_lock_the_caller_out(world: World) -> None:
    _pins(world, dedupe_window_s="0", lockout_failures="3")
    subscriber = world.phone().answers()
    with world.running():
        world.rings()
        for attempt in range(1, 4):
            world.until(partial(_asked, world, attempt), timeout_s=30)
            subscriber.dial(f"999{attempt}#")
            world.until(partial(_failed, world, attempt))
        subscriber.wait_for("ended", timeout_s=30)
        world.finished()
        world.nothing_left(funds="100.00", number=HOUSE)
    assert "oodbye" in world.said[-1]
    assert _paid_by(world) == {"a1": HOUSE}
    assert world.xdrs()["a1"].amount_micros > 0
    with world.running():  # the service was restarted
        assert world.rings().cause == 17
        requests = world.finished(2)
    assert {r.outcome for r in requests} == {"login_failed", "locked_out"}
    assert len(subscriber.calls) == 1


@pytest.mark.parametrize("status", ["blocked", "closed"])
def test_a_blocked_pin_gets_the_words_of_an_unknown_one(world: World, status: str) -> None:
    _pins(world, login_attempts="1")
    world.stores.accounts.change(PIN, status=status)
    world.phone().answers().dials(f"{PIN}#")
    with world.running():
        world.rings()
        world.finished()
    blocked = [words for words in world.said if words]
    assert not any("blocked" in words for words in blocked)
    assert world.events("login.failed")


@pytest.mark.option("ask_password")
def test_the_password_is_asked_for_and_checked(world: World) -> None:
    _pins(world, ask_password="on")
    world.stores.accounts.change(PIN, password="4711")
    subscriber = world.phone().answers().dials(f"{PIN}#")
    with world.running():
        world.rings()
        world.announced("password")
        subscriber.dial("4712#")
        world.until(lambda: bool(world.events("login.failed")))
        subscriber.dial(f"{PIN}#")
        world.until(lambda: sum("password" in words for words in world.said) >= 2)
        subscriber.dial("4711#")
        world.announced("balance")
        subscriber.hang_up()
        world.finished()
    assert world.events("login.succeeded")


@pytest.mark.option("login_attempts")
def test_an_alias_is_no_pin(world: World) -> None:
    _pins(world, login_attempts="1")
    world.stores.accounts.change(PIN, aliases=["420777000111"])
    world.phone().answers().dials("420777000111#")
    with world.running():
        world.rings()
        (request,) = world.finished()
    assert request.outcome == "login_failed"
    assert sum("PIN" in words for words in world.said) == 1


def test_callbacks_go_only_where_the_internal_accounts_tariff_allows(world: World) -> None:
    _pins(world)
    with world.running():
        world.rings(ani="33123456789")
        (request,) = world.finished()
    assert (request.state, request.outcome) == ("refused", "destination_not_in_tariff")


def test_without_an_internal_account_nobody_is_called(world: World) -> None:
    _pins(world, internal_account="nobody")
    with world.running():
        world.rings()
        (request,) = world.finished()
    assert request.outcome == "no_internal_account"


@pytest.mark.option("authentication")
def test_a_known_number_needs_no_pin_and_an_unknown_one_does(world: World) -> None:
    _pins(world, authentication="ani_then_pin", dedupe_window_s="0")
    world.stores.accounts.change(PIN, aliases=[ANI], callback_number="442000000000")
    world.phone("442000000000").answers().hangs_up(after_s=1)
    stranger = world.phone("420777000333").answers()
    with world.running():
        world.rings()
        world.finished(1)
        world.rings(ani="420777000333")
        world.announced("personal identification number")
        stranger.hang_up()
        requests = world.finished(2)
    assert sorted(r.triggered_by for r in requests) == ["ani", "pin"]


@pytest.mark.option("register_ani")
@pytest.mark.parametrize("mode", ["ask", "always"])
def test_the_callers_number_is_registered_after_the_pin(world: World, mode: str) -> None:
    _pins(world, register_ani=mode)
    subscriber = world.phone().answers().dials(f"{PIN}#")
    with world.running():
        world.rings()
        if mode == "ask":
            world.announced("be recognised")
            subscriber.dial("1")
        world.announced("balance")
        subscriber.hang_up()
        world.finished()
    assert world.stores.accounts.aliases(world.stores.accounts.named(PIN).id) == [ANI]
    assert world.stores.accounts.named(ANI).number == PIN


def test_one_account_cannot_be_in_two_callbacks_at_once(world: World) -> None:
    _pins(world)
    first, second = world.phone(), world.phone("420777000444")
    first.answers().dials(f"{PIN}#")
    second.answers().dials(f"{PIN}#")
    with world.running():
        world.rings()
        world.until(lambda: bool(world.events("login.succeeded")), timeout_s=30)
        world.rings(ani="420777000444")
        world.announced("in use")
        first.hang_up()
        world.finished(2)
        world.nothing_left(funds="100.00", number=HOUSE)


def test_leg_a_is_never_on_the_account_of_the_pin(world: World) -> None:
    """The trigger table's "paid by": nothing of leg A is on the PIN's account, even when it is rated there too."""
    _pins(world)
    world.stores.tariffs.put_rates("standard", [NewRate(Rate("420", first_price_micros=9_000_000))])
    world.phone().answers().dials(f"{PIN}#").hangs_up(after_s=3)
    with world.running():
        world.rings(dnis=ACCESS)
        world.finished()
        world.nothing_left(number=PIN)
    assert _paid_by(world) == {"a1": HOUSE}
