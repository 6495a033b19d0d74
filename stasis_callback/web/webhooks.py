"""Webhooks: every step of a callback is sent, signed, to the URL of its instance, until it is accepted; also notices.

The steps (`store.events`) and notices of low balances are stored in the database when they happen, so a crash loses
none; one may be sent twice. Steps of one callback are sent in order.

Each receiver (host and port) is handled separately: a few simultaneous deliveries, or one at a time with pauses while
it fails. So a slow, silent or unavailable receiver does not delay others.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Protocol
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel, Field

from stasis_callback.clock import US_PER_S, Clock, iso
from stasis_callback.core.backoff import BackOff, doubling_s
from stasis_callback.core.money import format_number
from stasis_callback.core.web import WebOptions
from stasis_callback.monitoring.metrics import Metrics
from stasis_callback.store.accounts.notices import NoticeView
from stasis_callback.store.calls.steps import EventView
from stasis_callback.store.stores import Stores
from stasis_callback.web.api import callback_state
from stasis_callback.web.posting import Poster
from stasis_callback.web.signing import Signer, webhook_headers
from stasis_callback.web.status import progress_of
from stasis_callback.workers import Pool, Worker

log = structlog.get_logger()

IDLE_S = 1.0
SENDERS, OF_ONE_RECEIVER = 16, 4
"""Deliveries at once: in all, and to one receiver that takes them."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Between two deliveries to a receiver that fails: 1 s, 2 s, 4 s ... a minute."""
AGAIN = BackOff(first_s=5.0, longest_s=3600.0, attempts=14)
"""The same step again: 5 s, 10 s, 20 s ... an hour; given up after some six hours."""
GRACE_S = 2.0
OLDEST_S = 6 * 3600
"""Steps that a failing receiver has not taken for so long are given up, tried or not."""
FAILURES_FIRST = 5
"""They are given up when they were too old already as each of the last so many deliveries failed: to a clock that is
ahead for a moment everything is old, and a receiver that is away just then has not had its six hours.
"""


Content = dict[str, object]


class Outbox(Protocol):
    """What is to be told, by web instance. Its items have an `instance` and `attempts`."""

    def waiting(self) -> list[str]: ...

    def claim(self, instance: str, limit: int) -> Sequence[Any]: ...

    def close(self, event: Any, delivery: str, /) -> None: ...

    def retry(self, event: Any, after_s: float, /) -> None: ...

    def close_some(self, instance: str, delivery: str, before_us: int | None = None) -> int: ...


class LowBalance(BaseModel):
    """An account whose funds, with its credit limit, a charge has brought below the threshold of its product."""

    id: str
    balance: Annotated[str, Field(description="Balance when this was sent.", examples=["1.20"])]
    credit_limit: str
    threshold: str
    currency: str


class Alarm(BaseModel):
    """What the fraud control has set aside."""

    subject: Annotated[str, Field(examples=["number:420212345678"])]
    reason: Annotated[str, Field(description="What of its budget was used up: calls, minutes or money.")]
    note: Annotated[str, Field(examples=["100 of 100 calls in a day (number)"])]
    until: Annotated[str | None, Field(description="None: until an operator releases it.")]


@dataclass(frozen=True)
class Source:
    """One kind of webhooks: where they wait, and what each says; None when it need not be said any more."""

    outbox: Outbox
    content: Callable[[Any, WebOptions], Content | None]


@dataclass
class Receiver:
    """What this process knows of one receiver."""

    busy: int = 0
    failures: int = 0
    """In a row."""
    paused_until_us: int = 0
    failed_at_us: deque[int] = field(default_factory=lambda: deque(maxlen=FAILURES_FIRST))
    """When the last ones did; those at the same time are one."""

    def room(self, now_us: int) -> int:
        """How many deliveries may be begun."""
        # A pause that is longer than any was made by another clock.
        paused = 0 < self.paused_until_us - now_us <= LONGEST_PAUSE_S * US_PER_S
        most = 1 if self.failures else OF_ONE_RECEIVER
        return 0 if paused else max(most - self.busy, 0)

    def told(self, error: str, now_us: int) -> None:
        """Note how a delivery went."""
        if not error:
            self.failures, self.paused_until_us = 0, now_us
            self.failed_at_us.clear()
            return
        self.failures += 1
        if not self.failed_at_us or abs(now_us - self.failed_at_us[-1]) >= FIRST_PAUSE_S * US_PER_S:
            self.failed_at_us.append(now_us)
        pause_s = doubling_s(FIRST_PAUSE_S, LONGEST_PAUSE_S, self.failures)
        self.paused_until_us = now_us + int(pause_s * US_PER_S)

    def too_old_before_us(self) -> int | None:
        """Steps from before this time are given up; None while it has not failed often enough."""
        failed_at_us = list(self.failed_at_us)
        return min(failed_at_us) - OLDEST_S * US_PER_S if len(failed_at_us) == FAILURES_FIRST else None


