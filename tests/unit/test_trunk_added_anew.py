"""What an operator does to a trunk while a call is made over it, or somebody else changes it."""

from __future__ import annotations

import threading

import pytest
from shop import Shop, talked

from stasis_callback.core.money import parse_amount
from stasis_callback.core.rating import Rate
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.legs import Fare
from stasis_callback.store.rates import trunks
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.rates.trunks import Carrier


@pytest.fixture
def shop_with_trunk(shop: Shop) -> Shop:
    """`pstn` is bought in USD; there is a vendor that bills in JPY too."""
    for vendor, currency, micros in (("us", "USD", 300_000), ("jp", "JPY", 30_000_000)):
        shop.stores.trunks.add_vendor(vendor, currency)
        shop.stores.tariffs.add(f"cost-{vendor}", currency)
        rate = Rate("44", first_price_micros=micros, next_price_micros=micros)
        shop.stores.tariffs.put_rates(f"cost-{vendor}", [NewRate(rate)])
    shop.stores.trunks.add("pstn", vendor="us", tariff="cost-us")
    return shop


def test_a_trunk_of_another_vendor_by_the_same_name_does_not_change_what_a_live_call_costs(
    shop_with_trunk: Shop,
) -> None:
    stores, account = shop_with_trunk.stores, shop_with_trunk.account("100")
    trunk, request = stores.trunks.named("pstn"), shop_with_trunk.request(account)
    sold, bought = (stores.tariffs.match(of.tariff_id, "442071234567") for of in (account, trunk))
    assert sold is not None
    assert bought is not None
    fare = Fare(account, "442071234567", sold, Carrier(trunk, bought))
    assert stores.calls.open_leg("l1", request.id, "b", fare, parse_amount("5"))

    stores.trunks.change("pstn", enabled=False)
    stores.trunks.remove("pstn")
    stores.trunks.add("pstn", vendor="jp", tariff="cost-jp")

    xdr = stores.calls.settle("l1", talked(60))
    assert (xdr.cost_micros, xdr.cost_currency) == (300_000, "USD")
    assert not verify(stores.database, stores.tariffs, whole=True)


def test_a_trunk_that_is_disabled_stays_so_whatever_else_is_changed_meanwhile(
    shop_with_trunk: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change has read the trunk, and waits, when another process disables it."""
    read, go_on = threading.Event(), threading.Event()
    checked = trunks._checked_preference

    def slowly(preference: int) -> int:
        read.set()
        go_on.wait(10)
        return checked(preference)

    monkeypatch.setattr(trunks, "_checked_preference", slowly)
    change = shop_with_trunk.stores.trunks.change
    threads = [threading.Thread(target=change, args=("pstn",), kwargs={"preference": 70})]
    threads[0].start()
    assert read.wait(10)
    threads.append(threading.Thread(target=change, args=("pstn",), kwargs={"enabled": False}))
    threads[1].start()
    threads[1].join(1)  # where nobody has it wait, it is over by then
    go_on.set()
    for thread in threads:
        thread.join(20)
    trunk = shop_with_trunk.stores.trunks.named("pstn")
    assert (trunk.preference, trunk.enabled) == (70, False)
