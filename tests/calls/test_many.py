"""Many at once: every callback completes, every account pays for its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from world import World

from stasis_callback.clock import wait_until
from stasis_callback.core.rating import Rate
from stasis_callback.store.audit import verify


def test_a_hundred_missed_calls_at_once_from_a_hundred_accounts(world: World) -> None:
    world.sells(Rate("420", first_price_micros=60_000, next_price_micros=60_000), Rate("44"))
    world.access_number(first_digit_timeout_s="30")
    numbers = [f"420777000{n:03d}" for n in range(100)]
    for n, number in enumerate(numbers):
        world.account(number)
        # All calls are set up within a second, but people do not key their digits in lockstep: the RTP of a hundred
        # phones on one busy core would come in bursts, in which Asterisk hears a digit twice.
        world.phone(number).answers(after_s=0.2).dials(f"442079460{n:03d}#", after_s=3 + n / 20)
        world.phone(f"442079460{n:03d}").answers(after_s=0.2).hangs_up(after_s=2)
    with world.running() as service:
        with ThreadPoolExecutor(100) as crowd:
            refusals = list(crowd.map(lambda number: world.rings(ani=number), numbers))
        assert {refusal.cause for refusal in refusals} == {17}
        for n, number in enumerate(numbers):
            keyed_until_reached(world, number, f"442079460{n:03d}")
        for number in numbers:
            world.phone(number).hang_up()
        requests = world.finished(100)
        world.until(lambda: not service.client.channels.list())
    assert {request.outcome for request in requests} == {"completed"}
    assert verify(world.stores.database, world.stores.tariffs) == []
    for number in numbers:
        account = world.stores.accounts.named(number)
        legs = world.stores.calls.xdrs(account=number)
        # Each once. Which is charged first is not promised: closing begins with B, but goes on with A where it
        # does not know yet when B ended.
        assert sorted(leg.side for leg in legs if leg.outcome == "answered") == ["a", "b"]
        assert account.held_micros == 0
        assert account.balance_micros == 10_000_000 - sum(leg.amount_micros for leg in legs)


def keyed_until_reached(world: World, number: str, friend: str) -> None:
    """A starved Asterisk mishears a digit now and then: told that the number is not valid, a person keys it again."""
    for _ in range(3):
        if wait_until(lambda: bool(world.phone(friend).calls), timeout_s=20):
            break
        world.phone(number).dial(f"{friend}#")
    else:
        mine = [r.id for r in world.stores.requests.newest(limit=500) if r.leg_a_number == number]
        raise AssertionError([line for line in world.log if any(request in str(line) for request in mine)])
    world.phone(friend).wait_for("ended", timeout_s=20)
