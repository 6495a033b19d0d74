"""The outbox of replies to mails: written before the mail is acknowledged, so a crash loses and repeats none."""

from __future__ import annotations

from dataclasses import dataclass

from peewee import ModelSelect

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.store.database import outbox
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.intake.tables import EmailReply

LEASE_S = 120
"""The time that a process has to send a reply before another one may try."""
KEPT_S = 30 * 86_400
"""That a mail was answered is remembered longer than any mail server tries to deliver it again."""


@dataclass(frozen=True, slots=True)
class ReplyView:
    """An answer that is due."""

    id: int
    recipient: str
    content: str
    attempts: int


class Replies:
    """The answers."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @read
    def known(self, key: str) -> bool:
        """Whether there is an answer with this key."""
        return EmailReply.get_or_none(EmailReply.key == key) is not None

    @unit
    def put(self, key: str, recipient: str, content: str) -> None:
        """Queue an answer; nothing when there is one with this key."""
        now_us = self._clock.now_us()
        EmailReply.insert(
            key=key, recipient=recipient, content=content, delivery="due", attempts=0, due_at_us=now_us,
            created_at_us=now_us,
        ).on_conflict_ignore().execute()  # fmt: skip

    def claim_due(self, limit: int) -> list[ReplyView]:
        """Take up to `limit` answers for two minutes. A crash in between makes a second one, never none."""
        some = self._database.read(lambda: bool(self._due().exists()))
        return self._claim(limit) if some else []

    def _due(self) -> ModelSelect[EmailReply]:
        return outbox.due(EmailReply, self._clock.now_us())

    @unit
    def _claim(self, limit: int) -> list[ReplyView]:
        # Repeated because the answer was lost, it gives what it took before: others would wait two minutes for it.
        lease_us, known = self._database.noted("claimed") or (self._clock.now_us() + LEASE_S * US_PER_S, [])
        ours = EmailReply.id.in_(known) & (EmailReply.due_at_us == lease_us)
        taken = list(outbox.waiting(EmailReply).where(ours).order_by(EmailReply.id)) if known else []
        some = self._due().order_by(EmailReply.due_at_us, EmailReply.id).limit(limit - len(taken))
        rows = [row for row in some if outbox.claim(row, lease_us)]
        self._database.note("claimed", (lease_us, [*known, *(row.id for row in rows)]))
        tries = [(row, row.attempts) for row in taken] + [(row, row.attempts + 1) for row in rows]
        return [ReplyView(row.id, row.recipient, row.content, attempts) for row, attempts in tries]

    @unit
    def close(self, reply_id: int, delivery: str) -> None:
        """It is `sent`, or `failed` for good; its text is forgotten."""
        outbox.close(EmailReply, EmailReply.id == reply_id, delivery, content="")

    @unit
    def write(self, reply_id: int, content: str) -> None:
        """The text of an answer whose subject was awaited; it is due at once, for the first time."""
        now_us = self._clock.now_us()
        EmailReply.update(content=content, attempts=0, due_at_us=now_us).where(
            EmailReply.id == reply_id
        ).execute()

    @unit
    def retry(self, reply_id: int, after_s: float) -> None:
        """Schedule a retry after a failed delivery."""
        due_at_us = self._clock.now_us() + int(after_s * US_PER_S)
        outbox.postpone(EmailReply, EmailReply.id == reply_id, due_at_us)

    @unit
    def forget_old(self) -> None:
        """Remove what is older than a month."""
        before_us = self._clock.now_us() - KEPT_S * US_PER_S
        EmailReply.delete().where(EmailReply.created_at_us <= before_us).execute()
