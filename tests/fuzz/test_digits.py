"""Anything is keyed in any menu: the call ends, is paid for, and reaches nothing but numbers that have a price."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from deranged import examples
from fault_rig import Site, new_site
from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.core.kinds import Kind
from stasis_callback.core.numbering import kind_of
from stasis_callback.core.rating import Rate
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork

CALLERS = 10
QUICK = {
    "first_digit_timeout_s": "1",
    "inter_digit_timeout_s": "1",
    "dedupe_window_s": "0",
    "menu_limit_s": "20",
    "ring_timeout_b_s": "5",
}
MENUS: dict[str, dict[str, str]] = {
    "420800000001": {},
    "420800000002": {"languages": "en,es,fr,it,ru", "answer_check": "press_one"},
    "420800000003": {
        "authentication": "pin",
        "internal_account": "house",
        "ask_password": "on",
        "register_ani": "ask",
        "lockout_failures": "100",
        "login_attempts": "10",
    },
    "420800000004": {"terminator": "none", "redial_key": "1", "destination_attempts": "10"},
    "420800000005": {"dial_rules": "s/^0/44/; s/^9/00000000000000/", "welcome": "on"},
}
"""Access numbers by what they ask for."""

Keys = list[tuple[float, str]]

digits = st.text("0123456789*#ABCD", max_size=24) | st.sampled_from(
    [
        "442071234567#",
        "6192345678#",
        "4711#",
        "1",
        "**",
        "##",
        "420800000001#",
        "00442071234567#",
        "112#",
        "4420712#",
        "44" * 9 + "#",
        "9" * 12 + "#",
    ]
)
keys = st.lists(st.tuples(st.floats(0, 0.8), digits), max_size=8)
crowds = st.lists(st.tuples(st.sampled_from(sorted(MENUS)), keys), min_size=CALLERS, max_size=CALLERS)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with FakeAsterisk(speed=25) as fake, new_site(FakeNetwork(fake), tmp_path) as made:
        made.sells(
            Rate("420", first_price_micros=60_000, next_price_micros=60_000),
            Rate("44", first_price_micros=120_000, next_price_micros=120_000),
        )
        made.account("house", funds="1000")
        made.account("6192345678", funds="1000")
        made.stores.accounts.change("6192345678", password="4711")
        for number, options in MENUS.items():
            made.access_number(number, **QUICK | options)
        for n in range(CALLERS):
            made.account(_caller(n), funds="1000")
        made.phone("442071234567").answers(after_s=0.1).hangs_up(after_s=0.5)
        yield made


def _caller(n: int) -> str:
    return f"42077700{n:04d}"


@pytest.mark.timeout(3600)
def test_anything_is_keyed_in_any_menu(site: Site) -> None:
    @given(crowds)
    @examples(4, 100, slow=True)
    def call(crowd: list[tuple[str, Keys]]) -> None:
        for n, (_, keyed) in enumerate(crowd):
            phone = site.phone(_caller(n)).forget().answers(after_s=0.05)
            for after_s, text in keyed:
                phone.dials(text, after_s=after_s)
            phone.hangs_up(after_s=1.5)
        with ThreadPoolExecutor(CALLERS) as callers:
            list(callers.map(lambda n: site.rings(ani=_caller(n), dnis=crowd[n][0]), range(CALLERS)))
        site.until(lambda: not site.under_way(), timeout_s=90)
        site.clean()

    with site.running(housekeeping_s=1):
        call()
        crashes = ("call.crashed", "call.failed", "worker.failed", "task.failed", "ari.handler_failed")
        assert [line for name in crashes for line in site.events(name)] == []
    reached = {xdr.number for xdr in site.xdr_list() if xdr.side == "b"}
    assert [number for number in reached if not re.fullmatch("(44|420)[0-9]{0,13}", number)] == []
    assert not reached & set(MENUS)
    assert {kind_of(number) for number in reached} <= {Kind.ORDINARY}
