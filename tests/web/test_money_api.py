"""The JSON API for accounts and money: what a payment provider, a shop and a billing system do with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from shop import talked
from web_site import ACCOUNT, Site

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.rating import Rate
from stasis_callback.store.audit import verify
from stasis_callback.store.rates.tariffs import NewRate


def top_up(site: Site, key: str, **values: Any) -> Any:
    body = {"id": "pay-1", "account": ACCOUNT, "amount": "12.50"} | values
    return site.api("POST", "/top-ups", key, json=body)


def test_a_top_up_of_two_amounts_is_none(site: Site) -> None:
    before = site.shop.rows()["Transfer"]
    body = '{"account": "' + ACCOUNT + '", "id": "pay-1", "amount": "50", "amount": "5"}'
    headers = {"Content-Type": "application/json"}
    refused = site.api("POST", "/top-ups", site.key("top-up"), data=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_json")
    assert refused.json()["detail"] == "'amount' is there more than once"
    assert site.shop.rows()["Transfer"] == before


def test_a_payment_tops_up_once_however_often_it_is_told(site: Site) -> None:
    site.account()
    site.stores.accounts.change(ACCOUNT, aliases=["447000000000"])
    key = site.key("top-up")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: top_up(site, key, note="card"), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert {answer.json()["balance"] for answer in answers} == {"22.50"}
    assert sorted(answer.json()["repeated"] for answer in answers) == [False] + [True] * 7
    by_alias = top_up(site, key, account="447000000000", currency="USD").json()
    assert (by_alias["account"], by_alias["repeated"]) == (ACCOUNT, True)
    site.stores.api_keys.revoke("program")
    assert top_up(site, site.key("top-up", name="its successor")).status_code == 200
    line = site.stores.ledger.statement(site.stores.accounts.named(ACCOUNT).book_id, 1)[0]
    assert (line.key, line.note, line.operator) == ("topup:pay-1", "card", "api:program")
    assert verify(site.stores.database, site.stores.tariffs) == []


@pytest.mark.parametrize(
    ("values",                              "status", "code"),
    [
        ({"amount": "13"},                  409,      "id_reused"),
        ({"account": "other"},              409,      "id_reused"),
        ({"id": "new", "account": "none"},  404,      "unknown_account"),
        ({"id": "new", "account": "gone"},  409,      "account_closed"),
        ({"id": "new", "amount": "0"},      422,      "bad_amount"),
        ({"id": "new", "amount": "0.001"},  422,      "bad_amount"),
        ({"id": "new", "amount": "9999999999"}, 422,  "bad_amount"),
        ({"id": "new", "currency": "EUR"},  422,      "bad_amount"),
        ({"id": "new", "amount": "-5"},     422,      "invalid_fields"),
        ({"id": "new", "amount": 5},        422,      "invalid_fields"),
        ({"id": " new"},                    422,      "invalid_fields"),
        ({"id": "new", "more": "x"},        422,      "invalid_fields"),
    ],
)  # fmt: skip
def test_what_cannot_be_paid_in_changes_nothing(
    site: Site, values: dict[str, Any], status: int, code: str
) -> None:
    site.account()
    site.account("other")
    site.account("gone")
    site.stores.accounts.close("gone", write_off=True, operator="test")
    key = site.key("top-up")
    assert top_up(site, key).status_code == 201
    before = site.shop.rows()
    refused = top_up(site, key, **values)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert site.shop.rows() == before


def test_accounts_are_opened_listed_and_changed(site: Site) -> None:
    key = site.key("accounts", "manage-accounts")
    for number in ("b@x", "a1", "c"):
        body = {"id": number, "customer": "people", "product": "callback"}
        opened = site.api("POST", "/accounts", key, json=body)
        assert (opened.status_code, opened.json()["balance"]) == (201, "0.00")
    again = site.api("POST", "/accounts", key, json=body)
    assert (again.status_code, again.json()["code"]) == (409, "account_exists")
    wrong = site.api("POST", "/accounts", key, json=body | {"id": "d", "customer": "nobody"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_input")
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = site.api("GET", f"/accounts?limit=1{f'&after={after}' if after else ''}", key).json()
        seen += [account["id"] for account in page["accounts"]]
        after = page["next"]
    assert seen == ["a1", "b@x", "c"]
    changed = site.api("PATCH", "/accounts/b@x", key, json={"status": "blocked", "language": "fr"}).json()
    assert (changed["status"], changed["language"]) == ("blocked", "fr")
    blocked = site.api("GET", "/accounts?status=blocked&customer=people&product=callback", key).json()
    assert [account["id"] for account in blocked["accounts"]] == ["b@x"]
    shown = site.api("GET", "/accounts/b@x", key).json()
    assert shown == changed
    assert site.api("GET", "/accounts/nobody", key).status_code == 404
    assert site.api("PATCH", "/accounts/nobody", key, json={}).status_code == 404
    assert site.api("PATCH", "/accounts/a1", key, json={"callback_number": "12"}).status_code == 422


def test_a_language_without_prompts_is_refused_as_by_the_command(site: Site) -> None:
    site.account()
    key = site.key("manage-accounts")
    refused = site.api("PATCH", f"/accounts/{ACCOUNT}", key, json={"language": "xx", "status": "blocked"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert "no prompts in language 'xx'" in refused.json()["detail"]
    account = site.stores.accounts.named(ACCOUNT)
    assert (account.language, account.status) == ("", "active")
    for language in ("es", ""):
        changed = site.api("PATCH", f"/accounts/{ACCOUNT}", key, json={"language": language}).json()
        assert changed["language"] == language


def test_vouchers_are_redeemed_once_for_an_account(site: Site) -> None:
    site.account()
    site.account("other")
    codes = site.stores.vouchers.generate("spring", 2, 5_000_000, "usd", length=12, alphabet="ABCDEFGH")
    key = site.key("vouchers")

    def redeem(code: str, account: str = ACCOUNT) -> Any:
        return site.api("POST", "/vouchers/redeem", key, json={"code": code, "account": account})

    first, again = redeem(codes[0]).json(), redeem(codes[0]).json()
    assert (first["amount"], first["balance"], first["repeated"]) == ("5.00", "15.00", False)
    assert again == first | {"repeated": True}
    for answer in (redeem(codes[0], "other"), redeem("XXXX")):
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_voucher")
    assert redeem(codes[1], "nobody").status_code == 404
    (batch,) = site.api("GET", "/vouchers", key).json()["batches"]
    assert (batch["batch"], batch["amount"], batch["new"], batch["redeemed"]) == ("spring", "5.00", 1, 1)
    line = site.stores.ledger.statement(site.stores.accounts.named(ACCOUNT).book_id, 1)[0]
    assert (line.kind, line.operator) == ("voucher", "api:program")
    assert verify(site.stores.database, site.stores.tariffs) == []


def test_what_a_key_changes_of_accounts_is_in_the_audit_log(site: Site) -> None:
    key = site.key("manage-accounts")
    site.api("POST", "/accounts", key, json={"id": "new", "customer": "people", "product": "callback"})
    for body in (
        {"status": "blocked", "language": "es"},
        {"status": "blocked"},  # which it is
        {"language": "it", "callback_number": "420212345678"},
        {"password": "2580"},
        {"language": ""},
        {"language": "xx", "status": "active"},  # refused
    ):
        site.api("PATCH", "/accounts/new", key, json=body)
    found = site.stores.trail.newest(name="new")
    assert {(one.operator, one.noun) for one in found} == {("api:program", "account")}
    opened = {
        "number": "new", "customer": "people", "product": "callback", "kind": "debit", "status": "active",
        "currency": "USD",
    }  # fmt: skip
    assert [(one.before, one.after) for one in reversed(found)] == [
        ({}, opened),
        ({"status": "active"}, {"status": "blocked", "language": "es"}),
        ({"language": "es"}, {"language": "it", "callback_number": "420212345678"}),
        ({"service password": None}, {"service password": "changed"}),
        ({"language": "it"}, {"language": None}),
    ]


def test_guessed_vouchers_lock_the_key(site: Site) -> None:
    from dataclasses import replace

    from stasis_callback.core.limits import Limit

    site.account()
    key = site.key("vouchers")
    usual = site.stores.api_keys.named("program").settings
    site.stores.api_keys.change("program", replace(usual, limit_logins=Limit(2, 60)))
    answers = [
        site.api("POST", "/vouchers/redeem", key, json={"code": f"GUESS{n}", "account": ACCOUNT})
        for n in range(3)
    ]
    assert [answer.status_code for answer in answers] == [422, 422, 429]
    assert answers[2].headers["Retry-After"] == "60"


def test_call_records_are_read_page_by_page(site: Site) -> None:
    account = site.account()
    other = site.account("other")
    requests = {payer.number: site.shop.request(payer) for payer in (account, other)}
    for n, payer in enumerate((account, account, other)):
        request = requests[payer.number]
        site.shop.leg(f"leg-{n}", payer, request, hold="1.00")
        site.stores.calls.settle(f"leg-{n}", talked(30 + n))
    key = site.key("xdrs")
    first = site.api("GET", "/xdrs?limit=2", key).json()
    second = site.api("GET", f"/xdrs?limit=2&after={first['next']}", key).json()
    xdrs = first["xdrs"] + second["xdrs"]
    assert ([xdr["id"] for xdr in xdrs], second["next"]) == (["leg-2", "leg-1", "leg-0"], None)
    assert (xdrs[0]["duration_s"], xdrs[0]["amount"], xdrs[0]["currency"]) == (32.0, "0.32", "USD")
    assert (xdrs[0]["prefix"], xdrs[0]["outcome"], xdrs[0]["side"]) == ("44", "answered", "b")
    mine = site.api("GET", "/xdrs?account=other", key).json()["xdrs"]
    assert [xdr["account"] for xdr in mine] == ["other"]
    of_one = site.api("GET", f"/xdrs?callback={xdrs[2]['callback']}", key).json()["xdrs"]
    assert [xdr["id"] for xdr in of_one] == ["leg-1", "leg-0"]
    assert site.api("GET", "/xdrs?since=2027-01-15T08:00:31Z", key).json()["xdrs"] == xdrs[:2]
    assert site.api("GET", "/xdrs?until=2027-01-15T08:00:31Z", key).json()["xdrs"] == xdrs[2:]


def test_rates_are_read_page_by_page_or_for_a_number(site: Site) -> None:
    rates = [NewRate(Rate(prefix, first_price_micros=90_000)) for prefix in ("4420", "447", "420")]
    site.stores.tariffs.put_rates("standard", rates)
    key = site.key("rates")
    assert site.api("GET", "/tariffs", key).json()["tariffs"] == [{"name": "standard", "currency": "USD"}]
    first = site.api("GET", "/tariffs/standard/rates?limit=3", key).json()
    assert [rate["prefix"] for rate in first["rates"]] == ["420", "44", "4420"]
    second = site.api("GET", f"/tariffs/standard/rates?limit=3&after={first['next']}", key).json()
    assert ([rate["prefix"] for rate in second["rates"]], second["next"]) == (["447"], None)
    narrow = site.api("GET", "/tariffs/standard/rates?prefix=44&limit=1", key).json()
    assert [rate["prefix"] for rate in narrow["rates"]] == ["44"]
    (fits,) = site.api("GET", "/tariffs/standard/rates?number=442071234567", key).json()["rates"]
    assert (fits["prefix"], fits["first_price"], fits["first_interval_s"]) == ("4420", "0.09", 1)
    assert site.api("GET", "/tariffs/standard/rates?number=33123456789", key).json()["rates"] == []
    assert site.api("GET", "/tariffs/none/rates", key).json()["code"] == "unknown_tariff"
    site.stores.tariffs.add("yen", "JPY")
    site.stores.tariffs.put_rates("yen", [NewRate(Rate("81", connect_fee_micros=3_000_000))])
    [yen] = site.api("GET", "/tariffs/yen/rates", key).json()["rates"]
    assert yen["connect_fee"] == "3"
    site.stores.tariffs.add("gone", "USD")
    with site.stores.database.transaction():
        site.stores.upkeep.remove("tariff", "gone", at_us=1)
    hidden = f"%20removed:%20{site.stores.tariffs.named('standard').id + 1}"
    assert site.api("GET", f"/tariffs/{hidden}/rates", key).json()["code"] == "unknown_tariff"


def test_a_number_that_the_tariff_does_not_sell_has_no_rate(site: Site) -> None:
    key = site.key("rates")

    def prefixes(number: str) -> list[str]:
        rates = site.api("GET", f"/tariffs/standard/rates?number={number}", key).json()["rates"]
        return [rate["prefix"] for rate in rates]

    assert prefixes("442071234567") == ["44"]
    for not_sold in ("441481256789", "449098790000", "44999"):  # Guernsey, premium, an emergency number
        assert prefixes(not_sold) == []
    guernsey = NewRate(Rate("441481", first_price_micros=90_000))
    site.stores.tariffs.put_rates("standard", [guernsey, NewRate(Rate("447", forbidden=True))])
    assert (prefixes("441481256789"), prefixes("447700900123")) == (["441481"], [])


def test_scopes_keep_apart_who_may_do_what(site: Site) -> None:
    site.account()
    paths = {
        "accounts": ("GET", "/accounts"),
        "manage-accounts": ("PATCH", f"/accounts/{ACCOUNT}"),
        "xdrs": ("GET", "/xdrs"),
        "top-up": ("POST", "/top-ups"),
        "vouchers": ("GET", "/vouchers"),
        "rates": ("GET", "/tariffs"),
    }
    keys = {scope: site.key(scope, name=scope) for scope in paths}
    for needed, (method, path) in paths.items():
        body: dict[str, Any] | None = None if method == "GET" else {}
        for scope, key in keys.items():
            refused = site.api(method, path, key, json=body).status_code == 403
            assert refused == (scope != needed)
    site.instance()
    with pytest.raises(InvalidInput, match="omit --instance"):
        site.key("xdrs", instance="calls", name="narrow")
