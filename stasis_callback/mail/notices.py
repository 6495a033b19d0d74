"""Notices of low balances by mail, to the account's registered senders: written into the outbox of mails."""

from __future__ import annotations

import hashlib

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core.money import format_amount
from stasis_callback.mail.words import notice_mail
from stasis_callback.store.accounts.notices import NoticeView
from stasis_callback.store.stores import Stores

log = structlog.get_logger()

BATCH = 20


class NoticeMails:
    """Writes the mails that are due."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock

    def write_due(self) -> None:
        """Queue a mail to each sender of each account that a notice is due for: once, also if we die meanwhile."""
        for address in self._stores.mail_notices.waiting():
            for notice in self._stores.mail_notices.claim(address, BATCH):
                self._write(notice)

    def _write(self, notice: NoticeView) -> None:
        stores, account = self._stores, self._stores.accounts.get(notice.account_id)
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
                own_id=hashlib.sha256(key.encode()).hexdigest()[:32],
                now_us=self._clock.now_us(),
            )
            stores.replies.put(key, sender, content)
        stores.mail_notices.close(notice, "sent")
        log.info("mail.low_balance", notice=notice.id, mails=len(senders))
