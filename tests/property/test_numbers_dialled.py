"""No text of any kind, from any trigger, leads to an emergency, own, impossible or unpriced number being dialled."""

from __future__ import annotations

import contextlib
from itertools import count

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shop import Shop

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.incoming import Invite, read
from stasis_callback.core.mail_command import MailCommand, Unreadable, find_command
from stasis_callback.core.numbering import CALLING_CODES, examples, read_number
from stasis_callback.core.rating import Rate
from stasis_callback.core.trunk_numbers import NumberForm
from stasis_callback.engine.admission.checks import rate_trouble
from stasis_callback.engine.admission.missed_calls import Admission
from stasis_callback.engine.admission.orders import Order, Orders
from stasis_callback.store.rates.tariffs import NewRate

OWN = "442079999999"
SOLD = ("1", "44", "420", "91", "99", "11", "6")
EMERGENCY = (
    "112",
    "911",
    "999",
    "110",
    "000",
    "108",
    "100",
    "101",
    "119",
    "190",
    "44999",
    "420112",
    "1911",
    "91112",
)
FORMS = (
    NumberForm(),
    NumberForm("+e164"),
    NumberForm("national:GB"),
    NumberForm("national:US", caller_in="s/^0/44/", called_out="s/^011/00/"),
    NumberForm(called_in="s/^trunk$/442079999999/", caller_in="s/^9//", called_out="s/^44//"),
)
REGIONS = st.sampled_from(["", "GB", "US", "AU", "BR", "KE", "KR", "ID", "HK", "RU", "IT"])

known = [one.number for code in CALLING_CODES for one in examples(code)]
digits = st.from_regex(r"[0-9]{1,15}", fullmatch=True)
number_like = st.one_of(
    st.sampled_from([*EMERGENCY, OWN, "442071234567", "420212345678", *known]),
    st.builds(
        "".join, st.tuples(st.sampled_from(["", "+", "00", "011", "0"]), st.sampled_from(SOLD), digits)
    ),
)
spoilt = st.builds(
    lambda text, noise, at: text[:at] + noise + text[at:],
    number_like,
    st.sampled_from(["", " ", "-", "(0)", "\u202a", "\u00a0", "٣", "１", ";ext=1", "&", "#", "tel:", "\x00"]),
    st.integers(0, 15),
)
texts = number_like | spoilt | st.text(max_size=40)


def may_be_dialled(number: str) -> bool:
    """What must hold of a number that is called, said by other means than the product's."""
    if number in EMERGENCY or number.endswith(OWN[2:]) or not number.startswith(SOLD):
        return False
    if not (number.isascii() and number.isdigit()):
        return False
    parsed = phonenumbers.parse("+" + number)
    if not phonenumbers.is_possible_number(parsed):
        return False
    if number.startswith("11"):
        return True  # nobody has such a number: a rate for 11 names them on purpose
    region = phonenumbers.region_code_for_number(parsed)
    return phonenumbers.is_valid_number(parsed) and (parsed.country_code != 1 or region in ("US", "CA"))


@pytest.fixture
def seller(shop: Shop) -> Shop:
    prices = [Rate(prefix, first_price_micros=1, next_price_micros=1) for prefix in SOLD]
    shop.stores.tariffs.put_rates("standard", [NewRate(price) for price in prices])
    shop.stores.access_numbers.add(OWN, {"authentication": "pin", "internal_account": "house"})
    shop.stores.access_numbers.add("442078888888", {"authentication": "dnis"})
    shop.account("house", funds="1000")
    shop.stores.accounts.change("house", simultaneous_calls=1000)
    shop.account("442078888888")
    return shop


def test_no_text_leads_to_a_number_that_must_not_be_dialled(seller: Shop) -> None:
    stores = seller.stores
    orders, admission = Orders(stores, seller.clock, 10_000), Admission(stores, seller.clock, 10_000)
    keys = count()

    def queued(number_a: str, number_b: str) -> None:
        order = Order(f"k{next(keys)}", "web", "house", number_a, number_b, trusted=True, shared=True)
        answer = orders.admit(order)
        if not answer.reason:
            request = stores.requests.get(answer.request_id)
            for number in filter(None, (request.leg_a_number, request.destination)):
                assert may_be_dialled(number), number
                written = [form.dialled(number).lstrip("+") for form in FORMS]
                assert not {*written} & {*EMERGENCY}, number

    @given(texts, texts, REGIONS)
    @example("112", "44999", "")
    @example("18765551234", "19005551234", "US")
    def ask(one: str, other: str, region: str) -> None:
        # A missed call with any caller id, and an account with any callback number.
        found = admission.examine(one, OWN)
        assert found.reason or may_be_dialled(found.number), found.number
        for form in FORMS:
            invite = Invite(f"sip:{OWN}@x", from_=f'"{other}" <sip:{one}@x>', asserted=f"<tel:{other}>")
            found = admission.examine(read(invite, form).caller, OWN)
            assert found.reason or may_be_dialled(found.number), found.number
        with contextlib.suppress(InvalidInput):
            stores.accounts.change("442078888888", callback_number=one, speed_dials={"1": other})
        found = admission.examine("", "442078888888")
        assert found.reason or may_be_dialled(found.number), found.number
        # The keypad, and what is stored for it.
        house = stores.accounts.named("house")
        dials = stores.accounts.speed_dials(stores.accounts.named("442078888888").id)
        for number in (read_number(one, region), *dials.values()):
            if number is not None and not stores.access_numbers.owns(number):
                trouble, rate = rate_trouble(stores, house, number, "")
                assert trouble or rate is None or may_be_dialled(number), number
        # Web and shell with numbers that were read, and with any text; a mail.
        queued(read_number(one, region) or one, read_number(other, region) or other)
        queued(one, other)
        with contextlib.suppress(Unreadable):
            command = find_command(f"P house secret SN {one} DN {other}", region)
            assert isinstance(command, MailCommand)
            queued(command.number_a, command.number_b)

    ask()


@given(texts, REGIONS)
def test_reading_a_number_twice_is_reading_it_once(text: str, region: str) -> None:
    number = read_number(text, region)
    if number is not None:
        assert read_number(number) == number
        assert number.isascii()
        assert 3 <= len(number) <= 15
