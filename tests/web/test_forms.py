"""The forms: what each type asks for, what is wrong beside its field, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shop import talked
from web_site import (
    ACCOUNT,
    FIRST_E164,
    HELP_DESK,
    PASSWORD,
    SECOND_E164,
    SECRET,
    Site,
    hidden,
    open_site,
)

from stasis_callback.clock import US_PER_S
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.words import Ending
from stasis_callback.web.signing import Signer
from stasis_callback.web.texts import FOLDER, LANGUAGES, Texts


def _queued(site: Site) -> Any:
    (row,) = site.callbacks()
    return site.stores.requests.get(row["id"])


def test_extended_takes_two_numbers_and_shows_the_status(site: Site) -> None:
    site.usual()
    answer = site.send()
    assert answer.status_code == 303
    request = _queued(site)
    assert (request.leg_a_number, request.destination) == (FIRST_E164, SECOND_E164)
    assert (request.triggered_by, request.instance, site.woken) == ("web", "calls", 1)
    page = site.get(answer.headers["Location"])
    assert page.status_code == 200
    assert "Your call is waiting" in page.text
    assert FIRST_E164 not in page.text, "a link may be seen by others: numbers are masked"


def test_simple_needs_an_account_id_and_calls_the_fixed_number(site: Site) -> None:
    site.account()
    site.instance(kind="simple")
    assert 'name="password"' not in site.get("/web/calls").text
    assert site.send(password="", second_number="").status_code == 303
    request = _queued(site)
    assert (request.leg_a_number, request.destination) == (FIRST_E164, HELP_DESK)
    assert request.options.announce_balance == request.options.announce_duration == "off"
    assert request.options.caller_id_a == HELP_DESK


def test_a_second_number_sent_to_a_simple_form_is_not_called(site: Site) -> None:
    site.account()
    site.instance(kind="simple")
    site.send(second_number="+447400900999")
    assert _queued(site).destination == HELP_DESK


def test_simple_with_a_password(site: Site) -> None:
    site.account()
    site.instance(kind="simple", require_password="on")
    assert 'name="password"' in site.get("/web/calls").text
    assert site.send(password="wrong").status_code == 403
    assert site.send().status_code == 303


def test_a_tariff_of_its_own_by_the_access_code(site: Site) -> None:
    site.usual()
    site.send()
    assert _queued(site).options.access_code == "WEBCALLBACK"


# --- hosted --------------------------------------------------------------------------------------------------


def test_hosted_is_closed_to_everybody(site: Site) -> None:
    site.instance(kind="hosted")
    assert site.get("/web/calls").status_code == 403
    assert site.send().status_code == 403
    assert site.send(client="1999999999.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").status_code == 403
    assert site.callbacks() == []


def test_hosted_opens_to_a_signed_link_until_it_expires(site: Site) -> None:
    site.instance(kind="hosted")
    site.instance("other", kind="hosted")
    token = Signer(SECRET).client_token("calls", site.shop.clock.at_us + 60 * US_PER_S)
    page = site.get(f"/web/calls?client={token}")
    assert page.status_code == 200
    assert hidden(page.text, "client") == token
    assert site.send("other", client=token).status_code == 403
    assert site.send(client=token).status_code == 303
    request = _queued(site)
    assert (request.subscriber_id, request.destination) == (None, HELP_DESK)
    assert request.account_id == site.stores.accounts.named("house").id
    site.shop.clock.passes(60)
    assert site.send(client=token).status_code == 403


def test_hosted_opens_to_an_address_and_to_an_api_key(site: Site) -> None:
    site.instance(kind="hosted", allowed_addresses="127.0.0.0/8")
    assert site.send().status_code == 303
    site.instance("other", kind="hosted", allowed_addresses="192.0.2.0/24")
    assert site.send("other").status_code == 403
    key = site.key("create", instance="other")
    bearer = {"Authorization": f"Bearer {key}"}
    assert site.send("other", bearer, first_number="+447400900555").status_code == 303
    assert site.send("calls", bearer | {"X-Forwarded-For": "192.0.2.1"}).status_code != 403
    wrong = site.key("status", name="another")
    assert site.send("other", {"Authorization": f"Bearer {wrong}"}).status_code == 403


def test_hosted_without_a_second_number_asks_for_one_in_the_call(site: Site) -> None:
    site.instance(kind="hosted", allowed_addresses="127.0.0.1", second_number="")
    site.stores.web_instances.change("calls", {"second_number": ""})
    assert site.send().status_code == 303
    assert _queued(site).destination == ""


def test_what_the_internal_account_has_is_never_said(site: Site) -> None:
    site.instance(kind="hosted", allowed_addresses="127.0.0.1", announce_balance="funds")
    site.send()
    assert _queued(site).options.announce_balance == "off"


# --- what is wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields",                                   "status", "field",         "words"),
    [
        ({"account": ""},                        422,      "account",       "Please fill this in."),
        ({"password": ""},                       422,      "password",      "Please fill this in."),
        ({"first_number": " "},                  422,      "first_number",  "Please fill this in."),
        ({"first_number": "12"},                 422,      "first_number",  "country code"),
        ({"first_number": "+4420712"},           422,      "first_number",  "not a phone number"),
        ({"first_number": "+44 20 7123 4567; x"},422,      "first_number",  "not a phone number"),
        ({"second_number": "call me"},           422,      "second_number", "country code"),
        ({"second_number": FIRST_E164},          422,      "second_number", "Both numbers are the same."),
        ({"account": "x" * 65},                  422,      "account",       "too long"),
        ({"account": "nobody"},                  403,      "account",       "account number or the password"),
        ({"password": "wrong"},                  403,      "account",       "account number or the password"),
        ({"first_number": "+33 1 23 45 67 89"},  422,      "first_number",  "cannot call this number"),
        ({"second_number": "+33 1 23 45 67 89"}, 422,      "second_number", "cannot call this number"),
    ],
)  # fmt: skip
def test_a_problem_is_told_beside_its_field(
    site: Site, fields: dict[str, str], status: int, field: str, words: str
) -> None:
    site.usual()
    answer = site.send("calls", None, **fields)
    assert answer.status_code == status
    beside = answer.text.partition(f'id="{field}-problem">')[2].partition("</p>")[0]
    assert words in beside
    assert f'href="#{field}"' in answer.text
    kept = field not in ("account", "password")
    assert (f'value="{PASSWORD}"' in answer.text) == kept, "it is wrong, or may be"
    assert site.callbacks() == []


@pytest.mark.parametrize(
    ("written", "region", "dialled"),
    [
        ("+44 20 7123 4567", "", "442071234567"),
        ("0044 (20) 7123-4567", "", "442071234567"),
        ("442071234567", "", "442071234567"),
        ("020 7123 4567", "GB", "442071234567"),
        ("(020) 7123 4567", "GB", "442071234567"),
        ("07400 900123", "GB", "447400900123"),
        ("442071234567", "GB", "442071234567"),
        ("00442071234567", "GB", "442071234567"),
        ("44 20 7123 4567", "CZ", "442071234567"),
    ],
)
def test_numbers_in_national_and_international_form(
    site: Site, written: str, region: str, dialled: str
) -> None:
    site.usual(region=region)
    assert site.send(first_number=written, second_number="+447400900999").status_code == 303
    assert _queued(site).leg_a_number == dialled


def test_the_form_of_a_country_shows_its_numbers_as_they_are_written_there(site: Site) -> None:
    site.usual(region="GB")
    assert "0121\u00a0234\u00a05678" in site.get("/web/calls").text
    site.instance("abroad")
    assert "+44\u00a0121\u00a0234\u00a05678" in site.get("/web/abroad").text


def test_the_same_form_sent_twice_is_one_callback(site: Site) -> None:
    site.usual()
    first = site.send(form_key="key-1")
    second = site.send(form_key="key-1")
    assert (first.status_code, second.status_code) == (303, 303)
    assert first.headers["Location"] == second.headers["Location"]
    assert len(site.callbacks()) == 1


def test_a_corrected_form_may_have_the_same_key(site: Site) -> None:
    site.usual()
    assert site.send(form_key="key-1", password="wrong").status_code == 403
    assert site.send(form_key="key-1").status_code == 303


def test_a_program_gets_json_when_it_asks_for_it(site: Site) -> None:
    site.usual()
    json = {"Accept": "application/json"}
    wrong = site.send(headers=json, second_number="12345")
    assert (wrong.status_code, wrong.json()["fields"]) == (422, {"second_number": "needs_country"})
    right = site.send(headers=json)
    assert right.status_code == 201
    assert right.json()["status_url"].startswith(site.settings.web.origin + "/status/")
    assert site.get("/web/nothing", headers=json).json()["code"] == "not_found"


# --- words and looks -----------------------------------------------------------------------------------------


def test_every_language_has_every_text() -> None:
    english = Texts("en")
    for language in LANGUAGES:
        other = Texts(language)
        for section in ("form", "problems", "pages", "status", "reasons"):
            assert other[section].keys() == english[section].keys(), (language, section)
            for name, text in english[section].items():
                assert text.count("{") == other[section][name].count("{"), (language, name)
    assert sorted(file.stem for file in FOLDER.iterdir()) == sorted(LANGUAGES)


@pytest.mark.parametrize(
    ("path", "accept", "language"),
    [
        ("/web/calls", "", "en"),
        ("/web/calls", "ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("/web/calls", "de, it;q=0.5, fr;q=0.7", "fr"),
        ("/web/calls?lang=es", "ru", "es"),
        ("/web/calls?lang=xx", "zz;q=nonsense", "en"),
        ("/web/calls?lang=de", "", "en"),
    ],
)
def test_the_language_of_a_page(site: Site, path: str, accept: str, language: str) -> None:
    site.instance(languages="en,es,fr,it,ru")
    page = site.get(path, headers={"Accept-Language": accept})
    assert f'<html lang="{language}">' in page.text
    assert Texts(language)["form"]["title"] in page.text


def test_the_call_is_in_the_language_of_the_page(site: Site) -> None:
    site.usual(languages="en,ru")
    answer = site.send(language="ru")
    assert _queued(site).options.languages == "ru"
    assert "Ваш звонок" in site.get(answer.headers["Location"]).text


def test_an_operators_own_look(tmp_path: Path) -> None:
    look = tmp_path / "look"
    look.mkdir()
    (look / "default.css").write_text(":root { --accent: #7a1fa2 }")
    (look / "calls.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    with open_site(tmp_path, brand_dir=str(look)) as site:
        site.instance(title="Acme calls you")
        site.instance("other")
        page = site.get("/web/calls").text
        assert "<h1>Acme calls you</h1>" in page
        assert 'href="/brand/default.css"' in page
        assert 'src="/brand/calls.svg"' in page
        assert "#7a1fa2" in site.get("/brand/default.css").text
        assert "/brand/calls.svg" not in site.get("/web/other").text
        assert site.get("/brand/../shop.db").status_code == 404
        assert site.get("/brand/%2e%2e/shop.db").status_code == 404


def test_an_instance_that_is_switched_off_or_gone(site: Site) -> None:
    site.usual()
    site.stores.web_instances.change("calls", {}, enabled=False)
    assert site.get("/web/calls").status_code == site.send().status_code == 404
    assert site.get("/web/" + "x" * 500).status_code == 404


def test_the_status_page_of_a_link_that_expires(site: Site) -> None:
    site.usual(link_lifetime_s="60")
    link = site.send().headers["Location"]
    assert site.get(link).status_code == 200
    assert site.get(link + "/events", stream=True).status_code == 200
    assert site.get(link[:-1] + ("A" if link[-1] != "A" else "B")).status_code == 404
    site.shop.clock.passes(61)
    assert site.get(link).status_code == 404
    assert site.get(link + "/events").status_code == 404
    assert site.http.post(site.base + link + "/cancel", timeout=10).status_code == 404
    assert site.ended == []


def test_cancelling_by_the_button(site: Site) -> None:
    site.usual()
    link = site.send().headers["Location"]
    answer = site.http.post(f"{site.base}{link}/cancel", allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.headers["Location"]) == (303, link)
    assert site.callbacks()[0]["state"] == "cancelled"
    page = site.get(link).text
    assert "You cancelled the call." in page
    assert "<button" not in page
    assert site.send().status_code == 303, "who cancelled may ask again"


def test_without_javascript_the_page_reloads_itself(site: Site) -> None:
    site.usual()
    page = site.get(site.send().headers["Location"]).text
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page


def test_the_cost_is_shown_only_where_it_may_be(site: Site) -> None:
    site.usual()
    link = site.send().headers["Location"]
    (row,) = site.callbacks()
    site.stores.requests.claim(1)
    account = site.stores.accounts.named(ACCOUNT)
    request = site.stores.requests.get(row["id"])
    site.shop.leg(f"{row['id']}-b1", account, request, hold="1.00")
    site.stores.requests.answered(site.stores.requests.get(row["id"]))
    site.stores.calls.settle(f"{row['id']}-b1", talked(30))
    site.stores.requests.finish(row["id"], Ending.COMPLETED)
    key = site.key()
    page = site.get(link).text
    assert "0:30" in page
    assert "USD" not in page
    assert site.api("GET", f"/callbacks/{row['id']}", key).json()["cost"] is None
    site.stores.web_instances.change("calls", {"show_cost": "on"})
    assert "0.30 USD" in site.get(link).text
    shown = site.api("GET", f"/callbacks/{row['id']}", key).json()["cost"]
    assert shown == {"amount": "0.30", "currency": "USD"}


@pytest.mark.parametrize(
    ("ending", "answered", "sentence"),
    [
        ("daily_limit",               False, "This account has reached its limit for today."),
        ("account_blocked",           False, "This account cannot be used now. Please contact your provider."),
        ("account_expired",           False, "This account cannot be used now. Please contact your provider."),
        ("no_route",                  False, "We cannot call this number at present."),
        ("destination_not_in_tariff", False, "We cannot call this number at present."),
        ("too_late",                  False, "We could not call you in time. Please request the call again."),
        ("not_accepted",              True,  "You did not confirm the call, so we did not connect you."),
        ("no_destination",            True,  "There was no number we could connect you to."),
        ("low_balance",               True,  "There was not enough credit."),
        ("login_failed",              True,  "The call could not be connected."),
                ("busy",                      True,  "The call could not be connected."),
        ("congestion",                False, "The call could not be connected."),
        ("not_dialed",                False, "The call could not be connected."),
        ("of another release",        False, "The call could not be connected."),
    ],
)  # fmt: skip
def test_the_page_says_truly_how_a_call_ended(site: Site, ending: str, answered: bool, sentence: str) -> None:
    site.usual()
    link = site.send().headers["Location"]
    (request,) = site.stores.requests.claim(1)
    if answered:
        site.stores.requests.answered(request)
    site.stores.requests.finish(request.id, ending)  # type: ignore[arg-type]  # one of them is of another release
    assert sentence in site.get(link).text


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (Outcome.BUSY, "Your phone was busy."),
        (Outcome.NO_ANSWER, "You did not answer."),
        (Outcome.CONGESTION, "We could not reach your phone."),
        (Outcome.NOT_DIALED, "The call could not be connected."),
    ],
)
def test_the_page_speaks_of_a_phone_only_if_it_was_called(
    site: Site, outcome: Outcome, sentence: str
) -> None:
    site.usual()
    link = site.send().headers["Location"]
    (request,) = site.stores.requests.claim(1)
    leg_id = f"{request.id}-a1"
    site.shop.leg(leg_id, site.stores.accounts.named(ACCOUNT), request, hold="1.00", side="a")
    site.stores.calls.settle(leg_id, talked(0, outcome=outcome))
    site.stores.requests.finish(request.id, Ending.of_leg(outcome))
    assert sentence in site.get(link).text
