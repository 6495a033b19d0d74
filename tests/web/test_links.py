"""Signed links of hosted forms: how often, at what cost, and whom they may call."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from shop import talked
from web_site import SECRET, Site

from stasis_callback.clock import US_PER_S
from stasis_callback.core.requests import Link
from stasis_callback.core.words import Ending
from stasis_callback.store.calls.legs import Fare
from stasis_callback.web.signing import Signer

JSON = {"Accept": "application/json"}


def stranger(n: int) -> str:
    return f"+4474009{n:05d}"


def linked(site: Site, **limits: int) -> str:
    link = Link("0123456789abcdef", **limits)
    return Signer(SECRET).client_token("calls", site.shop.clock.at_us + 86_400 * US_PER_S, link)


def ask(site: Site, token: str, n: int) -> Any:
    return site.send(headers=JSON, client=token, first_number=stranger(n))


def ended(site: Site, request_id: str, seconds: int = 0) -> None:
    """The callback is over, and its leg A was charged for so long."""
    requests, calls = site.stores.requests, site.stores.calls
    requests.claim(100)
    if seconds:
        house = site.stores.accounts.named("house")
        rate = site.stores.tariffs.find("standard", "44")
        assert rate is not None
        calls.open_leg(f"{request_id}-a1", request_id, "a", Fare(house, "447400900001", rate), 5_000_000)
        calls.leg_answered(f"{request_id}-a1", site.shop.clock.at_us)
        calls.settle(f"{request_id}-a1", talked(seconds))
    requests.finish(request_id, Ending.COMPLETED)


def test_one_link_does_not_ring_a_street_full_of_strangers(site: Site) -> None:
    site.instance(kind="hosted", link_hourly="3")
    token = linked(site)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: ask(site, token, n), range(8)))
    codes = [answer.json().get("code", "made") for answer in answers]
    assert sorted(codes) == ["made"] * 3 + ["too_many_requests"] * 5
    late = next(answer for answer in answers if answer.status_code == 429)
    assert 3000 < int(late.headers["Retry-After"]) <= 3600
    other = Signer(SECRET).client_token("calls", site.shop.clock.at_us + 60 * US_PER_S)
    assert ask(site, other, 20).status_code == 201
    site.shop.clock.passes(3600)
    assert ask(site, token, 9).status_code == 201


def test_a_link_for_one_callback_makes_one_even_of_two_at_once(site: Site) -> None:
    site.instance(kind="hosted")
    token = linked(site, uses=1)
    assert site.send(headers=JSON, client=token, first_number="12").status_code == 422, (
        "it is not used up by this"
    )
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: ask(site, token, n), range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 403, 403, 403]
    refused = next(answer.json() for answer in answers if answer.status_code == 403)
    assert (refused["code"], refused["detail"][:27]) == ("link_used_up", "This link has been used up.")
    page = site.send(client=token, first_number=stranger(9))
    assert "This link has been used up." in page.text
    changed = token.replace(".1.0.", ".9.0.")
    assert ask(site, changed, 5).json()["code"] == "forbidden"


def test_a_link_costs_no_more_than_it_may(site: Site) -> None:
    site.instance(kind="hosted")
    token = linked(site, money_micros=1_000_000)
    first = ask(site, token, 1).json()["id"]
    assert ask(site, token, 2).json()["code"] == "in_progress", (
        "one at a time, so that it is known what they cost"
    )
    ended(site, first, seconds=60)
    second = ask(site, token, 3).json()["id"]
    ended(site, second, seconds=60)
    third = ask(site, token, 4)
    spent = sum(xdr.amount_micros for xdr in site.stores.calls.xdrs())
    assert spent >= 1_000_000
    assert third.json()["code"] == "link_used_up"


def test_who_does_not_want_such_calls_is_not_called_for_others(site: Site) -> None:
    site.usual()
    site.stores.opt_outs.add("442071234567", "wrote on Monday")
    refused = site.send(headers=JSON)
    assert (refused.status_code, refused.json()["fields"]) == (403, {"first_number": "opted_out"})
    assert site.send(headers=JSON, first_number="+447400900777").status_code == 201
    site.stores.opt_outs.remove("442071234567")
    assert site.send(headers=JSON, second_number="+447400900124").status_code == 409, "the account has a call"


def test_an_instance_has_a_limit_for_the_day_too(site: Site) -> None:
    site.instance(kind="hosted", allowed_addresses="127.0.0.1", limit_instance="1/60", limit_day="2/86400")
    assert ask(site, "", 1).status_code == 201
    site.shop.clock.passes(60)
    assert ask(site, "", 2).status_code == 201
    site.shop.clock.passes(60)
    assert int(ask(site, "", 3).headers["Retry-After"]) > 80_000
