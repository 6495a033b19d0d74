"""Messages of gateways: a signed one becomes a callback, once, for the account that its sender belongs to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
import test_public_forms
from ignoring import ignore_option
from pydantic import SecretStr
from web_site import ACCOUNT, FIRST_E164, PASSWORD, SECOND_E164, SECRET, Site, open_site

from stasis_callback.clock import US_PER_S
from stasis_callback.core import messages
from stasis_callback.core.money import parse_amount
from stasis_callback.web import twilio
from stasis_callback.web.signing import Signer, webhook_headers

ANN = "420212345678"
COMMAND = f"P {ACCOUNT} {PASSWORD} SN {FIRST_E164} DN {SECOND_E164}"
TWILIO_TOKEN = "12345"  # of the example in Twilio's documentation
CALLED = "We are calling 44207xxxxx67 now. When you answer, we connect you."
WRONG = "Your request was refused: the account number, the password or the code is wrong."


def sends(
    site: Site, text: str = COMMAND, *, sender: str = f"+{ANN}", message: str = "msg_1", name: str = "sms",
    secret: str = "", age_s: int = 0, kind: str = "message.received", headers: dict[str, str] | None = None,
    raw: bytes | None = None,
) -> Any:  # fmt: skip
    """A message as a gateway hands it over."""
    data = {"id": message, "from": sender, "text": text, "more": 1}
    body = raw if raw is not None else json.dumps({"type": kind, "data": data}).encode()
    secret = secret or Signer(SECRET).message_secret(name, 1)
    signed = webhook_headers(secret, "delivery", site.shop.clock.at_us // US_PER_S - age_s, body)
    return site.api("POST", f"/messages/{name}", data=body, headers=signed | (headers or {}))


def usual(site: Site, **options: str) -> None:
    """One account with an alias, and one instance."""
    site.stores.accounts.add_alias(site.account().id, ANN)
    site.stores.message_instances.add("sms", options)


def test_a_message_becomes_a_callback_between_its_two_numbers(site: Site) -> None:
    usual(site)
    answer = sends(site)
    assert (answer.status_code, answer.json()) == (200, {"result": "accepted", "reply": CALLED})
    (callback,) = site.callbacks()
    assert (callback["triggered_by"], callback["instance"], callback["state"]) == ("message", "sms", "queued")
    assert (callback["leg_a_number"], callback["destination"]) == (FIRST_E164, SECOND_E164)
    assert '"access_code": "MESSAGECALLBACK"' in callback["options"]
    assert site.woken == 1


def test_the_same_message_is_one_callback_however_often_it_is_handed_over(site: Site) -> None:
    usual(site)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: sends(site).json(), range(4)))
    assert answers == [{"result": "accepted", "reply": CALLED}] * 4
    assert (
        sends(site, "P 1 a SN 1 DN 2").json()["result"] == "refused"
    )  # what is written now counts for the reply
    assert len(site.callbacks()) == site.woken == 1
    in_progress = sends(site, message="msg_2").json()
    assert in_progress["reply"] == "A call for this account or number is already in progress."
    again = sends(site, message="msg_2").json()
    assert again == in_progress
    assert len(site.shop.rows()["Request"]) == 2


def test_two_different_messages_at_once_are_one_callback(site: Site) -> None:
    usual(site)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda n: sends(site, message=f"msg_{n}").json()["result"], range(2)))
    assert sorted(answers) == ["accepted", "refused"]
    assert len(site.callbacks()) == 1


REFUSED: list[tuple[str, str, str | None]] = [
    (COMMAND.replace(PASSWORD, "wrong"), ANN, WRONG),
    (COMMAND.replace(ACCOUNT, "999"), ANN, WRONG),
    (COMMAND, "420212345679", WRONG),  # another account's number, with the right password
    ("please call me", ANN, "Write one line like this"),
    (COMMAND + " AT 17:30", ANN, "a time cannot be chosen here"),
    (f"P {ACCOUNT} {PASSWORD} VC NONE", ANN, "This voucher code is unknown"),
    (COMMAND, "447400900123", None),  # nobody's
    ("please call me", "447400900123", None),
    (COMMAND, "Bank", None),
    (COMMAND, "whatsapp:+" + ANN, None),
]


def test_what_is_refused_calls_nobody_and_tells_strangers_nothing(site: Site) -> None:
    usual(site)
    site.stores.accounts.add_alias(site.account("6192345679").id, "420212345679")
    for number, (text, sender, reply) in enumerate(REFUSED):
        answer = sends(site, text, sender=sender, message=str(number))
        assert answer.status_code == 200
        assert answer.json()["result"] == ("refused" if reply else "ignored")
        assert (reply or "None") in str(answer.json()["reply"]), (text, sender)
    assert site.callbacks() == []


HOSTILE: list[tuple[dict[str, Any], int, str]] = [
    ({"secret": Signer(SECRET).message_secret("sms", 2)},       401, "bad_signature"),
    ({"secret": Signer(SECRET).message_secret("other", 1)},     401, "bad_signature"),
    ({"secret": Signer(SECRET).payment_secret("sms", 1)},       401, "bad_signature"),
    ({"secret": Signer(SECRET).webhook_secret("sms")},          401, "bad_signature"),
    ({"headers": {"webhook-signature": ""}},                    401, "bad_signature"),
    ({"headers": {"webhook-id": "another"}},                    401, "bad_signature"),
    ({"headers": {"webhook-timestamp": "now"}},                 401, "bad_signature"),
    ({"headers": {"X-Twilio-Signature": "x", "webhook-signature": "v1,x"}}, 401, "bad_signature"),
    ({"age_s": 301},                                            401, "bad_signature"),
    ({"age_s": -301},                                           401, "bad_signature"),
    ({"name": "nobody"},                                        401, "bad_signature"),
    ({"name": "off"},                                           401, "bad_signature"),
    ({"name": "SMS"},                                           422, "invalid_fields"),
    ({"raw": b"{"},                                             400, "bad_json"),
    ({"raw": b"\xff"},                                          400, "bad_json"),
    ({"raw": b"{}"},                                            422, "invalid_fields"),
    ({"raw": b'{"type": "message.received"}'},                  422, "invalid_fields"),
    ({"raw": b"x" * 20_000},                                    413, "too_large"),
    ({"message": ""},                                           422, "invalid_fields"),
    ({"sender": "+" + "4" * 70},                                422, "invalid_fields"),
    ({"text": "P " * 3000},                                     422, "invalid_fields"),
    ({"kind": "message.read"},                                  200, ""),
]  # fmt: skip


def test_hostile_messages_change_nothing(site: Site) -> None:
    usual(site)
    site.stores.message_instances.add("off", {})
    site.stores.message_instances.change("off", {}, enabled=False)
    before = site.shop.rows()
    for changed, status, code in HOSTILE:
        answer = sends(site, **{"text": COMMAND, **changed})
        assert (answer.status_code, answer.json().get("code", "")) == (status, code), changed
        assert site.shop.rows() == before, changed


def test_who_guesses_passwords_is_locked_out_and_unlocked_by_nobody_but_the_operator(site: Site) -> None:
    usual(site, limit_logins="2/900")
    for n in range(2):
        assert sends(site, COMMAND.replace(PASSWORD, "guess"), message=str(n)).json()["reply"] == WRONG
    assert "too many attempts" in sends(site, message="right").json()["reply"]
    site.stores.limits.clear(f"login:message:account:{ACCOUNT}")
    assert sends(site, message="right").json()["result"] == "accepted"


def test_a_voucher_is_redeemed_once_and_a_token_is_used_up(site: Site) -> None:
    usual(site, credential="token")
    five = parse_amount("5")
    (code,) = site.stores.vouchers.generate("b", 1, five, "USD", length=12, alphabet="ABCDEFGH")
    first, second = site.stores.email_senders.give_out(ACCOUNT, 2, 30)
    text = f"P {ACCOUNT} {first} VC {code}"
    redeemed = {"result": "redeemed", "reply": "The voucher was credited to your account."}
    assert sends(site, text).json() == sends(site, text).json() == redeemed
    assert sends(site, COMMAND, message="msg_2").json()["reply"] == WRONG  # the password is none here
    assert sends(site, COMMAND.replace(PASSWORD, first), message="msg_3").json()["reply"] == WRONG
    timed = COMMAND.replace(PASSWORD, second)
    assert sends(site, timed, message="msg_4").json() == sends(site, timed, message="msg_4").json()
    assert len(site.callbacks()) == 1
    assert site.stores.accounts.named(ACCOUNT).balance_micros == parse_amount("15")


# --- options -----------------------------------------------------------------------------------------------------


def _credential(site: Site) -> None:
    usual(site, credential="token")
    assert sends(site).json()["result"] == "refused"


def _opening_hours(site: Site) -> None:
    site.shop.clock.at_us = test_public_forms.FRIDAY_NOON
    usual(site, opening_hours="mon-fri 09:00-17:00", time_zone="Asia/Tokyo")
    closed = "We do not call at this time. We call again from 2027-02-01 09:00 (Asia/Tokyo)."
    assert sends(site).json() == {"result": "refused", "reply": closed}


def _call_me_at(site: Site) -> None:
    site.shop.clock.at_us = test_public_forms.FRIDAY_NOON
    usual(site, call_me_at="on", time_zone="Europe/Prague")
    for past in ("2027-01-29T11:59Z", "2027-02-29T11:59Z", "2027-01-30T12:01Z", "29:00"):
        assert "within the next 24 hours" in sends(site, f"{COMMAND} AT {past}", message=past).json()["reply"]
    said = "We call 44207xxxxx67 at 2027-01-29 16:30 (Europe/Prague). When you answer, we connect you."
    assert sends(site, COMMAND + " AT 16:30").json() == {"result": "accepted", "reply": said}
    site.shop.clock.passes(60)
    assert sends(site, COMMAND + " AT 16:30").json()["reply"] == said
    (row,) = site.callbacks()
    due = datetime(2027, 1, 29, 15, 30, tzinfo=UTC)
    assert row["due_at_us"] == int(due.timestamp()) * US_PER_S


def _replies_per_hour(site: Site) -> None:
    usual(site, replies_per_hour="1")
    assert sends(site).json()["reply"] == CALLED
    assert sends(site).json() == {"result": "accepted", "reply": None}


def _webhooks(site: Site) -> None:
    site.stores.web_instances.add(
        "calls", {"type": "extended", "webhook_url": "https://crm.example.com/hook"}
    )
    usual(site, webhooks="calls")
    sends(site)
    assert site.stores.events.waiting() == ["calls"]


def _format(site: Site) -> None:
    usual(site, format="twilio")
    assert sends(site).status_code == 401


def _secret_number(site: Site) -> None:
    usual(site, secret_number="2")
    assert sends(site).status_code == 401
    assert sends(site, secret=Signer(SECRET).message_secret("sms", 2)).status_code == 200


def _reply(site: Site) -> None:
    usual(site, reply="off")
    assert sends(site).json() == {"result": "accepted", "reply": None}


SCENARIOS: dict[str, Callable[[Site], None]] = {
    "credential": _credential,
    "opening_hours": _opening_hours,
    "time_zone": _opening_hours,
    "call_me_at": _call_me_at,
    "replies_per_hour": _replies_per_hour,
    "webhooks": _webhooks,
    "format": _format,
    "secret_number": _secret_number,
    "reply": _reply,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_option_has_its_effect(site: Site, name: str) -> None:
    SCENARIOS[name](site)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_scenario_fails_when_the_option_is_ignored(
    site: Site, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignore_option(monkeypatch, messages, name)
    with pytest.raises(AssertionError):
        SCENARIOS[name](site)


def test_every_option_has_a_scenario() -> None:
    assert SCENARIOS.keys() == {field.name for field in fields(messages.MessageOptions)}


# --- Twilio ------------------------------------------------------------------------------------------------------

DOCUMENTED = (
    ("Digits", "1234"), ("To", "+18005551212"), ("From", "+14158675310"), ("Caller", "+14158675310"),
    ("CallSid", "CA1234567890ABCDE"),
)  # fmt: skip
EMPTY = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'


def test_a_signature_is_what_twilios_documentation_says_it_is() -> None:
    url = "https://example.com/myapp.php?foo=1&bar=2"
    assert twilio.signature_of(TWILIO_TOKEN, url, DOCUMENTED) == "L/OH5YylLD5NRKLltdqwSvS0BnU="


def posts(site: Site, token: str = TWILIO_TOKEN, signed_for: str = "sms", **changed: str) -> Any:
    """A message as Twilio hands it over."""
    form = {
        "MessageSid": "SM1", "AccountSid": "AC1", "From": f"+{ANN}", "To": "+14155552671", "Body": COMMAND,
        "NumMedia": "0", **changed,
    }  # fmt: skip
    body = urlencode(form)
    url = f"{site.settings.web.origin}/api/v1/messages/{signed_for}"
    signature = twilio.signature_of(token, url, parse_qsl(body, keep_blank_values=True))
    return site.api(
        "POST", "/messages/sms", data=body,
        headers={"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip


@pytest.fixture
def of_twilio(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, twilio_auth_token=SecretStr(TWILIO_TOKEN)) as site:
        usual(site, format="twilio")
        yield site


def test_a_message_of_twilio_becomes_a_callback_and_is_answered_with_twiml(of_twilio: Site) -> None:
    answer = posts(of_twilio)
    assert answer.headers["Content-Type"].startswith("text/xml")
    assert answer.text == EMPTY.replace("<Response>", f"<Response><Message>{CALLED}</Message>")
    assert posts(of_twilio, From=f"whatsapp:+{ANN}").text == answer.text  # the same MessageSid
    assert len(of_twilio.callbacks()) == 1
    assert posts(of_twilio, From="+447400900123", MessageSid="SM2").text == EMPTY
    assert posts(of_twilio, From="messenger:4711", MessageSid="SM3").text == EMPTY


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"token": "another"}, 401),
        ({"token": ""}, 401),
        ({"signed_for": "other"}, 401),
        ({"Body": ""}, 200),
        ({"MessageSid": ""}, 422),
    ],
)
def test_what_is_not_twilios_calls_nobody(of_twilio: Site, changed: dict[str, str], status: int) -> None:
    assert posts(of_twilio, **changed).status_code == status
    assert of_twilio.callbacks() == []


def test_without_a_token_nothing_is_twilios(site: Site) -> None:
    usual(site, format="twilio")
    assert posts(site, token="").status_code == 401
