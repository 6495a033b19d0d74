"""PRODUCT's table of triggers, line by line: what arrives, who is called, and which account pays for which leg."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from world import ACCESS, ANI, FRIEND, World

from stasis_callback.core.money import parse_amount
from stasis_callback.core.rating import Rate
from stasis_callback.store.accounts.accounts import AccountView

HOUSE, PIN, OTHER_PHONE = "house", "6192345678", "420777000111"


@dataclass(frozen=True)
class Line:
    """One trigger. `rings` or `asks` makes it happen; a destination is keyed where the request brings none."""

    name: str
    happens: Callable[[World], object]
    leg_a_number: str
    leg_a_paid_by: str
    leg_b_paid_by: str
    keys: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    accounts: tuple[tuple[str, dict[str, Any]], ...] = ((ANI, {}),)


def asks(**values: Any) -> Callable[[World], object]:
    def act(world: World) -> object:
        answer = world.asks(**values)
        assert answer.reason == ""
        return answer

    return act


KEYED = (f"{FRIEND}#",)
TABLE = (
    Line("ani", lambda world: world.rings(), ANI, ANI, ANI, KEYED),
    Line(
        "ani, at its fixed number", lambda world: world.rings(), OTHER_PHONE, ANI, ANI, KEYED,
        accounts=((ANI, {"callback_number": OTHER_PHONE}),),
    ),
    Line(
        "dnis", lambda world: world.rings(ani=""), OTHER_PHONE, ACCESS, ACCESS, KEYED,
        {"authentication": "dnis"}, ((ACCESS, {"callback_number": OTHER_PHONE}),),
    ),
    Line(
        "pin", lambda world: world.rings(), ANI, HOUSE, PIN, (f"{PIN}#", *KEYED),
        {"authentication": "pin", "internal_account": HOUSE}, ((HOUSE, {}), (PIN, {})),
    ),
    Line("web simple", asks(account=ANI), ANI, ANI, ANI),
    Line("web extended", asks(account=ANI, password="1ak45"), ANI, ANI, ANI),
    Line(
        "web hosted", asks(account=HOUSE, trusted=True, shared=True), ANI, HOUSE, HOUSE,
        accounts=((HOUSE, {}),),
    ),
    Line("shell", asks(account=ANI, trusted=True), ANI, ANI, ANI),
)  # fmt: skip


def open_business(world: World, line: Line, **options: str) -> list[AccountView]:
    world.sells(
        Rate("420", first_price_micros=60_000, next_price_micros=60_000),
        Rate("44", first_price_micros=120_000, next_price_micros=120_000),
    )
    world.access_number(**line.options | options)
    accounts = [world.account(number, **values) for number, values in line.accounts]
    if ANI in dict(line.accounts):
        world.stores.accounts.change(ANI, password="1ak45")
    return accounts


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.name)
def test_a_line_of_the_table(world: World, line: Line) -> None:
    accounts = open_business(world, line)
    subscriber = world.phone(line.leg_a_number).answers()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1.5)
    with world.running():
        line.happens(world)
        for keys in line.keys:
            world.announced("personal identification" if keys.startswith(PIN) else "number you wish")
            subscriber.dial(keys)
        friend.wait_for("ended", timeout_s=60)
        subscriber.hang_up()
        (request,) = world.finished()
        for account in accounts:
            world.nothing_left(number=account.number)
    legs = world.xdrs()
    assert request.outcome == "completed"
    assert (legs["a1"].number, legs["a1"].account) == (line.leg_a_number, line.leg_a_paid_by)
    assert (legs["b1"].number, legs["b1"].account) == (FRIEND, line.leg_b_paid_by)
    for account in accounts:
        paid = sum(xdr.amount_micros for xdr in legs.values() if xdr.account == account.number)
        assert world.balance_micros(account.number) == parse_amount("10.00") - paid
