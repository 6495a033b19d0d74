"""Notices by mail: of low balances to the account's registered senders, of what is set aside to the operator.

They are written into the outbox of mails.
"""

from __future__ import annotations

import hashlib

import structlog

from stasis_callback.clock import Clock, iso
from stasis_callback.core.backoff import BackOff
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.money import format_amount
from stasis_callback.mail.words import alarm_mail, notice_mail
from stasis_callback.store.accounts.notices import NoticeView
from stasis_callback.store.stores import Stores

log = structlog.get_logger()

BATCH = 20
AGAIN = BackOff(first_s=10.0, longest_s=1800.0, attempts=10)
"""10 s, 20 s ... half an hour: a mail is given up after some two hours; an old one is worth nothing."""


class NoticeMails:
    """Writes the mails that are due."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock

    def write_due(self) -> None:
        """Queue a mail to each sender of each account that a notice is due for: once, also if we die meanwhile."""
        for address in self._stores.mail_notices.waiting():
            for notice in self._stores.mail_notices.claim(address, BATCH):
                try:
                    self._write(notice)
                except StoreUnavailable:
                    raise
                except Exception as error:  # noqa: BLE001  whatever is wrong with one, the others go out
                    self._failed(notice, error)

    def _failed(self, notice: NoticeView, error: Exception) -> None:
        pause_s = AGAIN.pause_s(notice.attempts + 1)
        if pause_s is None:
            self._stores.mail_notices.close(notice, "failed")
        else:
            self._stores.mail_notices.retry(notice, pause_s)
        words = type(error).__name__
        log.warning("mail.notice_not_written", notice=notice.id, error=words, given_up=pause_s is None)

    def _write(self, notice: NoticeView) -> None:
        if notice.account_id is None:
            self._write_alarm(notice)
        else:
            self._write_balance(notice, notice.account_id)

    def _write_alarm(self, notice: NoticeView) -> None:
        stores, recipients = self._stores, self._stores.fraud.alarms.mail_to
        instance = stores.email_instances.find(notice.instance)
        if instance is None or not recipients:
            stores.mail_notices.close(notice, "unwanted")
            return
        until_us = notice.about.get("until_us")
        for recipient in recipients:
            key = f"set aside:{notice.id}:{recipient}"
            content = alarm_mail(
                address=instance.name,
                recipient=recipient,
                language=instance.configuration.language,
                subject=str(notice.about["subject"]),
                note=str(notice.about["note"]),
                until=iso(until_us) if isinstance(until_us, int) else "",
                own_id=_own_id(key),
                now_us=self._clock.now_us(),
            )
            stores.replies.put(key, recipient, content)
        stores.mail_notices.close(notice, "sent")
        log.info("mail.alarm", notice=notice.id, mails=len(recipients))

    def _write_balance(self, notice: NoticeView, account_id: int) -> None:
        stores, account = self._stores, self._stores.accounts.get(account_id)
        instance = stores.email_instances.find(notice.instance)
        senders = stores.email_senders.of(account.id)
        if instance is None or not senders or not account.is_below(notice.threshold_micros):
            stores.mail_notices.close(notice, "unwanted")
            return
        for sender in senders:
            key = f"low balance:{notice.id}:{sender}"
            content = notice_mail(
                address=instance.name,
                recipient=sender,
                language=account.language or instance.configuration.language,
                balance=format_amount(account.balance_micros, account.currency),
                own_id=_own_id(key),
                now_us=self._clock.now_us(),
            )
            stores.replies.put(key, sender, content)
        stores.mail_notices.close(notice, "sent")
        log.info("mail.low_balance", notice=notice.id, mails=len(senders))


def _own_id(key: str) -> str:
    """The id of a mail, the same whenever it is written."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]
