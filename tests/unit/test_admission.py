"""What a missed call would lead to, found out without changing anything."""

from __future__ import annotations

import pytest
from shop import Shop

from stasis_callback.core.withheld import ABSENT, HIDDEN, KEYED
from stasis_callback.engine.admission.missed_calls import Admission

DNIS = "800"


def _examine(shop: Shop, ani: str, **options: str) -> tuple[str, str, list[str]]:
    shop.stores.access_numbers.add(DNIS, options)
    found = Admission(shop.stores, shop.clock, 10).examine(ani, DNIS)
    return found.reason, found.number, found.notes


@pytest.mark.parametrize(
    "ani", ["", *HIDDEN, *ABSENT, *KEYED, "Anonymous ", "RESTRICTED", "+266696687", "Private number"]
)
def test_a_withheld_number_is_no_number(shop: Shop, ani: str) -> None:
    assert _examine(shop, ani)[:2] == ("no_ani", "")


def test_a_prefixed_account_id_is_dialled_without_its_prefix(shop: Shop) -> None:
    shop.account("ani442071234567")
    reason, number, notes = _examine(shop, "02071234567", ani_rules="s/^0/ani44/")
    assert (reason, number) == ("", "442071234567")
    assert "the caller's number 02071234567 is translated to ani442071234567" in notes


def test_the_rate_that_leg_a_would_be_charged_by_is_named(shop: Shop) -> None:
    shop.account("442071234567")
    assert "at the rate of prefix 44" in _examine(shop, "442071234567")[2][-1]


def test_looking_changes_nothing(shop: Shop) -> None:
    shop.account("442071234567")
    _examine(shop, "442071234567")
    assert shop.stores.requests.newest() == []


@pytest.mark.option("min_attestation")
@pytest.mark.parametrize(
    ("least", "attestation", "reason"),
    [
        ("off", "", ""), ("off", "failed", ""), ("B", "A", ""), ("B", "B", ""), ("B", "C", "not_attested"),
        ("B", "", "not_attested"), ("A", "A", ""), ("A", "B", "not_attested"), ("A", "failed", "not_attested"),
    ],
)  # fmt: skip
def test_a_number_alone_opens_an_account_if_the_carriers_vouch_for_it(
    shop: Shop, least: str, attestation: str, reason: str
) -> None:
    shop.account("442071234567")
    shop.account("house")
    asked = {"min_attestation": least}
    shop.stores.access_numbers.add(DNIS, asked)
    shop.stores.access_numbers.add(
        "801", asked | {"authentication": "ani_then_pin", "internal_account": "house"}
    )
    admission = Admission(shop.stores, shop.clock, 10)
    assert admission.examine("442071234567", DNIS, attestation).reason == reason
    found = admission.examine("442071234567", "801", attestation)
    assert (found.reason, found.trigger) == ("", "pin" if reason else "ani")
