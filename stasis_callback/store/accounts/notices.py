"""The outbox of notices about low balances and about what is set aside: by webhook, and by mail.

A notice is written in the transaction of the charge or adjustment that brings the funds below what the product says:
one for each time that they fall below it, however often that is repeated. It goes out later, at least once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from peewee import ModelSelect

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.store.accounts.tables import Notice
from stasis_callback.store.database import outbox
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.pace import ROWS_AT_ONCE
from stasis_callback.store.database.statements import every, insert, one

LEASE_S = 60
"""The time that a process has to deliver a notice before another one may try."""

Medium = Literal["webhook", "mail"]

_TOLD = """SELECT product.low_balance_webhook, product.low_balance_mail FROM product
    JOIN account ON account.product_id = product.id WHERE account.id = ?"""
_WAITING = "SELECT DISTINCT instance FROM notice WHERE delivery = 'due' AND medium = ? ORDER BY instance"


_FALLEN = """SELECT account.id, product.low_balance_micros FROM account
    JOIN product ON product.id = account.product_id JOIN book ON book.id = account.book_id
    WHERE account.book_id = ? AND account.kind <> 'subordinate'
    AND book.balance_micros + book.credit_limit_micros < product.low_balance_micros
    AND book.balance_micros + book.credit_limit_micros + ? >= product.low_balance_micros
    AND NOT EXISTS (SELECT 1 FROM notice WHERE notice.key IN (?, ?))"""
"""Whose funds were enough before so much was taken, and are not now; of shared funds nobody's in particular."""


@dataclass(frozen=True, slots=True)
class NoticeView:
    """A notice that is due. `instance` is the web instance whose receiver, or the address from which, it goes out."""

    id: int
    account_id: int | None
    """None: it is about what was set aside."""
    threshold_micros: int
    at_us: int
    instance: str
    attempts: int
    about: Mapping[str, object]
    """What was set aside: `subject`, `reason`, `note`, `until_us`."""


def note_low_balance(account_id: int, key: str, threshold_micros: int, at_us: int) -> None:
    """Within the transaction of a charge: note that it has brought the funds of an account below its threshold."""
    webhook, mail = one(_TOLD, account_id)
    _note(key, at_us, webhook, mail, account_id=account_id, threshold_micros=threshold_micros)


def note_alarm(key: str, about: str, at_us: int, webhook: str, mail: str) -> None:
    """Within the transaction that sets something aside: note that these instances, "" for none, tell it."""
    _note(key, at_us, webhook, mail, about=about, threshold_micros=0)


def _note(key: str, at_us: int, webhook: str, mail: str, **values: object) -> None:
    for medium, instance in (("webhook", webhook), ("mail", mail)):
        if instance:
            insert(
                Notice,
                key=f"{medium}:{key}",
                at_us=at_us,
                medium=medium,
                instance=instance,
                delivery=outbox.DUE,
                attempts=0,
                due_at_us=at_us,
                **values,
            )


def note_deduction(book_id: int, key: str, taken_micros: int, at_us: int) -> None:
    """Within the transaction of a deduction: note whether it has brought the funds of a book's account too low."""
    fallen = one(_FALLEN, book_id, taken_micros, f"webhook:{key}", f"mail:{key}")
    if fallen is not None:
        note_low_balance(fallen[0], key, fallen[1], at_us)


class Notices:
    """The notices of one medium."""

    def __init__(self, database: Database, clock: Clock, medium: Medium) -> None:
        self._database = database
        self._clock = clock
        self._medium = medium

    @read
    def waiting(self) -> list[str]:
        """The instances that notices wait for."""
        return [name for (name,) in every(_WAITING, self._medium)]

    def claim(self, instance: str, limit: int) -> list[NoticeView]:
        """Take up to `limit` notices for a minute. A crash in between makes a second delivery, never none."""
        some = self._database.read(lambda: bool(self._due(instance).exists()))
        return self._claim(instance, limit) if some else []

    def _due(self, instance: str) -> ModelSelect[Notice]:
        mine = (Notice.medium == self._medium) & (Notice.instance == instance)
        return outbox.due(Notice, self._clock.now_us()).where(mine)

    @unit
    def _claim(self, instance: str, limit: int) -> list[NoticeView]:
        # Repeated because the answer was lost, it gives what it took before: others would wait a minute for it.
        lease_us, known = self._database.noted("claimed") or (self._clock.now_us() + LEASE_S * US_PER_S, [])
        rows = list(self._due(instance).order_by(Notice.id).limit(limit - len(known)))
        taken = [*known, *(row.id for row in rows if outbox.claim(row, lease_us))]
        self._database.note("claimed", (lease_us, taken))
        ours = Notice.id.in_(taken) & (Notice.due_at_us == lease_us)
        return [_view(row) for row in outbox.waiting(Notice).where(ours).order_by(Notice.id)]

    @unit
    def close(self, notice: NoticeView, delivery: str) -> None:
        """It is `sent`, `failed` for good, or `unwanted`."""
        outbox.close(Notice, Notice.id == notice.id, delivery)

    @unit
    def retry(self, notice: NoticeView, after_s: float) -> None:
        """It could not be delivered: again later."""
        due_at_us = self._clock.now_us() + int(after_s * US_PER_S)
        outbox.postpone(Notice, Notice.id == notice.id, due_at_us)

    def close_some(self, instance: str, delivery: str, before_us: int | None = None) -> int:
        """Close some hundred due notices of an instance that are older than a time, or all; how many."""
        due = self._due(instance)
        due = due if before_us is None else due.where(Notice.at_us < before_us)
        ids = self._database.read(lambda: [row.id for row in due.limit(ROWS_AT_ONCE)])
        return self._close_all(ids, delivery) if ids else 0

    @unit
    def _close_all(self, ids: list[int], delivery: str) -> int:
        return outbox.close(Notice, Notice.id.in_(ids), delivery)


def _view(row: Notice) -> NoticeView:
    about = json.loads(row.about) if row.about else {}
    return NoticeView(
        row.id, row.account_id, row.threshold_micros, row.at_us, row.instance, row.attempts - 1, about
    )


def old_notices(before_us: int) -> ModelSelect[Notice]:
    """Those that went out, or were given up, and are older than a time."""
    return Notice.select(Notice.id).where(Notice.at_us < before_us, Notice.delivery != outbox.DUE)
