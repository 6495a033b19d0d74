"""DNIS trigger: everybody has an access number of their own; no caller id is needed."""

from __future__ import annotations

from world import ACCESS, ANI, FRIEND, World

from stasis_callback.core.rating import Rate


def _personal_number(world: World, **account: str) -> None:
    world.sells(
        Rate("420", first_price_micros=60_000, next_price_micros=60_000),
        Rate("44", first_price_micros=120_000, next_price_micros=120_000),
    )
    world.access_number(authentication="dnis")
    world.account(ACCESS, **account)


def test_a_call_without_caller_id_is_called_back_on_the_associated_number(world: World) -> None:
    _personal_number(world, callback_number=ANI)
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        assert world.rings(ani="").cause == 17
        friend.wait_for("ended", timeout_s=40)
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left(number=ACCESS)
    assert (request.triggered_by, request.outcome) == ("dnis", "completed")
    assert {xdr.account for xdr in world.xdrs().values()} == {ACCESS}
    assert {name: xdr.number for name, xdr in world.xdrs().items()} == {"b1": FRIEND, "a1": ANI}


def test_an_account_without_associated_number_cannot_be_called_back(world: World) -> None:
    _personal_number(world)
    with world.running():
        assert world.rings().cause == 17
        (request,) = world.finished()
    assert (request.state, request.outcome) == ("refused", "no_associated_number")


def test_an_access_number_that_is_nobodys_account(world: World) -> None:
    world.usual(authentication="dnis")
    with world.running():
        assert world.rings().cause == 17
        (request,) = world.finished()
    assert request.outcome == "unknown_account"
    assert world.xdrs() == {}
