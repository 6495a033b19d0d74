"""Two operators who change something at the same moment: nothing is lost, and the audit log blames nobody for what
another did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from lock_rig import beside
from shop import Shop

from stasis_callback.admin.audit import recorded
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.limits import Limit

pytestmark = pytest.mark.postgres

FORM = {"type": "simple", "second_number": "420212345678"}


@pytest.fixture
def carriers(shop: Shop) -> Shop:
    """A vendor with a trunk, and two tariffs to buy by."""
    stores = shop.stores
    stores.trunks.add_vendor("v", "EUR")
    for tariff in ("cost", "cost2"):
        stores.tariffs.add(tariff, "EUR")
    stores.trunks.add("t1", vendor="v", tariff="cost")
    return shop


def test_two_options_of_a_form_are_both_kept(shop: Shop) -> None:
    forms = shop.stores.web_instances
    forms.add("w", FORM)

    def ann() -> None:
        with recorded(shop.stores, "web", "w"):
            forms.change("w", {"require_password": "on"})

    def bob() -> None:
        with recorded(shop.stores, "web", "w"):
            forms.change("w", {"languages": "it"})

    beside(shop, ann, bob).result()
    assert dict(forms.named("w").stored) == FORM | {"require_password": "on", "languages": "it"}


def test_two_settings_of_an_api_key_are_both_kept(shop: Shop) -> None:
    keys = shop.stores.api_keys
    keys.add("k", ["create"])

    def changes(**values: object) -> Callable[[], None]:
        def change() -> None:
            with recorded(shop.stores, "api-key", "k"):
                keys.change("k", replace(keys.named("k").settings, **values))  # type: ignore[arg-type]  # by name

        return change

    limit = Limit.parse("10/60")
    beside(shop, changes(addresses="10.0.0.1"), changes(limit_requests=limit)).result()
    assert (keys.named("k").settings.addresses, keys.named("k").settings.limit_requests) == (
        "10.0.0.1",
        limit,
    )


def test_a_trunk_that_is_being_renamed_is_not_changed_by_its_old_name(carriers: Shop) -> None:
    stores = carriers.stores

    def ann() -> None:
        with stores.trail.change("trunk", "t2", dict):
            stores.upkeep.rename("trunk", "t1", "t2")

    def bob() -> None:
        with recorded(stores, "trunk", "t1"):
            stores.trunks.change("t1", preference=70)

    with pytest.raises(InvalidInput, match="unknown trunk 't1'"):
        beside(carriers, ann, bob).result()
    assert [(trunk.name, trunk.preference) for trunk in stores.trunks.all()] == [("t2", 50)]


def test_a_tariff_that_is_being_removed_is_given_to_no_trunk(carriers: Shop) -> None:
    stores = carriers.stores

    def ann() -> None:
        with recorded(stores, "tariff", "cost2"):
            stores.upkeep.remove("tariff", "cost2", 1)

    def bob() -> None:
        with recorded(stores, "trunk", "t1"):
            stores.trunks.change("t1", tariff="cost2")

    with pytest.raises(InvalidInput, match="unknown tariff 'cost2'"):
        beside(carriers, ann, bob).result()
    assert stores.trunks.named("t1").tariff == "cost"


def test_the_audit_log_says_of_each_what_each_has_changed(shop: Shop) -> None:
    accounts = shop.stores.accounts
    shop.account("100")

    def ann() -> None:
        with recorded(shop.stores, "account", "100"):
            accounts.change("100", callback_number="420777777777")

    def bob() -> None:
        with recorded(shop.stores, "account", "100"):
            accounts.change("100", status="blocked")

    beside(shop, ann, bob).result()
    noted = shop.stores.trail.newest(noun="account", name="100", limit=2)
    assert [(entry.operator, entry.after) for entry in noted] == [
        ("bob", {"status": "blocked"}),
        ("ann", {"callback_number": "420777777777"}),
    ]


@pytest.mark.parametrize(
    ("noun", "add"),
    [
        ("web", lambda shop: shop.stores.web_instances.add("new", FORM)),
        ("vendor", lambda shop: shop.stores.trunks.add_vendor("new", "EUR")),
        ("api-key", lambda shop: shop.stores.api_keys.add("new", ["create"])),
        ("customer", lambda shop: shop.stores.accounts.add_customer("new", "EUR")),
    ],
)
def test_the_second_of_two_who_add_the_same_name_is_told_so(
    shop: Shop, noun: str, add: Callable[[Shop], object]
) -> None:
    def adds() -> None:
        with recorded(shop.stores, noun, "new"):
            add(shop)

    with pytest.raises(InvalidInput, match="already exists"):
        beside(shop, adds, adds).result()


def test_of_two_who_add_the_same_route_the_last_one_says_how_much_it_is_preferred(carriers: Shop) -> None:
    def adds(preference: int) -> Callable[[], None]:
        def add() -> None:
            with recorded(carriers.stores, "trunk", "t1"):
                carriers.stores.trunks.add_route("t1", "44", preference)

        return add

    beside(carriers, adds(10), adds(20)).result()
    assert carriers.stores.trunks.named("t1").routes == {"44": 20}


def test_a_form_that_an_api_key_is_made_for_is_not_removed(shop: Shop) -> None:
    stores = shop.stores
    stores.web_instances.add("w", FORM)

    def ann() -> None:
        with recorded(stores, "api-key", "k"):
            stores.api_keys.add("k", ["create"], "w")

    def bob() -> None:
        with recorded(stores, "web", "w"):
            stores.web_instances.remove("w")

    with pytest.raises(InvalidInput, match="API key 'k' is for w"):
        beside(shop, ann, bob).result()
