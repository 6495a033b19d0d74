"""Words that a node of another version stored, of which this one knows no meaning: they stop nothing else."""

from __future__ import annotations

import json

from shop import NOON_US, UK_RATE, Shop
from structlog.testing import capture_logs

from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.progress import Step
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.trunk_state import TrunkState, states_from_text, states_to_text
from stasis_callback.store.rates.tariffs import NewRate


def _web_order(shop: Shop, key: str) -> str:
    """A callback whose steps are told to `shop`; its id."""
    account = shop.account(key)
    wanted = CallbackRequest(key, "web", key, "", "442071234567", "shop")
    assert shop.stores.requests.accept(
        wanted, account_id=account.id, subscriber_id=account.id, leg_a_number=key, stored_options={},
        queue_limit=9,
    ) == ""  # fmt: skip
    return next(request.id for request in shop.stores.requests.newest() if request.key == key)


def test_a_step_that_is_not_known_waits_for_a_node_that_knows_it_and_other_callbacks_do_not(
    shop: Shop,
) -> None:
    events = shop.stores.events
    newer, other = _web_order(shop, "100"), _web_order(shop, "200")
    events.note(newer, Step.CALLING_FIRST)
    shop.sql(f"UPDATE request_event SET step = 'waved_at' WHERE request_id = '{newer}' AND step = 'queued'")
    assert [(event.request_id, event.step) for event in events.claim("shop", 5)] == [(other, Step.QUEUED)]
    assert [event.step for event in events.of(newer)] == [Step.CALLING_FIRST]
    shop.sql("UPDATE request_event SET step = 'queued' WHERE step = 'waved_at'")
    shop.clock.passes(61)
    assert (newer, Step.QUEUED) in [(event.request_id, event.step) for event in events.claim("shop", 5)]


def test_an_outcome_that_is_not_known_is_a_failure() -> None:
    assert [Outcome.of(word) for word in ("busy", "abducted")] == [Outcome.BUSY, Outcome.FAILED]


def test_what_a_newer_node_says_of_its_trunks_is_shown_as_far_as_it_is_known() -> None:
    state = TrunkState("carrier", 1, "busy", NOON_US)
    (said,) = json.loads(states_to_text([state]))
    assert states_from_text(json.dumps([{**said, "weather": "fair"}])) == [state]


def test_by_terms_that_cannot_be_read_nothing_is_sold_and_all_else_is(shop: Shop) -> None:
    tariffs, tariff_id = shop.stores.tariffs, shop.account().tariff_id
    tariffs.add("other", "USD")
    tariffs.put_rates("other", [NewRate(UK_RATE)])
    shop.stores.accounts.add_product("others", "other")
    other_id = shop.stores.accounts.add("200", customer="people", product="others").tariff_id
    shop.unlock("tariff_terms")
    shop.sql(f"UPDATE tariff_terms SET off_peak = 'when it rains' WHERE tariff_id = {tariff_id}")
    with capture_logs() as lines:
        assert tariffs.match(tariff_id, "442071234567") is None
        assert tariffs.match(other_id, "442071234567")
    assert [(line["event"], line["option"]) for line in lines] == [("options.unusable", "terms")]
