"""What operators do with the pages: finding, reading, files, secrets, a second operator, reports."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from html import unescape

import pytest
import requests
from console_site import PASSWORD, ConsoleSite, Operator
from shop import NOON_US, UK_RATE, talked

from stasis_callback.admin.calls.reports import GROUPS
from stasis_callback.admin.commands import described
from stasis_callback.admin.days import operators_zone, today
from stasis_callback.clock import US_PER_S
from stasis_callback.console import policy, reports
from stasis_callback.console.rendering import address, texts
from stasis_callback.core.outcomes import Outcome
from stasis_callback.store.calls import sums
from stasis_callback.store.calls.legs import LegEnd
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.web.texts import LANGUAGES


def test_an_account_is_found_shown_and_leads_to_everything_about_it(site: ConsoleSite) -> None:
    site.shop.account("420601123456")
    viewer = site.operator("viewer")
    found = viewer.get(viewer.get("/find?q=601123").headers["location"]).text
    assert "/do/account/show?number=420601123456" in found
    page = viewer.get("/do/account/show?number=420601123456").text
    for about in (
        "/do/xdr/list?account=",
        "/do/ledger/entries?account=",
        "/do/request/list?account=",
        "/do/customer/show?name=people",
    ):
        assert about in page
    assert "/do/account/topup" not in page  # not for viewers
    assert (
        "/do/account/topup?number=420601123456"
        in site.operator("manager").get("/do/account/show?number=420601123456").text
    )
    assert "unknown account" in viewer.get("/do/account/show?number=nobody").text


def test_a_callback_is_told_as_a_story_and_found_by_its_id(site: ConsoleSite) -> None:
    account = site.shop.account("420601123456")
    assert site.shop.missed_call(account) == ""
    (request_id,) = (row["id"] for row in site.shop.rows()["Request"])
    viewer = site.operator("viewer")
    where = viewer.get(f"/find?q={request_id}").headers["location"]
    assert where == f"/do/why?subject={request_id}"
    story = viewer.get(where).text
    assert 'class="story"' in story
    assert "missed call" in story
    assert f"/do/why?subject={request_id}" in viewer.get("/").text  # the queue


def test_pages_of_a_list_lead_to_each_other_and_give_csv(site: ConsoleSite) -> None:
    for n in range(5):
        site.shop.account(f"10{n}")
    viewer = site.operator("viewer")
    seen: list[str] = []
    where = "/do/account/list?run=1&limit=2"
    while where:
        page = viewer.get(where).text
        seen += re.findall(r"number=(10[0-9])", page)
        found = re.search(r'href="([^"]*after=10[0-9][^"]*)"', page)
        where = found[1].replace("&amp;", "&") if found else ""
    assert sorted(set(seen)) == ["100", "101", "102", "103", "104"]
    answer = viewer.get("/do/account/list?run=1&format=--csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    assert len(answer.text.splitlines()) == 6


def test_a_file_has_the_whole_list_and_not_a_page_of_it(site: ConsoleSite) -> None:
    for n in range(102):
        site.shop.account(f"{1000 + n}")
    viewer = site.operator("viewer")
    page = viewer.get("/do/account/list?run=1").text
    (second,) = re.findall(r'href="([^"]*after=[^"]+)"', page)
    for where in ("/do/account/list?run=1", unescape(second)):
        csv, json = (_file_of(viewer, where, kind) for kind in ("csv", "json"))
        assert (len(csv.text.splitlines()), len(json.json())) == (103, 102)
    assert len(_file_of(viewer, "/do/account/list?run=1&limit=2", "csv").text.splitlines()) == 3


def test_every_link_to_a_file_gives_one(site: ConsoleSite) -> None:
    site.shop.account("100")
    owner = site.operator("owner")
    links = []
    for command in described().values():
        access = policy.access(command.name)
        if access and access.reads and not any(p.required for p in command.parameters):
            page = owner.get(address(command.name, run="1")).text
            links += [unescape(link) for link in re.findall(r'href="([^"]*format=--[^"]*)"', page)]
    assert len(links) > 40
    for link in links:
        answer = owner.get(link)
        assert "attachment" in answer.headers.get("content-disposition", ""), (link, answer.text)


def _file_of(viewer: Operator, where: str, kind: str) -> requests.Response:
    """What the link to CSV or JSON of a page gives."""
    (found,) = re.findall(rf'href="([^"]*format=--{kind}[^"]*)"', viewer.get(where).text)
    return viewer.get(unescape(found))


def test_a_rate_list_is_uploaded_shown_and_imported(site: ConsoleSite) -> None:
    boss = site.operator("manager")
    rates = {"file": ("../../Rates March.csv", io.BytesIO(b"prefix,first_price\n49,0.10\n43,0.20\n"))}
    shown = boss.does("rate import", rates, tariff="standard", dry_run="on").text
    assert "Done" in shown
    assert "console-" not in shown  # no folder of this machine
    assert site.shop.stores.tariffs.find("standard", "49") is None
    rates["file"][1].seek(0)
    assert "Done" in boss.does("rate import", rates, tariff="standard").text
    assert site.shop.stores.tariffs.find("standard", "49") is not None
    assert boss.does("rate import", tariff="standard").status_code == 400  # no file


def test_codes_are_downloaded_once_and_stay_on_no_disk(site: ConsoleSite) -> None:
    boss = site.operator("manager")
    answer = boss.does("voucher generate", batch="may", count="3", amount="5", currency="USD")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert len(answer.text.splitlines()) == 4
    refused = boss.does("voucher generate", batch="may", count="3", amount="5", currency="USD")
    assert refused.status_code == 400
    assert "already exists" in refused.text


def test_a_batch_is_printed_as_cards_when_it_is_made(site: ConsoleSite) -> None:
    """Of a voucher only a hash is stored, so its card can be printed at no other time."""
    boss = site.operator("manager")
    made = {"batch": "<may>", "count": "3", "amount": "5", "currency": "USD", "expires": "2030-12-31"}
    assert '<option value="html">' in boss.get("/do/voucher/generate").text
    answer = boss.does("voucher generate", ending__out="html", **made)
    assert answer.headers["content-disposition"].endswith('.html"')
    codes = re.findall(
        "<li>&lt;may&gt;<strong>([^<]*)</strong>5.00 USD<br>until 2030-12-31</li>", answer.text
    )
    assert len(codes) == 3
    site.shop.account("100")
    assert (
        "5.00 USD credited" in boss.does("voucher redeem", account="100", code=codes[0].replace(" ", "")).text
    )
    pins = {
        "count": "2",
        "customer": "people",
        "product": "callback",
        "batch": "june",
        "opening_balance": "2",
    }
    cards = boss.does("account generate", ending__out="html", **pins).text
    numbers = [
        code.replace(" ", "") for code in re.findall("<li>june<strong>([^<]*)</strong>2.00 USD", cards)
    ]
    assert {account.number for account in site.shop.stores.accounts.all()} == {"100", *numbers}
    other = boss.does("voucher generate", ending__out="exe", **made | {"batch": "other"})
    assert other.headers["content-disposition"].endswith('.csv"')


def test_what_was_chosen_of_a_file_stays_when_a_command_is_refused(site: ConsoleSite) -> None:
    """Codes cannot be had twice: whoever sends the form again gets them as they wanted them."""
    boss = site.operator("manager")
    made = {"batch": "may", "count": "x", "amount": "5", "currency": "USD", "ending__out": "html"}
    site.shop.clock.passes(900)  # since they proved who they are
    for proof, status in (({"proof__password": "no", "proof__code": "1"}, 403), ({}, 400)):
        if not proof:
            proof = {"proof__password": PASSWORD, "proof__code": boss.code()}
        refused = boss.does("voucher generate", **made, **proof)
        assert refused.status_code == status
        assert '<option value="html" selected>' in refused.text
        assert refused.text.count("selected") == 1
    page = boss.get("/do/account/statement?run=1&number=none&html=on")
    assert page.status_code == 400
    assert re.search('name="html" value="on" checked', page.text)
    assert "checked" not in boss.get("/do/account/statement?run=1&number=none").text


def test_the_language_changes_and_the_page_stays(site: ConsoleSite) -> None:
    site.shop.account("100")
    viewer = site.operator("viewer")
    for where in (
        "/reports?by=trunk&from=2027-01-01",
        "/do/account/show?number=100",
        "/do/account/list?run=1&text=1%2600",
    ):
        page = viewer.get(where).text
        (link,) = re.findall(r'<a href="([^"]*)" lang="it"', page)
        again = where.partition("?")[0] + unescape(link)
        shown = viewer.get(again).text
        assert '<html lang="it">' in shown
        (back,) = re.findall(r'<a href="([^"]*)" lang="en"', shown)
        assert unescape(back) == f"?{where.partition('?')[2]}&lang=en"
        assert '<html lang="en">' in viewer.get(where.partition("?")[0] + unescape(back)).text


def test_beside_an_access_number_one_asks_what_a_call_would_do(site: ConsoleSite) -> None:
    boss = site.operator("manager")
    site.shop.account("420601123456")
    boss.does("access-number add", number="420800123456")
    for page in ("show", "set"):
        text = boss.get(f"/do/access-number/{page}?number=420800123456").text
        assert re.search(r'name="dnis" value="420800123456">[^$]*?name="ani"', text), page
    assert 'name="dnis"' not in boss.get("/do/access-number/list?run=1").text
    asked = {"dnis": "420800123456", "ani": "420601123456", "run": "1"}
    assert "420601123456" in boss.get("/do/access-number/test", params=asked).text
    for heading in texts("en")["option_groups"].values():
        assert f"<legend>{heading}</legend>" in text


def test_what_a_command_asks_for_without_echo_has_a_field(site: ConsoleSite) -> None:
    site.shop.account("100")
    helper = site.operator("support")
    asked = helper.does("account set", number="100", service_password="on")
    assert asked.status_code == 400
    assert 'name="secret" type="password"' in asked.text
    assert "Done" in helper.does("account set", number="100", service_password="on", secret="1ak45").text
    assert "1ak45" not in str(site.shop.rows())


def test_a_new_key_is_shown_once(site: ConsoleSite) -> None:
    owner = site.operator("owner")
    made = owner.does("api-key add", name="crm", scopes="status")
    key = re.search(r"sc_[A-Za-z0-9_-]{30,}|[A-Za-z0-9_-]{40,}", re.sub(r"<input[^>]*>", "", made.text))
    assert made.status_code == 200
    assert key
    assert key[0] not in owner.get("/noun/api-key").text


def test_the_operator_stands_in_the_audit_log_and_in_the_ledger(site: ConsoleSite) -> None:
    site.shop.account("100")
    boss, helper = site.operator("manager", "boss"), site.operator("support", "jana")
    helper.does("account block", number="100")
    boss.does("account topup", number="100", amount="2")
    newest = site.shop.stores.trail.newest(noun="account")[0]
    assert (newest.operator, newest.after) == ("jana", {"status": "blocked"})
    assert ",boss," in boss.get("/do/ledger/entries?account=100&format=--csv").text
    assert "jana" in boss.get("/do/audit/list").text


def test_what_is_refused_is_said_in_the_words_of_the_command_and_kept_in_the_form(site: ConsoleSite) -> None:
    boss = site.operator("manager")
    refused = boss.does("customer add", name="Bolt", currency="dollars")
    assert refused.status_code == 400
    assert "currency" in refused.text
    assert 'value="Bolt"' in refused.text
    assert [row["name"] for row in site.shop.stores.accounts.customers()] == ["people"]


def test_reports_are_drawn_beside_the_time_before(site: ConsoleSite) -> None:
    shop = site.shop
    account = shop.account("100")
    shop.leg("leg-1", account, shop.request(account), hold="1.00")
    shop.stores.calls.settle("leg-1", talked(30))
    viewer = site.operator("viewer")
    day = "2027-01-15"
    page = viewer.get(f"/reports?by=day&from={day}&to={day}").text
    assert page.count("<svg") >= 7
    assert page.count('<th scope="col" lang="en">day</th>') == 1
    assert "2027-01-14 – 2027-01-14" in page
    assert "Revenue USD" in page
    assert re.search(r'<rect class="bar"[^>]*><title>2027-01-15: 1', page)
    by_prefix = viewer.get(f"/reports?by=prefix&from={day}&to={day}").text
    assert "44" in by_prefix
    refused = viewer.get("/reports?account=nobody")
    assert refused.status_code == viewer.get("/do/report/calls?run=1&account=nobody").status_code == 400
    assert refused.text.count("unknown account") == 1


def test_reports_are_by_all_that_the_command_groups_by_and_by_nothing_else(site: ConsoleSite) -> None:
    account = site.shop.account("100")
    assert site.shop.leg("leg-1", account, site.shop.request(account), hold="1.00")
    site.shop.stores.calls.settle("leg-1", talked(30))
    viewer = site.operator("viewer")
    for group in GROUPS:
        answer = viewer.get(f"/reports?by={group}&from=2027-01-01&to=2027-01-31")
        assert answer.status_code == 200
        assert f'<option value="{group}" selected>' in answer.text
        assert f'<th scope="col" lang="en">{group}</th>' in answer.text
    refused = viewer.get("/reports?by=foo")
    assert refused.status_code == 400
    assert "--by &#39;foo&#39; is unknown: use one of day, account" in refused.text
    assert "<svg" not in refused.text


def test_a_day_that_is_a_word_is_shown_as_the_day(site: ConsoleSite) -> None:
    viewer = site.operator("viewer")
    now = today(operators_zone())
    for query in ("from=yesterday&to=today", "from=yesterday&to=today&account=nobody"):
        page = viewer.get(f"/reports?{query}").text
        assert f'name="from" type="date" value="{now - timedelta(days=1)}"' in page
        assert f'name="to" type="date" value="{now}"' in page


@pytest.mark.parametrize(
    ("days",                           "why"),
    [
        ("from=2026-11-30&to=2026-11-01",  "--from must not be after --to"),
        ("from=2001-01-01&to=2026-11-30",  "limited to 3660 days"),
        ("from=bogus",                     "&#39;bogus&#39; is not a date"),
        ("to=bogus",                       "&#39;bogus&#39; is not a date"),
    ],
)  # fmt: skip
def test_days_that_cannot_be_reported_are_refused_and_not_replaced(
    site: ConsoleSite, days: str, why: str
) -> None:
    page = site.operator("viewer").get(f"/reports?{days}").text
    assert why in page
    assert "<svg" not in page
    for name, text in (part.split("=") for part in days.split("&")):
        assert f'id="{name}" name="{name}" type="date" value="{text}"' in page


def test_a_report_of_years_is_of_these_years(site: ConsoleSite) -> None:
    page = site.operator("viewer").get("/reports?by=account&from=2020-01-01&to=2026-11-30").text
    assert 'value="2020-01-01"' in page
    assert "2013-01-31 – 2019-12-31" in page
    far = site.operator("viewer").get("/reports?by=account&from=2000-01-01&to=2009-12-31")
    assert far.status_code == 200


def test_a_report_that_takes_too_long_for_a_page_is_had_as_a_file(
    site: ConsoleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = site.shop
    account = shop.account("100")
    request = shop.request(account)
    for n in range(3):
        shop.leg(f"leg-{n}", account, request, hold="0.50")
        shop.stores.calls.settle(f"leg-{n}", talked(30))
    viewer = site.operator("viewer")
    of_a_day = "by=account&from=2027-01-15&to=2027-01-15&prefix=44"
    assert "<svg" in viewer.get(f"/reports?{of_a_day}").text
    monkeypatch.setattr(sums, "MANY_XDRS", 2)
    page = viewer.get(f"/reports?{of_a_day}").text
    assert "takes too long for a page: choose fewer days, or take it as a file" in page
    assert "<svg" not in page
    assert 'value="2027-01-15"' in page
    (link,) = re.findall(r'<a href="([^"]*format=--csv[^"]*)">CSV</a>', page)
    file = viewer.get(unescape(link))
    assert file.status_code == 200
    assert file.text.splitlines()[1].startswith("100,3,100.0,")

    of_command = viewer.get("/do/report/calls?run=1&by=account&first=2027-01-15&last=2027-01-15")
    assert of_command.status_code == 400
    assert "format=--csv" in of_command.text
    day_after = viewer.get("/reports?by=account&from=2027-01-16&to=2027-01-16").text
    assert "Compared with" not in day_after  # that takes too long


def test_minutes_add_up_to_the_same_by_day_as_by_account(site: ConsoleSite) -> None:
    """Each line shows them rounded, and no total is a sum of these."""
    shop = site.shop
    account = shop.account("100")
    request = shop.request(account)
    for n in range(7):
        shop.leg(f"leg-{n}", account, request, hold="0.50")
        begin_us = NOON_US - n * 86_400 * US_PER_S
        end = LegEnd(begin_us, begin_us + 11 * US_PER_S, Outcome.ANSWERED, 16, "events")
        shop.stores.calls.settle(f"leg-{n}", end)
    charged_s = sum(row["charged_s"] for row in shop.rows()["Xdr"])
    for by in ("day", "account"):
        page = site.operator("viewer").get(f"/reports?by={by}&from=2027-01-01&to=2027-01-15").text
        total = re.search(r'Charged minutes</strong>\s*<span class="total">([\d.]+)<', page)
        assert total
        assert float(total[1]) == round(charged_s / 60, 1), by


def test_means_of_two_currencies_are_rounded_like_those_of_one(site: ConsoleSite) -> None:
    stores = site.shop.stores
    stores.tariffs.add("euros", "EUR")
    stores.tariffs.put_rates("euros", [NewRate(UK_RATE)])
    stores.accounts.add_product("eurocall", "euros")
    stores.accounts.add_customer("Europeans", "EUR")
    poor = stores.accounts.add("200", customer="Europeans", product="eurocall")
    stores.ledger.top_up(poor.book_id, 10_000_000, key="first-200")
    dollars, euros = site.shop.account("100"), stores.accounts.get(poor.id)
    requests = {account.number: site.shop.request(account) for account in (dollars, euros)}
    for n, (account, seconds) in enumerate(((dollars, 10), (euros, 11), (euros, 11))):
        site.shop.leg(f"leg-{n}", account, requests[account.number], hold="1.00")
        stores.calls.settle(f"leg-{n}", talked(seconds))
    page = site.operator("viewer").get("/reports?by=outcome&from=2027-01-15&to=2027-01-15").text
    assert "<span>answered</span> <strong>10.7</strong>" in page
    assert "10.66" not in page


def test_the_groups_of_now_are_compared_with_themselves_before(
    site: ConsoleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they were not among the first of the time before."""
    shop = site.shop
    monkeypatch.setattr(reports, "LINES_LIMIT", 1)
    accounts = {number: shop.account(number) for number in ("100", "200")}
    requests = {number: shop.request(account) for number, account in accounts.items()}
    talks = (("100", 10, 1), ("200", 60, 1), ("100", 90, 0), ("200", 30, 0))
    for n, (number, seconds, days_ago) in enumerate(talks):
        shop.leg(f"leg-{n}", accounts[number], requests[number], hold="3.00")
        begin_us = NOON_US - days_ago * 86_400 * US_PER_S
        end = LegEnd(begin_us, begin_us + seconds * US_PER_S, Outcome.ANSWERED, 16, "events")
        shop.stores.calls.settle(f"leg-{n}", end)
    day = "2027-01-15"
    page = site.operator("viewer").get(f"/reports?by=account&from={day}&to={day}").text
    assert "(others)" in page
    line = re.search(r"<li><span>100</span> <strong>1.5</strong>.*?</li>", page, re.DOTALL)
    assert line
    assert "before: 0.2</span>" in line[0]
    assert '<line class="before"' in line[0]


