"""Options that a node of another version stored are read as far as they can be used, and kept as they are.

What cannot be used is told once in a process, so each test that reads the log has texts of its own.
"""

from __future__ import annotations

import json

import pytest
from shop import Shop
from structlog.testing import capture_logs

from stasis_callback.core.answers import Meaning, parse_answers
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.options import CallOptions
from stasis_callback.core.trunk_numbers import NumberForm
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.intake.access_numbers import AccessNumberView

FRIEND = {"second_number": "442071234567"}


def _stored(shop: Shop, table: str, options: dict[str, str], column: str = "options") -> None:
    shop.sql(f"UPDATE {table} SET {column} = '{json.dumps(options)}'")


def _access_number(shop: Shop, **options: str) -> AccessNumberView:
    shop.stores.access_numbers.add("420800", {})
    _stored(shop, "access_number", options)
    return shop.stores.access_numbers.named("420800")


def _request(shop: Shop, stored: str, *, delay_s: str = "0") -> RequestView:
    assert shop.missed_call(shop.account(), callback_delay_s=delay_s) == ""
    shop.sql(f"UPDATE request SET options = '{stored}'")
    (request,) = shop.stores.requests.newest()
    return request


@pytest.mark.parametrize(
    ("stored",                                            "options"),
    [
        ({"some_day": "on", "welcome": "on"},             CallOptions(welcome=True)),
        ({"callback_delay_s": "200000"},                  CallOptions(callback_delay_s=172_800)),
        ({"ring_timeout_a_s": "1"},                       CallOptions(ring_timeout_a_s=5)),
        ({"ring_timeout_a_s": "1.5", "welcome": "on"},    CallOptions(welcome=True)),
        ({"ring_timeout_a_s": "soon"},                    CallOptions()),
        ({"announce_balance": "sung", "brand": "Our"},    CallOptions()),
        ({"low_balance_amount": "five", "languages": "es"},CallOptions(languages="es")),
        ({"voucher_key": "9", "redial_key": "9"},         CallOptions(voucher_key="9")),
    ],
)  # fmt: skip
def test_what_cannot_be_used_falls_back_and_the_rest_counts(
    shop: Shop, stored: dict[str, str], options: CallOptions
) -> None:
    number = _access_number(shop, **stored)
    assert (number.enabled, number.options, number.stored) == (True, options, stored)
    assert _request(shop, json.dumps(stored)).options == options


def test_it_is_told_once(shop: Shop) -> None:
    with capture_logs() as lines:
        number = _access_number(shop, not_yet="1", talk_limit_s="86401")
        for _ in range(3):
            assert number.options == shop.stores.access_numbers.all()[0].options
    told = [(line["event"], line["of"], line["option"]) for line in lines]
    assert told == [
        ("options.unusable", "access number 420800", name) for name in ("not_yet", "talk_limit_s")
    ]
    assert "10 to 86400" in lines[1]["error"]


@pytest.mark.parametrize(
    "stored",
    [
        {"authentication": "voice"},
        {"authentication": "pin"},
        {"min_attestation": "C"},
        {"ask_password": "twice"},
        {"ani_rules": "s/(?<a>0)/44/"},
        {"caller_id_b": "any"},
    ],
)
def test_where_somebody_else_could_be_served_by_a_default_nobody_is(
    shop: Shop, stored: dict[str, str]
) -> None:
    number = _access_number(shop, **stored, ring_timeout_a_s="20")
    assert (number.enabled, number.options.ring_timeout_a_s) == (False, 20)
    assert _request(shop, json.dumps(stored)).unreadable


@pytest.mark.parametrize("stored", ["{", "[]", "1", '{"welcome": [1]}', '{"brand": 1}'])
def test_a_request_whose_options_are_none_stops_no_other(shop: Shop, stored: str) -> None:
    request = _request(shop, stored, delay_s="3600")
    assert request.options == CallOptions()
    assert request.unreadable
    assert shop.stores.requests.bring_nearer() == 1


def test_a_request_keeps_what_its_access_number_has_for_a_node_that_knows_it(shop: Shop) -> None:
    assert shop.missed_call(shop.account(), some_day="on", callback_delay_s="200000") == ""
    (request,) = shop.stores.requests.newest()
    assert json.loads(request.stored_options) == {"some_day": "on", "callback_delay_s": "200000"}
    assert request.due_at_us - request.created_at_us == 172_800_000_000


def test_a_change_is_not_refused_for_what_it_does_not_touch_and_keeps_it(shop: Shop) -> None:
    numbers, foreign = shop.stores.access_numbers, {"some_day": "on", "talk_limit_s": "90000"}
    _access_number(shop, **foreign)
    numbers.change("420800", {"welcome": "on"})
    assert numbers.named("420800").stored == {**foreign, "welcome": "on"}
    for refused in ({"talk_limit_s": "90000"}, {"some_day": "off"}, {"some_day": ""}, {"welcome": "yes"}):
        with pytest.raises(InvalidInput, match=next(iter(refused))):
            numbers.change("420800", refused)
    numbers.change("420800", {"talk_limit_s": "900"})
    assert numbers.named("420800").stored == {"some_day": "on", "talk_limit_s": "900", "welcome": "on"}


