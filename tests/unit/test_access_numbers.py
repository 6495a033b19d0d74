"""Access numbers and their options."""

from __future__ import annotations

import pytest
from shop import Shop

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.options import CallOptions


def test_a_new_access_number_is_enabled_and_has_the_defaults(shop: Shop) -> None:
    shop.stores.access_numbers.add("420800", {})
    number = shop.stores.access_numbers.find("420800")
    assert number is not None
    assert (number.enabled, number.stored, number.options) == (True, {}, CallOptions())
    assert shop.stores.access_numbers.find("42080") is None


def test_options_are_changed_one_by_one_and_an_empty_text_restores_the_default(shop: Shop) -> None:
    numbers = shop.stores.access_numbers
    numbers.add("420800", {"welcome": "on", "ring_timeout_a_s": "20"})
    numbers.change("420800", {"ring_timeout_a_s": "25", "reject_cause": "rejected"})
    (number,) = numbers.all()
    assert number.stored == {"welcome": "on", "ring_timeout_a_s": "25", "reject_cause": "rejected"}
    assert number.options == CallOptions(welcome=True, ring_timeout_a_s=25, reject_cause="rejected")
    numbers.change("420800", {"welcome": "", "reject_cause": "", "talk_limit_s": ""})
    assert numbers.all()[0].stored == {"ring_timeout_a_s": "25"}


def test_a_number_is_switched_off_and_on_without_losing_its_options(shop: Shop) -> None:
    numbers = shop.stores.access_numbers
    numbers.add("420800", {"welcome": "on"})
    for enabled in (False, True):
        numbers.change("420800", {}, enabled=enabled)
        assert [(n.enabled, n.stored) for n in numbers.all()] == [(enabled, {"welcome": "on"})]


@pytest.mark.parametrize(
    ("number", "options",                                "why"),
    [
        ("420800", {},                                       "already exists"),
        ("+420801", {},                                      "write 3 to 15 digits in E.164, country code first"),
        ("42", {},                                           "write 3 to 15 digits"),
        ("4208\n", {},                                       "write 3 to 15 digits"),
        ("٤٢٠٨", {},                                         "write 3 to 15 digits"),
        ("420801", {"welcome": "on", "wellcome": "on"},      "unknown option 'wellcome'"),
        ("420801", {"ring_timeout_a_s": "4"},                "5 to 120"),
    ],
)  # fmt: skip
def test_what_cannot_be_added_leaves_no_trace(
    shop: Shop, number: str, options: dict[str, str], why: str
) -> None:
    shop.stores.access_numbers.add("420800", {})
    before = shop.rows()
    with pytest.raises(InvalidInput, match=why):
        shop.stores.access_numbers.add(number, options)
    assert shop.rows() == before


@pytest.mark.parametrize(
    ("number", "options",                                "why"),
    [
        ("420801", {},                                       "unknown access number '420801'"),
        ("420800", {"welcome": "off", "wellcome": "on"},     "unknown option 'wellcome'"),
        ("420800", {"welcome": "off", "wellcome": ""},       "unknown option 'wellcome'"),
        ("420800", {"welcome": "off", "menu_limit_s": "1"},  "menu_limit_s 1 is invalid"),
    ],
)  # fmt: skip
def test_what_cannot_be_changed_changes_nothing(
    shop: Shop, number: str, options: dict[str, str], why: str
) -> None:
    shop.stores.access_numbers.add("420800", {"welcome": "on"})
    before = shop.rows()
    with pytest.raises(InvalidInput, match=why):
        shop.stores.access_numbers.change(number, options, enabled=False)
    assert shop.rows() == before
