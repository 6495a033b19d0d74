"""Tries that are counted before it is known whether they are right: of passwords, codes and vouchers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.limits import Limit
from stasis_callback.store.stores import Stores


@contextmanager
def counted_try(stores: Stores, counters: Sequence[tuple[str, Limit]]) -> Iterator[str]:
    """Count a try by each key, or none, and give the key whose limit is reached; "" for who may try.

    Whoever was right gives it back. Where the database fails before that is known, nobody was wrong: it is given back
    as soon as the database answers, if that is at once.
    """
    full = stores.limits.take_all(counters)
    try:
        yield full
    except StoreUnavailable:
        if not full:
            for key, _ in counters:
                with suppress(StoreUnavailable):
                    stores.limits.give_back(key)
        raise
