"""The secret of a payment hook or of a message instance that was removed is never good again, also where another is
added under the same name.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from shop import Shop

from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.database.trail import note_change
from stasis_callback.web.signing import Signer

SIGNER = Signer("a secret of tests, long enough to be one")


def hook_secret(shop: Shop) -> str:
    """The secret that is in force."""
    return SIGNER.payment_secret("mpesa", shop.stores.payment_hooks.named("mpesa").turn)


def message_secret(shop: Shop) -> str:
    number = shop.stores.message_instances.named("sms").configuration.settings.secret_number
    return SIGNER.message_secret("sms", number)


def noted_before(shop: Shop, noun: str, name: str, *values: dict[str, object]) -> None:
    """What the version before has noted of a thing that it added, changed and removed, leaving no row."""
    steps: list[dict[str, object]] = [{}, *values, {}]
    with shop.stores.database.transaction():
        for before, after in pairwise(steps):
            note_change(shop.stores.database, shop.clock, noun, name, before, after, "jana")


# --- payment hooks ------------------------------------------------------------------------------------------------


def test_a_hook_that_is_added_again_has_none_of_its_former_secrets(shop: Shop) -> None:
    hooks, known = shop.stores.payment_hooks, list[str]()
    for _ in range(3):
        hooks.add("mpesa")
        known.append(hook_secret(shop))
        hooks.renew("mpesa")
        known.append(hook_secret(shop))
        hooks.remove("mpesa")
    assert len(set(known)) == 6
    assert hooks.add("other").turn == 1


def test_a_removed_hook_is_not_there(shop: Shop) -> None:
    hooks = shop.stores.payment_hooks
    hooks.add("mpesa")
    hooks.remove("mpesa")
    assert (hooks.all(), hooks.find("mpesa"), hooks.find(" mpesa")) == ([], None, None)
    for again in ("mpesa", " mpesa"):
        with pytest.raises(InvalidInput, match="unknown payment hook"):
            hooks.remove(again)
        with pytest.raises(InvalidInput, match="unknown payment hook"):
            hooks.renew(again)


def test_a_hook_that_an_older_version_removed_is_known_by_the_audit_log(shop: Shop) -> None:
    noted_before(shop, "payment-hook", "mpesa", {"name": "mpesa", "turn": 1}, {"name": "mpesa", "turn": 4})
    assert shop.stores.payment_hooks.add("mpesa").turn == 5


def test_a_hook_that_an_older_version_added_again_is_renewed_to_a_new_secret(shop: Shop) -> None:
    hooks = shop.stores.payment_hooks
    for _ in range(2):
        hooks.add("mpesa")
        hooks.remove("mpesa")
    hooks.add("mpesa")
    shop.sql("UPDATE payment_hook SET turn = 1 WHERE name = 'mpesa'")  # as it did
    assert hooks.renew("mpesa").turn == 3
    hooks.remove("mpesa")
    assert hooks.add("mpesa").turn == 4


# --- message instances --------------------------------------------------------------------------------------------


def test_an_instance_that_is_added_again_has_none_of_its_former_secrets(shop: Shop) -> None:
    instances, known = shop.stores.message_instances, list[str]()
    for _ in range(2):
        instances.add("sms", {"limit_number": "2/60"})
        known.append(message_secret(shop))
        instances.remove("sms")
    instances.add("sms", {"secret_number": "9"})
    known.append(message_secret(shop))
    instances.remove("sms")
    instances.add("sms", {})
    known.append(message_secret(shop))
    assert len(set(known)) == 4
    instances.add("other", {})
    assert instances.named("other").stored == {}


@pytest.mark.parametrize("number", ["1", "3"])
def test_a_secret_of_a_removed_instance_cannot_be_chosen(shop: Shop, number: str) -> None:
    instances = shop.stores.message_instances
    instances.add("sms", {"secret_number": "3"})
    instances.remove("sms")
    before = shop.rows()
    with pytest.raises(InvalidInput, match="set secret_number=4, or more"):
        instances.add("sms", {"secret_number": number})
    assert shop.rows() == before
    instances.add("sms", {"secret_number": "7"})
    for chosen in (number, ""):  # the default is 1
        with pytest.raises(InvalidInput, match="was removed: set secret_number=4, or more"):
            instances.change("sms", {"secret_number": chosen})
    instances.change("sms", {"secret_number": "5"})
    instances.change("sms", {"limit_number": "2/60"}, enabled=False)
    assert instances.named("sms").stored == {"secret_number": "5", "limit_number": "2/60"}


def test_all_secrets_that_an_instance_had_are_used_up_with_it(shop: Shop) -> None:
    instances = shop.stores.message_instances
    instances.add("sms", {})
    noted_before(shop, "message", "sms", {"enabled": True}, {"enabled": True, "secret_number": "8"})
    instances.change("sms", {"secret_number": "2"})
    instances.remove("sms")
    instances.add("sms", {})
    assert instances.named("sms").stored == {"secret_number": "9"}


def test_an_instance_that_an_older_version_removed_is_known_by_the_audit_log(shop: Shop) -> None:
    noted_before(shop, "message", "sms", {"enabled": True})
    shop.stores.message_instances.add("sms", {})
    assert shop.stores.message_instances.named("sms").stored == {"secret_number": "2"}


def test_a_removed_instance_is_not_there(shop: Shop) -> None:
    instances = shop.stores.message_instances
    instances.add("sms", {})
    instances.remove("sms")
    assert (instances.all(), instances.find("sms"), instances.find(" sms")) == ([], None, None)
    for name in ("sms", " sms"):
        with pytest.raises(InvalidInput, match="unknown message instance"):
            instances.change(name, {}, enabled=True)
        with pytest.raises(InvalidInput, match="unknown message instance"):
            instances.remove(name)


def test_who_has_used_the_last_number_takes_another_name(shop: Shop) -> None:
    instances = shop.stores.message_instances
    instances.add("sms", {"secret_number": "1000000"})
    instances.remove("sms")
    with pytest.raises(InvalidInput, match="take another name"):
        instances.add("sms", {})
