"""The JSON API: keys and scopes, the same key twice and twenty times at once, and what its description promises."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import booleans
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from web_site import ACCOUNT, FIRST, FIRST_E164, PASSWORD, SECOND, SECOND_E164, Site

from stasis_callback.core.limits import Limit
from stasis_callback.core.words import Refusal

UNWANTED = [positive_data_acceptance, negative_data_rejection]
BODY = {
    "instance": "calls",
    "account": ACCOUNT,
    "password": PASSWORD,
    "first_number": FIRST,
    "second_number": SECOND,
}


def create(site: Site, key: str, idempotency_key: str = "", **values: Any) -> Any:
    body = {name: value for name, value in (BODY | values).items() if value is not None}
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    return site.api("POST", "/callbacks", key, json=body, headers=headers)


def test_a_callback_is_created_seen_and_cancelled(site: Site) -> None:
    site.usual()
    key = site.key()
    made = create(site, key)
    assert made.status_code == 201
    callback = made.json()
    assert (callback["first_number"], callback["second_number"]) == (FIRST_E164, SECOND_E164)
    assert (callback["step"], callback["over"], callback["instance"]) == ("queued", False, "calls")
    assert made.headers["Location"] == f"/api/v1/callbacks/{callback['id']}"
    assert site.http.get(callback["status_url"], timeout=10).status_code == 200

    seen = site.api("GET", f"/callbacks/{callback['id']}", key).json()
    assert seen["steps"] == callback["steps"]
    cancelled = site.api("POST", f"/callbacks/{callback['id']}/cancel", key)
    assert (cancelled.status_code, cancelled.json()["step"]) == (200, "cancelled")
    again = site.api("POST", f"/callbacks/{callback['id']}/cancel", key)
    assert (again.status_code, again.json()["code"]) == (409, "over")


@pytest.mark.parametrize(
    ("values",                        "status", "code"),
    [
        ({"password": "wrong"},       403,      "wrong_login"),
        ({"account": "nobody"},       403,      "wrong_login"),
        ({"password": None},          422,      "required"),
        ({"first_number": "12345"},   422,      "needs_country"),
        ({"second_number": FIRST},    422,      "same_number"),
        ({"instance": "other"},       404,      "unknown_instance"),
        ({"instance": "../etc"},      422,      "invalid_fields"),
        ({"more": "fields"},          422,      "invalid_fields"),
        ({"account": "x" * 65},       422,      "invalid_fields"),
        ({"account": "a\x00b"},       422,      "invalid_fields"),
        ({"account": 7},              422,      "invalid_fields"),
    ],
)  # fmt: skip
def test_errors_have_a_code(site: Site, values: dict[str, Any], status: int, code: str) -> None:
    site.usual()
    answer = create(site, site.key(), **values)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert site.callbacks() == []


def test_a_key_is_needed_and_does_what_its_scopes_say(site: Site) -> None:
    site.usual()
    for wrong in ("", "sck_nobody", "x" * 500):
        answer = create(site, wrong)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    keys = {scope: site.key(scope, name=scope) for scope in ("create", "status", "cancel", "list")}
    made = create(site, keys["create"]).json()["id"]
    calls: dict[str, Callable[[str], Any]] = {
        "create": lambda key: create(site, key),
        "status": lambda key: site.api("GET", f"/callbacks/{made}", key),
        "list": lambda key: site.api("GET", "/callbacks", key),
        "cancel": lambda key: site.api("POST", f"/callbacks/{made}/cancel", key),
    }
    for needed, call in calls.items():
        for scope, key in keys.items():
            assert (call(key).status_code == 403) == (scope != needed)
    site.stores.api_keys.revoke("list")
    assert calls["list"](keys["list"]).status_code == 401


def test_a_key_for_one_instance_sees_no_other(site: Site) -> None:
    site.usual()
    site.instance("other")
    made = create(site, site.key()).json()["id"]
    other = site.key(instance="other", name="other")
    assert create(site, other).status_code == 404
    assert site.api("GET", f"/callbacks/{made}", other).status_code == 404
    assert site.api("POST", f"/callbacks/{made}/cancel", other).status_code == 404
    assert site.api("GET", "/callbacks", other).json()["callbacks"] == []
    assert site.api("GET", "/callbacks?instance=calls", other).status_code == 404
    assert site.callbacks()[0]["state"] == "queued"


def test_any_account_is_a_scope_of_its_own(site: Site) -> None:
    site.usual()
    key = site.key("create", "any-account")
    assert create(site, key, password=None).status_code == 201
    assert create(site, key, password="wrong").status_code == 403


def test_a_key_opens_a_hosted_instance(site: Site) -> None:
    site.instance(kind="hosted")
    assert create(site, site.key("create")).status_code == 201


def test_the_list_goes_page_by_page(site: Site) -> None:
    site.instance(kind="hosted")
    key = site.key("create", "list")
    for n in range(5):
        create(site, key, first_number=f"+44207123450{n}")
        site.shop.clock.passes(1)
    first = site.api("GET", "/callbacks?limit=3", key).json()
    second = site.api("GET", f"/callbacks?limit=3&after={first['next']}", key).json()
    numbers = [one["first_number"][-1] for page in (first, second) for one in page["callbacks"]]
    assert (numbers, second["next"]) == (["4", "3", "2", "1", "0"], None)
    assert site.api("GET", "/callbacks?state=done", key).json()["callbacks"] == []
    assert site.api("GET", "/callbacks?after=nonsense", key).status_code == 422


def test_the_list_is_filtered(site: Site) -> None:
    site.instance(kind="hosted")
    site.instance("other", kind="hosted")
    key = site.key("create", "list")
    for n in range(3):
        instance = "calls" if n else "other"
        create(site, key, instance=instance, first_number=f"+44207123450{n}", reference=f"ticket-{n}")
    site.shop.clock.passes(60)
    create(site, key, first_number="+442071234509")
    create(site, key, first_number="+442071234508", account="nobody", instance="other")

    def found(query: str) -> list[str]:
        callbacks = site.api("GET", f"/callbacks?{query}", key).json()["callbacks"]
        return [one["first_number"][-1] for one in callbacks]

    assert found("reference=ticket-1") == ["1"]
    assert found("number=442071234502") == ["2"]
    assert len(found("number=442079460958")) == 5
    assert found("since=2027-01-15T08:01:00Z&instance=calls") == ["9"]
    assert sorted(found("until=2027-01-15T09:01:00%2B01:00")) == ["0", "1", "2"]
    assert len(found("account=house")) == 5
    assert found("account=nobody") == []
    assert site.api("GET", "/callbacks?since=yesterday", key).json()["fields"] == {"since": "not_a_time"}
    pages: list[list[str]] = []
    after: str | None = ""
    while after is not None:  # five, of which three and two have the same time
        page = site.api("GET", "/callbacks?limit=2" + (f"&after={after}" if after else ""), key).json()
        pages.append([one["id"] for one in page["callbacks"]])
        after = page["next"]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert len({one for page in pages for one in page}) == 5


def test_every_answer_has_an_id_and_says_how_many_requests_are_left(site: Site) -> None:
    site.usual()
    key = site.key("list")
    settings = replace(site.stores.api_keys.named("program").settings, limit_requests=Limit(2, 60))
    site.stores.api_keys.change("program", settings)
    answers = [site.api("GET", "/callbacks", key, headers={"X-Request-Id": f"mine-{n}"}) for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["X-Request-Id"] for answer in answers] == ["mine-0", "mine-1", "mine-2"]
    assert [answer.headers["RateLimit"] for answer in answers] == [f'"key";r={n};t=60' for n in (1, 0, 0)]
    assert answers[0].headers["RateLimit-Policy"] == '"key";q=2;w=60'
    assert (answers[2].json()["code"], answers[2].headers["Retry-After"]) == ("rate_limited", "60")
    site.shop.clock.passes(60)
    assert site.api("GET", "/callbacks", key).status_code == 200
    own = site.api("GET", "/nothing", headers={"X-Request-Id": "with spaces"})
    assert re.fullmatch("[0-9a-f]{16}", own.headers["X-Request-Id"])
    assert (own.status_code, own.headers["Content-Type"]) == (404, "application/problem+json")
    assert own.json() == {
        "type": "urn:stasis-callback:not_found",
        "title": "There is nothing at this address.",
        "status": 404,
        "detail": "",
        "code": "not_found",
        "fields": {},
    }


def test_the_own_reference_goes_with_a_callback(site: Site) -> None:
    site.usual()
    key = site.key()
    made = create(site, key, reference="ticket-4711").json()
    refused = create(site, key, reference="ticket-4712")
    assert refused.json()["code"] == "in_progress"
    listed = site.api("GET", "/callbacks", key).json()["callbacks"]
    assert {one["reference"]: one["step"] for one in listed} == {
        "ticket-4711": "queued",
        "ticket-4712": "refused",
    }
    assert made["reference"] == "ticket-4711"
    assert create(site, key, reference="x" * 65).status_code == 422


def test_what_was_refused_is_shown_as_refused(site: Site) -> None:
    site.usual(languages="en,ru")
    key = site.key()
    create(site, key, account="nobody")
    (seen,) = site.api("GET", "/callbacks", key).json()["callbacks"]
    assert (seen["step"], seen["over"], seen["reason"]) == ("refused", True, "wrong_login")
    assert (seen["first_number"], [step["step"] for step in seen["steps"]]) == (FIRST_E164, ["refused"])
    assert site.api("GET", f"/callbacks/{seen['id']}", key).json()["step"] == "refused"
    page = site.http.get(seen["status_url"], timeout=10).text
    assert "The call was refused. The account number or the password is wrong." in page
    assert "data-events" not in page
    events = site.http.get(f"{seen['status_url']}/events", timeout=10).text
    assert '"step": "refused"' in events
    assert '"over": true' in events


# --- who is counted -------------------------------------------------------------------------------------------------


def test_right_logins_at_once_are_all_let_in(site: Site) -> None:
    site.usual(limit_source="1000/60", limit_account="1000/60", limit_number="1000/60", dedupe_window_s="0")
    site.stores.accounts.change(ACCOUNT, simultaneous_calls=100)
    key = site.key()

    def one(n: int) -> int:
        numbers = {"first_number": f"+4420712345{n}", "second_number": f"+4474009001{n}"}
        return int(create(site, key, **numbers).status_code)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(10, 30)))
    assert answers == [201] * 20


def test_a_program_is_not_locked_by_the_mistakes_of_its_customers(site: Site) -> None:
    site.usual(limit_source="3/60", limit_source_logins="2/60", dedupe_window_s="0")
    key = site.key("create")

    def wrong(end_user: str | None, n: int) -> str:
        return str(create(site, key, account=f"wrong-{n}", end_user=end_user).json()["code"])

    assert [wrong("ann", n) for n in range(3)] == ["wrong_login", "wrong_login", "locked_out"]
    assert [wrong("bob", n) for n in range(3)] == ["wrong_login", "wrong_login", "locked_out"]
    assert [wrong(None, n) for n in range(5)] == ["wrong_login"] * 5, (
        "the limits of one person are not its own"
    )
    assert create(site, key).status_code == 201
    form = {"first_number": "", "end_user": "eve"}
    proof = {"Authorization": f"Bearer {key}"}
    assert [site.send(headers=proof, **form).status_code for _ in range(5)] == [422] * 5


def test_what_a_key_may_have_is_its_own(site: Site) -> None:
    site.usual()
    usual = site.key()
    narrow = site.stores.api_keys.named("program").settings
    site.stores.api_keys.change("program", replace(narrow, limit_logins=Limit(2, 60)))
    codes = [create(site, usual, account=f"w{n}").json()["code"] for n in range(3)]
    assert codes == ["wrong_login", "wrong_login", "locked_out"]
    site.stores.api_keys.change("program", replace(narrow, addresses="192.0.2.0/24"))
    assert create(site, usual).status_code == 401
    site.stores.api_keys.change("program", replace(narrow, addresses="192.0.2.0/24, 127.0.0.0/8"))
    assert create(site, usual).status_code == 201
    at_us = site.shop.clock.at_us + 60_000_000
    site.stores.api_keys.change("program", replace(narrow, expires_at_us=at_us))
    assert site.api("GET", "/callbacks", usual).status_code == 200
    site.shop.clock.passes(60)
    assert site.api("GET", "/callbacks", usual).status_code == 401


# --- the same key again ---------------------------------------------------------------------------------------------


def test_the_same_key_twenty_times_at_once_is_one_callback(site: Site) -> None:
    site.usual()
    key = site.key()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: create(site, key, "order-4711"), range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(site.callbacks()) == 1


def test_the_same_key_gets_the_first_answer_and_another_body_an_error(site: Site) -> None:
    site.usual()
    key = site.key()
    first = create(site, key, "order-1")
    site.stores.requests.cancel(first.json()["id"])
    again = create(site, key, "order-1")
    assert (again.status_code, again.json()) == (201, first.json())
    other = create(site, key, "order-1", second_number="+447400900999")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(site.callbacks()) == 1


def test_a_refusal_is_an_answer_too(site: Site) -> None:
    site.usual()
    key = site.key()
    first = create(site, key, "order-1", account="nobody")
    again = create(site, key, "order-1", account="nobody")
    assert (first.status_code, again.status_code) == (403, 403)
    assert first.json() == again.json()
    assert len(site.shop.rows()["Request"]) == 1


def test_later_is_not_kept(site: Site) -> None:
    site.usual(limit_number="1/60")
    key = site.key()
    made = create(site, key).json()["id"]
    site.stores.requests.cancel(made)
    assert create(site, key, "order-2").status_code == 429
    site.shop.clock.passes(61)
    assert create(site, key, "order-2").status_code == 201


@pytest.mark.parametrize("why", ["in_progress", "no_funds"])
def test_what_time_or_money_changes_is_not_kept(site: Site, why: str) -> None:
    site.usual(dedupe_window_s="0")
    key, blocks = site.key(), ""
    if why == "in_progress":
        blocks = create(site, key, second_number="+447400900999").json()["id"]
    else:
        site.account("poor")
        site.shop.sql("UPDATE book SET balance_micros = 0 WHERE NOT house")
    refused = create(site, key, "order-2")
    assert refused.json()["code"] == why
    if blocks:
        site.stores.requests.cancel(blocks)
    else:
        site.shop.sql("UPDATE book SET balance_micros = 10000000 WHERE NOT house")
    assert create(site, key, "order-2").status_code == 201
    assert create(site, key, "order-2").status_code == 201
    assert len(site.callbacks()) == (2 if blocks else 1)


def test_a_callback_whose_answer_was_never_stored_is_not_made_again(site: Site) -> None:
    site.usual()
    key = site.key()
    first = create(site, key, "order-1").json()["id"]
    site.shop.sql("UPDATE idempotency SET answer = NULL")  # as a death before the answer leaves it
    site.shop.clock.passes(11)
    assert create(site, key, "order-1", second_number="+447400900999").status_code == 422
    assert create(site, key, "order-1").json()["id"] == first
    site.shop.clock.passes(86_401)
    site.server.tidy()
    assert create(site, key, "order-1").json()["id"] == first, "as long as the callback is there"
    assert len(site.callbacks()) == 1


def test_keys_of_two_programs_are_two(site: Site) -> None:
    site.usual(dedupe_window_s="0")
    first = create(site, site.key(name="one"), "order-1").json()["id"]
    site.stores.requests.cancel(first)
    assert create(site, site.key(name="two"), "order-1").json()["id"] != first


def test_a_key_is_forgotten_after_a_day_and_the_password_is_not_kept(site: Site) -> None:
    site.usual()
    key = site.key()
    create(site, key, "order-1")
    assert PASSWORD not in repr(site.shop.rows()["Idempotency"])
    site.shop.clock.passes(86_401)
    site.server.tidy()
    assert site.shop.rows()["Idempotency"] == []


# --- the description ------------------------------------------------------------------------------------------------


def test_it_is_described_in_openapi_31(site: Site) -> None:
    described = site.api("GET", "/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert described["servers"] == [{"url": site.settings.web.origin}]
    (hook,) = described["webhooks"]["callback"].values()
    assert hook["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("CallbackWebhook")
    refused = described["paths"]["/api/v1/callbacks"]["post"]["responses"]["409"]
    assert set(refused["content"]) == {"application/problem+json"}
    codes = described["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert set(Refusal) < set(codes)
    assert {path.removeprefix("/api/v1/") for path in described["paths"]} == {
        "callbacks",
        "callbacks/{callback_id}",
        "callbacks/{callback_id}/cancel",
        "accounts",
        "accounts/{account_id}",
        "top-ups",
        "vouchers",
        "vouchers/redeem",
        "payments/{hook}",
        "messages/{instance}",
        "xdrs",
        "tariffs",
        "tariffs/{tariff}/rates",
    }


OPERATIONS = {
    "createCallback": "create any-account",
    "listCallbacks": "list",
    "getCallback": "status",
    "cancelCallback": "cancel",
    "listAccounts": "accounts",
    "openAccount": "manage-accounts",
    "getAccount": "accounts",
    "changeAccount": "manage-accounts",
    "topUp": "top-up",
    "listVouchers": "vouchers",
    "redeemVoucher": "vouchers",
    "receivePayment": "vouchers",
    "receiveMessage": "vouchers",
    "listXdrs": "xdrs",
    "listTariffs": "rates",
    "listRates": "rates",
}
"""Every operation with the scopes that it needs."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_as_described(site: Site, name: str) -> None:
    """schemathesis makes good and bad requests from the description and checks each answer against it.

    Two of its checks are left out: that good data may be refused (an unknown account, a number without a rate) is
    what this API is for, and what a query has beyond the description is ignored, as it is everywhere.
    """
    site.usual(limit_source="1000000/3600")
    made = create(site, site.key(name="first")).json()["id"]
    key = site.key(*OPERATIONS[name].split())
    usual = site.stores.api_keys.named("program").settings
    wide = Limit(1_000_000, 1)
    site.stores.api_keys.change("program", replace(usual, limit_requests=wide, limit_logins=wide))
    names = {
        "callback_id": made,
        "account_id": ACCOUNT,
        "tariff": "standard",
        "hook": "provider",
        "instance": "sms",
    }
    real = {"instance": "calls", "account": ACCOUNT, "customer": "people", "product": "callback"}
    schema = schemathesis.openapi.from_url(f"{site.base}/api/v1/openapi.json")
    schema.config.update(base_url=site.base)
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    operations = {operation.definition.raw["operationId"]: operation for operation in found}
    assert set(operations) == set(OPERATIONS)
    tried: Counter[int] = Counter()
    for mode in GenerationMode:

        @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operations[name].as_strategy(generation_mode=mode), known=booleans())
        def check(case: Any, known: bool) -> None:
            for part in set(case.path_parameters or {}) if known else ():
                case.path_parameters[part] = names[part]
            if known and isinstance(case.body, dict):
                case.body |= {part: real[part] for part in real.keys() & case.body.keys()}
            answer = case.call_and_validate(
                headers={"Authorization": f"Bearer {key}"}, excluded_checks=UNWANTED
            )
            tried[answer.status_code] += 1

        check()
    assert sum(tried.values()) > 10
    assert 403 not in tried or name == "createCallback"
    assert not [status for status in tried if status >= 500]


