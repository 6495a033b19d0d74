"""A payment provider tells of payments, signed: each is credited once, and nothing else is."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from structlog.testing import capture_logs
from web_site import ACCOUNT, SECRET, Site

from stasis_callback.clock import US_PER_S
from stasis_callback.store.audit import verify
from stasis_callback.web.signing import Signer, is_signed, webhook_headers

PAYMENT = {"id": "pay_1", "account": ACCOUNT, "amount": "12.50", "currency": "USD"}

HUGE = json.dumps({"type": "payment.succeeded", "data": PAYMENT}).replace('"pay_1"', "1" * 4300).encode()
"""A payment whose id is a long number."""
TWO_AMOUNTS = (
    json.dumps({"type": "payment.succeeded", "data": PAYMENT}).replace("{", '{"amount": "5", ').encode()
)
"""A payment of which parsers take one amount or the other."""


def told(
    site: Site, hook: str = "mpesa", *, secret: str = "", message: str = "msg_1", age_s: int = 0,
    kind: str = "payment.succeeded", raw: bytes | None = None, headers: dict[str, str] | None = None,
    **changed: Any,
) -> Any:  # fmt: skip
    data = {name: value for name, value in (PAYMENT | changed).items() if value is not None}
    body = raw if raw is not None else json.dumps({"type": kind, "data": data, "more": 1}).encode()
    secret = secret or Signer(SECRET).payment_secret(hook, 1)
    at_s = site.shop.clock.at_us // US_PER_S - age_s
    signed = webhook_headers(secret, message, at_s, body) | (headers or {})
    return site.api("POST", f"/payments/{hook}", data=body, headers=signed)


def balance(site: Site) -> str:
    return f"{site.stores.accounts.named(ACCOUNT).balance_micros / 1e6:.2f}"


@pytest.fixture
def site(site: Site) -> Site:
    site.account()
    site.stores.payment_hooks.add("mpesa")
    return site


def test_a_payment_is_credited_once_however_often_and_under_whichever_message(site: Site) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: told(site, message=f"msg_{n}"), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert sorted(answer.json()["result"] for answer in answers) == ["credited"] + ["repeated"] * 3
    assert {(answer.json()["balance"], answer.json()["currency"]) for answer in answers} == {("22.50", "USD")}
    line = site.stores.ledger.statement(site.stores.accounts.named(ACCOUNT).book_id, 1)[0]
    assert (line.key, line.note) == ("topup:mpesa/pay_1", "payment pay_1")
    assert line.operator == "payment-hook:mpesa"
    site.stores.payment_hooks.add("other")
    assert told(site, "other").json()["result"] == "credited"  # another provider's payment of the same id
    assert told(site, kind="payment.created", id="pay_2").json() == {
        "result": "ignored", "balance": None, "currency": None,
    }  # fmt: skip
    assert (balance(site), verify(site.stores.database, site.stores.tariffs)) == ("35.00", [])


def test_a_payment_of_before_the_account_was_closed_is_still_known(site: Site) -> None:
    assert told(site).status_code == 201
    site.stores.accounts.close(ACCOUNT, write_off=True, operator="test")
    assert told(site).json()["result"] == "repeated"
    refused = told(site, id="pay_2")
    assert (refused.status_code, refused.json()["code"]) == (409, "account_closed")


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"account": "nobody"},            404, "unknown_account"),
        ({"amount": "13"},                 409, "id_reused"),
        ({"id": "p2", "amount": "0"},      422, "bad_amount"),
        ({"id": "p2", "amount": "1.001"},  422, "bad_amount"),
        ({"id": "p2", "currency": "EUR"},  422, "bad_amount"),
        ({"id": "p2", "currency": None},   422, "invalid_fields"),
        ({"id": "p2", "amount": 12.5},     422, "invalid_fields"),
        ({"id": "p 2"},                    422, "invalid_fields"),
        ({"raw": b"{}"},                   422, "invalid_fields"),
        ({"raw": b"{"},                    400, "bad_json"),
        ({"raw": TWO_AMOUNTS},             400, "bad_json"),
        ({"raw": b"\xff"},                 400, "bad_json"),
        ({"raw": b"x" * 20_000},           413, "too_large"),
    ],
)  # fmt: skip
def test_what_cannot_be_credited_is_a_problem_and_changes_nothing(
    site: Site, changed: dict[str, Any], status: int, code: str
) -> None:
    assert told(site).status_code == 201
    before = site.shop.rows()
    with capture_logs() as log:
        refused = told(site, **changed)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert site.shop.rows() == before
    if code != "too_large":  # whose signature is not looked at
        (line,) = [line for line in log if line["event"] == "payment.not_credited"]
        assert (line["hook"], line["reason"], line["log_level"]) == ("mpesa", code, "error")


@pytest.mark.parametrize(
    ("changed",                        "payment",   "field"),
    [
        ({"amount": 2.5},              "pay_1",     "amount"),
        ({"account": "+420212345678"}, "pay_1",     "account"),
        ({"currency": "usd"},          "pay_1",     "currency"),
        ({"id": 4711},                 "4711",      "id"),
        ({"id": "pay_1 "},             "pay_1 ",    "id"),
        ({"id": "p\n\x1b[31m" + "9" * 999}, "p??[31m" + "9" * 93, "id"),
        ({"raw": HUGE},                "1" * 100,   "id"),
        ({"id": ["pay_1"]},            "",          "id"),
        ({"id": None},                 "",          "id"),
    ],
)  # fmt: skip
def test_a_genuine_payment_that_is_not_as_described_is_logged_with_its_id(
    site: Site, changed: dict[str, Any], payment: str, field: str
) -> None:
    with capture_logs() as log:
        refused = told(site, **changed)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_fields")
    (line,) = [line for line in log if line["event"] == "payment.not_credited"]
    assert (line["hook"], line["reason"], line["fields"]) == ("mpesa", "invalid_fields", [field])
    assert line["payment"] == payment


@pytest.mark.parametrize(
    "changed",
    [
        {"secret": Signer(SECRET).payment_secret("mpesa", 2)},
        {"secret": Signer(SECRET).payment_secret("other", 1)},
        {"secret": Signer(SECRET).webhook_secret("mpesa")},
        {"age_s": 301},
        {"age_s": -301},
        {"headers": {"webhook-id": "msg_2"}},
        {"headers": {"webhook-timestamp": "1"}},
        {"headers": {"webhook-timestamp": "now"}},
        {"headers": {"webhook-signature": ""}},
        {"headers": {"webhook-signature": "v1,AAAA " * 200}},
        {"hook": "nobody"},
    ],
)
def test_who_cannot_sign_credits_nothing(site: Site, changed: dict[str, Any]) -> None:
    before = site.shop.rows()
    refused = told(site, **changed)
    assert (refused.status_code, refused.json()["code"]) == (401, "bad_signature")
    assert site.shop.rows() == before


def test_a_new_secret_replaces_the_old_one_and_a_removed_hook_has_none(site: Site) -> None:
    new = Signer(SECRET).payment_secret("mpesa", site.stores.payment_hooks.renew("mpesa").turn)
    assert told(site).status_code == 401
    assert told(site, secret=new, age_s=299).status_code == 201
    site.stores.payment_hooks.remove("mpesa")
    assert told(site, secret=new).status_code == 401
    assert balance(site) == "22.50"


def test_signatures_of_standard_webhooks_are_understood() -> None:
    """A value that libraries for it test themselves with, beside one of another secret."""
    secret, message, at_s = (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
    )
    body = b'{"test": 2432232314}'
    signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert is_signed(secret, message, str(at_s), f"v1,AAAA {signature} v2,BBBB", body, at_s)
    assert not is_signed(secret, message, str(at_s), signature, body + b" ", at_s)