def test_an_access_number_that_cannot_be_used_is_mended_by_a_change(shop: Shop) -> None:
    numbers = shop.stores.access_numbers
    _access_number(shop, authentication="voice", some_day="on")
    numbers.change("420800", {}, enabled=False)
    numbers.change("420800", {"authentication": "dnis"}, enabled=True)
    assert (numbers.named("420800").enabled, numbers.named("420800").options.authentication) == (True, "dnis")


def test_web_instances(shop: Shop) -> None:
    instances = shop.stores.web_instances
    instances.add("shop", FRIEND)
    foreign = {
        **FRIEND, "some_day": "on", "webhook_url": "https://hooks..example.com", "opening_hours": "at noon",
        "limit_day": "9999999/1", "talk_limit_s": "90000", "languages": "en,es",
    }  # fmt: skip
    _stored(shop, "web_instance", foreign)
    view = instances.named("shop")
    read = view.configuration
    assert (view.enabled, read.settings.webhook_url, read.settings.hours) == (True, "", None)
    assert read.call_options("es")["talk_limit_s"] == "86400"
    assert (read.languages, "some_day" in read.options) == (("en", "es"), False)
    instances.change("shop", {"title": "Call me"})
    assert instances.named("shop").stored == {**foreign, "title": "Call me"}
    with pytest.raises(InvalidInput, match="webhook_url"):
        instances.change("shop", {"webhook_url": "https://hooks..example.com"})


def test_a_web_instance_of_a_type_that_is_not_known_is_off_and_can_be_listed(shop: Shop) -> None:
    shop.stores.web_instances.add("shop", FRIEND)
    _stored(shop, "web_instance", {**FRIEND, "type": "group", "title": "Ours"})
    (view,) = shop.stores.web_instances.all()
    assert (view.enabled, view.configuration.settings.title) == (False, "Ours")
    assert view.configuration.settings.asks_password


def test_instances_that_take_commands_in_writing(shop: Shop) -> None:
    shop.stores.email_instances.add("call@example.com", {})
    _stored(shop, "email_instance", {"some_day": "1", "replies_per_hour": "2000", "policy": "dkim"})
    (mail,) = shop.stores.email_instances.all()
    settings = mail.configuration.settings
    assert (mail.enabled, settings.replies_per_hour, settings.policy) == (True, 1000, "dkim")

    shop.stores.message_instances.add("sms", {})
    _stored(shop, "message_instance", {"format": "carrier_pigeon", "some_day": "1"})
    (messages,) = shop.stores.message_instances.all()
    assert (messages.enabled, messages.configuration.settings.reply) == (False, True)


def _trunk(shop: Shop, *names: str) -> None:
    shop.stores.tariffs.add("wholesale", "USD")
    shop.stores.trunks.add_vendor("carrier", "USD")
    for name in names:
        shop.stores.trunks.add(name, vendor="carrier", tariff="wholesale")


def test_a_trunk_with_a_setting_that_is_not_known_carries_calls_and_keeps_it(shop: Shop) -> None:
    _trunk(shop, "one")
    _stored(shop, "trunk", {"numbers": "+e164", "some_day": "on"}, "number_form")
    trunks = shop.stores.trunks
    assert (trunks.named("one").enabled, trunks.named("one").number_form) == (True, NumberForm("+e164"))
    assert trunks.change("one", number_form={"identity": "from"}).number_form == NumberForm(
        "+e164", identity="from"
    )
    (row,) = shop.rows()["Trunk"]
    assert json.loads(row["number_form"]) == {"numbers": "+e164", "some_day": "on", "identity": "from"}


def test_over_a_trunk_that_would_misread_numbers_nobody_is_called_or_known(shop: Shop) -> None:
    _trunk(shop, "one", "two")
    shop.sql("""UPDATE trunk SET number_form = '{"numbers": "tel:uri"}' WHERE name = 'one'""")
    one, two = (trunk.number_form for trunk in shop.stores.trunks.all())
    assert (one.dialled("442071234567"), one.caller("442071234567"), one.called("420800")) == ("", None, None)
    assert two == NumberForm()
    assert shop.stores.trunks.change("one", preference=3).number_form == one
    assert shop.stores.trunks.change("one", number_form={"numbers": "e164"}).number_form == NumberForm()
    with pytest.raises(InvalidInput, match="national:CZ"):
        shop.stores.trunks.change("one", number_form={"numbers": "tel:uri"})


def test_answers_of_a_trunk_that_have_no_meaning_here_mean_the_usual(shop: Shop) -> None:
    _trunk(shop, "one")
    shop.sql("UPDATE trunk SET answers = '404=carrier;486=voicemail'")
    assert parse_answers(shop.stores.trunks.named("one").answers) == {404: Meaning.CARRIER}
