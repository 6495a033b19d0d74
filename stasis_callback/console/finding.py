"""What the field at the top of each page finds: whatever a few characters may be the name of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stasis_callback.console.rendering import address
from stasis_callback.core.numbering import read_beginning, read_number
from stasis_callback.store.accounts.search import AccountFilter
from stasis_callback.store.calls.finding import RequestFilter
from stasis_callback.store.stores import Stores

CUSTOMERS_LIMIT = 20
_CALLBACK = re.compile(r"([0-9a-f]{16})(-[ab][0-9.]+)?", re.ASCII)
"""The id of a callback, or of one of its legs."""


@dataclass(frozen=True, slots=True)
class Found:
    """Something that may be meant: its noun, its name and its page."""

    noun: str
    name: str
    address: str


def meant_by(text: str, stores: Stores) -> list[Found]:
    """What is called so; where nothing is, callbacks with such a number, accounts and customers with a part of it.

    By an index, but for a part of an account's id, which is looked for last.
    """
    if not text or not text.isprintable():
        return []
    return list(_called(text, stores)) or list(_like(text, stores))


def _called(text: str, stores: Stores) -> Iterator[Found]:
    """What has this very name, in whatever case people write it."""
    callback = _CALLBACK.fullmatch(text.lower())
    if callback and stores.requests.exists(callback[1]):
        yield Found("request", callback[1], address("why", subject=callback[1]))
    written = list(dict.fromkeys((text, _digits(text) or text, text.lower(), text.upper())))
    account = next(filter(None, map(stores.accounts.find, written)), None)
    if account is not None:
        yield Found("account", account.number, address("account show", number=account.number))
    cases = dict.fromkeys((text, text.lower(), text.upper(), text.capitalize(), text.title()))
    for name in stores.search.customers_called(list(cases)):
        yield Found("customer", name, address("customer show", name=name))
    for name in cases:
        if stores.search.has_batch(name):
            yield Found("account", name, address("account list", batch=name, run="1"))
        if stores.vouchers.of_batch(name, 1):
            yield Found("voucher", name, address("voucher show", batch=name))


def _like(text: str, stores: Stores) -> Iterator[Found]:
    """What has it as a part, or as the beginning of its number or name."""
    digits = _digits(text)
    if digits and stores.finding.requests(RequestFilter(number=digits), 1):
        yield Found("request", digits, address("request list", number=digits, run="1"))
    for name in stores.search.customers_from(text, CUSTOMERS_LIMIT):
        yield Found("customer", name, address("customer show", name=name))
    if stores.search.accounts(AccountFilter(text=text), 1):
        yield Found("account", text, address("account list", text=text, run="1"))


def _digits(text: str) -> str:
    """The digits of a number, or with which one begins, as people write it; "" for what is no number."""
    return read_beginning(text) or read_number(text) or ""
