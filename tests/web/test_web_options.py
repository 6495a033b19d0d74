"""Every option of a web instance changes what happens: its scenario fails when the option is ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest
import test_forms
import test_links
import test_public_forms
import test_security
from ignoring import ignore_option
from web_site import Site

from stasis_callback.clock import wait_until
from stasis_callback.core import web
from stasis_callback.core.errors import InvalidInput


def _heading(site: Site) -> None:
    site.usual(title="Acme calls you")
    page = site.get("/web/calls").text
    assert "<h1>Acme calls you</h1>" in page
    assert "<title>Acme calls you</title>" in page


def _webhook(site: Site) -> None:
    site.usual(webhook_url="http://127.0.0.1:1/nobody")
    site.send()

    def step() -> tuple[str, int]:
        (row,) = site.shop.rows()["RequestEvent"]
        return row["delivery"], row["attempts"]

    assert wait_until(lambda: step() != ("due", 0), timeout_s=20)
    assert step() == ("due", 1), "tried, and to be tried again"


SCENARIOS: dict[str, Callable[[Site], None]] = {
    "type": test_forms.test_extended_takes_two_numbers_and_shows_the_status,
    "second_number": test_forms.test_simple_needs_an_account_id_and_calls_the_fixed_number,
    "internal_account": test_forms.test_hosted_opens_to_a_signed_link_until_it_expires,
    "require_password": test_forms.test_simple_with_a_password,
    "allowed_origins": test_security.test_a_site_that_is_named_may_send_its_own_form,
    "allowed_addresses": test_forms.test_hosted_opens_to_an_address_and_to_an_api_key,
    "link_hourly": test_links.test_one_link_does_not_ring_a_street_full_of_strangers,
    "frame_origins": test_public_forms.test_a_form_is_framed_by_the_sites_that_are_named,
    "opening_hours": test_public_forms.test_calls_are_made_in_the_opening_hours,
    "time_zone": test_public_forms.test_calls_are_made_in_the_opening_hours,
    "call_me_at": test_public_forms.test_a_time_is_chosen_by_the_clock_of_the_instance,
    "proof_of_work": test_public_forms.test_a_form_is_worth_some_work_once,
    "title": _heading,
    "show_cost": test_forms.test_the_cost_is_shown_only_where_it_may_be,
    "link_lifetime_s": test_forms.test_the_status_page_of_a_link_that_expires,
    "webhook_url": _webhook,
}


@pytest.mark.parametrize("name", ["title", "webhook_url"])
def test_an_option_has_its_effect(site: Site, name: str) -> None:
    """The other scenarios run where they are written."""
    SCENARIOS[name](site)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_scenario_fails_when_the_option_is_ignored(
    site: Site, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignore_option(monkeypatch, web, name)
    with pytest.raises((AssertionError, InvalidInput)):
        SCENARIOS[name](site)


def test_every_option_has_a_scenario() -> None:
    assert SCENARIOS.keys() == {field.name for field in fields(web.WebOptions)}