@pytest.mark.parametrize(
    ("values",                     "fields",                       "words"),
    [
        ({"account": 7},           {"account": "wrong_type"},      "account must be a text"),
        ({"account": "x" * 65},    {"account": "too_long"},        "account must have at most 64 characters"),
        ({"more": "fields"},       {"more": "unknown"},            "more is not known here"),
        ({"instance": "../etc"},   {"instance": "bad_form"},       "instance is not written as it must be"),
    ],
)  # fmt: skip
def test_invalid_fields_are_told_in_our_own_words(
    site: Site, values: dict[str, Any], fields: dict[str, str], words: str
) -> None:
    site.usual()
    said = create(site, site.key(), **values).json()
    assert (said["code"], said["fields"]) == ("invalid_fields", fields)
    assert said["detail"].startswith(words)


@pytest.mark.parametrize(
    ("query",                      "fields",                       "words"),
    [
        ("from=2027",              {"from": "unknown"},            "from is not known here"),
        ("state=dreaming",         {"state": "bad_choice"},        "state must be one of "),
        ("limit=many",             {"limit": "wrong_type"},        "limit must be a whole number"),
        ("limit=1000",             {"limit": "out_of_range"},      "limit must be at most 100"),
        ("since=2027-01-31",       {"since": "not_a_time"},        "since must be a date and time with its zone"),
        ("limit=5&limit=6",        {"limit": "repeated"},          "limit is given more than once"),
    ],
)  # fmt: skip
def test_a_parameter_that_is_wrong_or_unknown_is_refused(
    site: Site, query: str, fields: dict[str, str], words: str
) -> None:
    """A misspelt filter that is left out answers with everything."""
    site.usual()
    answer = site.api("GET", f"/callbacks?{query}", site.key("list"))
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    said = answer.json()
    assert (said["code"], said["fields"]) == ("invalid_fields", fields)
    assert said["detail"].startswith(words)
    assert site.api("GET", "/callbacks?limit=5", site.key("list", name="second")).status_code == 200


@pytest.mark.parametrize(
    ("body",        "kind",                 "words"),
    [
        ("",        "application/json",     "body is missing"),
        ("[]",      "application/json",     "body must be a JSON object"),
        ("7",       "application/json",     "body must be a JSON object"),
        ("{}",      "text/plain",           "body must be a JSON object, sent as application/json"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_object_is_named(site: Site, body: str, kind: str, words: str) -> None:
    site.usual()
    answer = site.api("POST", "/callbacks", site.key(), data=body, headers={"Content-Type": kind})
    said = answer.json()
    assert (answer.status_code, said["code"], list(said["fields"])) == (422, "invalid_fields", ["body"])
    assert said["detail"].startswith(words)


def test_an_address_with_a_slash_too_many_leads_nowhere(site: Site) -> None:
    """Least of all to the host that a request names."""
    answer = site.api("GET", "/callbacks/", site.key("list"), headers={"Host": "evil.example"})
    assert (answer.status_code, answer.headers.get("Location")) == (404, None)