def test_the_live_panels_are_told_when_they_change(site: ConsoleSite) -> None:
    viewer = site.operator("viewer")
    with viewer.get("/live", stream=True) as stream:
        lines = stream.iter_lines(decode_unicode=True)
        first = "\n".join(line for line, _ in zip(lines, range(30), strict=False))
        assert "event: panels" in first
        site.shop.missed_call(site.shop.account("420601123456"))
        assert any("420601123456" in line for line in lines)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_console_has_all_its_words_in_each_language(site: ConsoleSite, language: str) -> None:
    def names(words: object, path: str = "") -> set[str]:
        return (
            {f"{path}{k}.{n}" for k, v in words.items() for n in names(v)}
            if isinstance(words, dict)
            else {""}
        )

    assert names(texts(language)) == names(texts("en"))
    viewer = site.operator("viewer")
    viewer.http.headers["accept-language"] = language
    page = viewer.get("/").text
    assert f'<html lang="{language}">' in page
    assert texts(language)["panels"]["queue"] in page
    chosen = next(other for other in LANGUAGES if other != language)
    viewer.get(f"/?lang={chosen}")
    assert f'<html lang="{chosen}">' in viewer.get("/").text


def test_commands_and_their_fields_have_names_in_each_language(site: ConsoleSite) -> None:
    known = [command for name, command in described().items() if policy.access(name)]
    labels = {parameter.label for command in known for parameter in command.parameters}
    assert (set(texts("en")["verbs"]), set(texts("en")["labels"])) == ({one.verb for one in known}, labels)
    page = site.operator("manager").get("/do/account/topup?number=100&lang=es").text
    assert '<label for="p-amount">importe' in page
    assert "<button>recargar</button>" in page
    assert 'title="Show an account, found by its id or an alias.">mostrar</a>' in page


def test_a_key_for_an_authenticator_is_also_a_picture(site: ConsoleSite) -> None:
    made = (
        site.operator("owner")
        .does("console user add", name="eve", role="viewer", secret="a long password")
        .text
    )
    assert re.search(r'<div class="picture" role="img"[^>]*><svg [^>]*>.*<path', made)
    assert "<svg" not in site.operator("owner").does("console user set", name="eve", role="support").text


def test_what_the_menu_calls_things_exists(site: ConsoleSite) -> None:
    owner = site.operator("owner")
    for noun in texts("en")["nouns"]:
        assert owner.get(f"/noun/{noun}").status_code == 200, noun
    assert {command.noun for command in described().values()} - {""} == set(texts("en")["nouns"])