class Webhooks:
    """Finds what is due, and has it delivered by a pool of threads."""

    def __init__(self, stores: Stores, signer: Signer, clock: Clock, metrics: Metrics) -> None:
        self._stores = stores
        self._signer = signer
        self._clock = clock
        self._metrics = metrics
        self._poster = Poster(SENDERS)
        self._sources: tuple[Source, ...] = (
            Source(stores.events, self._step),
            Source(stores.webhook_notices, self._notice),
        )
        self._lock = clock.lock()
        self._receivers: dict[str, Receiver] = {}
        self._finder = Worker("webhooks", self._work, clock)
        self._senders = Pool("webhook", SENDERS, clock)

    @property
    def workers(self) -> list[Worker]:
        """The worker threads."""
        return [self._finder, *self._senders.workers]

    def start(self) -> None:
        """Start the delivery of webhooks."""
        self._senders.start()
        self._finder.start()

    def stop(self) -> None:
        """Stop; what is not told yet, or not taken within a moment, is told after the next start."""
        self._finder.stop()
        self._senders.stop(GRACE_S)
        self._poster.close()

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            self._begin_due()
            worker.pause(IDLE_S)

    # --- who may be told now -----------------------------------------------------------------------------------

    def _begin_due(self) -> None:
        """Begin as many deliveries as there is room for; receivers that work come first."""
        by_receiver = self._instances_by_receiver()
        for address in sorted(by_receiver, key=self._standing):
            receiver = self._receivers.setdefault(address, Receiver())
            for source, instance in by_receiver[address]:
                with self._lock:
                    before_us = receiver.too_old_before_us()
                if before_us is not None:
                    self._give_up_old(source, instance, before_us)
                room = min(receiver.room(self._clock.now_us()), SENDERS - self._busy())
                for event in source.outbox.claim(instance, room) if room > 0 else ():
                    self._count(receiver, +1)
                    self._senders.submit(partial(self._deliver, source, event, receiver))

    def _instances_by_receiver(self) -> dict[str, list[tuple[Source, str]]]:
        """The instances with something to deliver; what has no receiver is closed."""
        found: dict[str, list[tuple[Source, str]]] = {}
        for source in self._sources:
            for name in source.outbox.waiting():
                url = self._url_of(name)
                if url:
                    found.setdefault(urlsplit(url).netloc.lower(), []).append((source, name))
                else:
                    source.outbox.close_some(name, "unwanted")
        return found

    def _url_of(self, name: str) -> str:
        instance = self._stores.web_instances.find(name)
        return instance.configuration.settings.webhook_url if instance else ""

    def _standing(self, address: str) -> tuple[bool, int]:
        receiver = self._receivers.get(address, Receiver())
        return receiver.failures > 0, receiver.busy

    @staticmethod
    def _give_up_old(source: Source, instance: str, before_us: int) -> None:
        if given_up := source.outbox.close_some(instance, "failed", before_us):
            log.warning("webhook.given_up", instance=instance, steps=given_up)

    def _busy(self) -> int:
        with self._lock:
            return sum(receiver.busy for receiver in self._receivers.values())

    def _count(self, receiver: Receiver, more: int) -> None:
        with self._lock:
            receiver.busy += more

    # --- one delivery ------------------------------------------------------------------------------------------

    def _deliver(self, source: Source, event: Any, receiver: Receiver) -> None:
        try:
            self._tell(source, event, receiver)
        finally:
            self._count(receiver, -1)
            self._finder.wake()

    def _tell(self, source: Source, event: Any, receiver: Receiver) -> None:
        name: str = event.instance
        instance = self._stores.web_instances.find(name)
        url = instance.configuration.settings.webhook_url if instance else ""
        content = source.content(event, instance.configuration.settings) if instance and url else None
        if content is None:
            source.outbox.close(event, "unwanted")
            return
        body = json.dumps(content, separators=(",", ":")).encode()
        error = self._poster.post(url, self._headers(name, str(content["id"]), body), body)
        with self._lock:
            receiver.told(error, self._clock.now_us())
        self._metrics.webhooks.labels(name, "failed" if error else "sent").inc()
        if not error:
            source.outbox.close(event, "sent")
            return
        pause_s = AGAIN.pause_s(event.attempts + 1)
        if pause_s is None:
            source.outbox.close(event, "failed")
        else:
            source.outbox.retry(event, pause_s)
        given_up = pause_s is None
        about = {"call": event.request_id, "step": event.step} if isinstance(event, EventView) else {}
        log.warning("webhook.not_taken", webhook=content["id"], **about, error=error, given_up=given_up)

    def _step(self, event: EventView, settings: WebOptions) -> Content:
        progress = progress_of(self._stores, event.request_id, self._clock.now_us(), until=event.id)
        callback = callback_state(progress, show_cost=settings.show_cost).model_dump(mode="json")
        content = {"id": f"evt_{event.id}", "type": f"callback.{event.step}", "at": iso(event.at_us)}
        return content | {"callback": callback}

    def _notice(self, notice: NoticeView, _settings: WebOptions) -> Content | None:
        """What a notice says; None where it need not be said any more."""
        if notice.account_id is not None:
            return self._low_balance(notice, notice.account_id)
        until_us = notice.about.get("until_us")
        state = Alarm.model_validate(
            {**notice.about, "until": iso(until_us) if isinstance(until_us, int) else None}
        )
        content = {"id": f"ntc_{notice.id}", "type": "fraud.set_aside", "at": iso(notice.at_us)}
        return content | {"set_aside": state.model_dump()}

    def _low_balance(self, notice: NoticeView, account_id: int) -> Content | None:
        """None where money was paid in meanwhile."""
        account = self._stores.accounts.get(account_id)
        if not account.is_below(notice.threshold_micros):
            return None
        content = {"id": f"ntc_{notice.id}", "type": "account.low_balance", "at": iso(notice.at_us)}
        state = LowBalance(
            id=account.number,
            balance=format_number(account.balance_micros, account.currency),
            credit_limit=format_number(account.credit_limit_micros, account.currency),
            threshold=format_number(notice.threshold_micros, account.currency),
            currency=account.currency,
        )
        return content | {"account": state.model_dump()}

    def _headers(self, instance: str, event_id: str, body: bytes) -> dict[str, str]:
        secret, at_s = self._signer.webhook_secret(instance), self._clock.now_us() // US_PER_S
        usual = {"Content-Type": "application/json", "User-Agent": "stasis-callback"}
        return usual | webhook_headers(secret, event_id, at_s, body)
