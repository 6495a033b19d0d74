"""Webhooks: every step of a callback is told to the address its instance names, signed, until it is taken.

The steps are in the database (`store.events`) since the moment they were taken, so none is lost by a crash; one may
be told twice. Steps of one callback are told in their order.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import structlog
import urllib3

from stasis_callback.clock import US_PER_S, Clock, iso
from stasis_callback.engine.stores import Stores
from stasis_callback.store.events import EventView
from stasis_callback.web.api import callback_body
from stasis_callback.web.metrics import Metrics
from stasis_callback.web.signing import Signer
from stasis_callback.web.status import progress_of

log = structlog.get_logger()

SIGNATURE_HEADER = "Stasis-Callback-Signature"
IDLE_S = 1.0
BATCH = 20
SENDERS = 4
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 10.0
FIRST_RETRY_S, LONGEST_RETRY_S, ATTEMPTS = 5.0, 3600.0, 14
"""5 s, 10 s, 20 s ... an hour: given up after some six hours."""


class Webhooks:
    """The thread that tells."""

    def __init__(self, stores: Stores, signer: Signer, clock: Clock, metrics: Metrics) -> None:
        self._stores = stores
        self._signer = signer
        self._clock = clock
        self._metrics = metrics
        self._http = urllib3.PoolManager(
            maxsize=SENDERS,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
        )
        self._inbox = clock.inbox()
        self._pool = ThreadPoolExecutor(SENDERS, thread_name_prefix="webhook")
        self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; what is not told yet is told after the next start."""
        self._inbox.put("stop")
        self._thread.join(CONNECT_TIMEOUT_S + READ_TIMEOUT_S)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.clear()

    def _work(self) -> None:
        wait_s = 0.0
        while self._inbox.get(wait_s) is None:
            try:
                wait_s = 0.0 if self.deliver_due() else IDLE_S
            except Exception:
                log.exception("webhook.failed")
                wait_s = IDLE_S

    def deliver_due(self) -> int:
        """Deliver what is due; how many were tried."""
        due = self._stores.events.claim_due(BATCH)
        list(self._pool.map(self._deliver, due))
        return len(due)

    def _deliver(self, event: EventView) -> None:
        request = self._stores.requests.get(event.request_id)
        instance = self._stores.web_instances.find(request.instance)
        url = instance.configuration.settings.webhook_url if instance else ""
        if instance is None or not url:
            self._stores.events.close([event.id], "unwanted")
            return
        body = self._body(event, show_cost=instance.configuration.settings.show_cost)
        error = self._send(url, request.instance, event, body)
        self._metrics.webhooks.labels(request.instance, "failed" if error else "sent").inc()
        if not error:
            self._stores.events.close([event.id], "sent")
            return
        final = event.attempts + 1 >= ATTEMPTS
        log.warning("webhook.not_taken", call=event.request_id, step=event.step, error=error, given_up=final)
        if final:
            self._stores.events.close([event.id], "failed")
        else:
            self._stores.events.retry(event.id, min(FIRST_RETRY_S * 2**event.attempts, LONGEST_RETRY_S))

    def _body(self, event: EventView, *, show_cost: bool) -> bytes:
        progress = progress_of(self._stores, event.request_id, self._clock.now_us(), until=event.id)
        callback = callback_body(progress, show_cost=show_cost).model_dump(
            mode="json", exclude={"status_url"}
        )
        content = {"id": f"evt_{event.id}", "type": f"callback.{event.step}", "at": iso(event.at_us)}
        return json.dumps(content | {"callback": callback}, separators=(",", ":")).encode()

    def _send(self, url: str, instance: str, event: EventView, body: bytes) -> str:
        """Send it; "" when it was taken, else why not."""
        signature = self._signer.webhook_signature(instance, self._clock.now_us() // US_PER_S, body)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "stasis-callback",
            "Stasis-Callback-Event": f"evt_{event.id}",
            SIGNATURE_HEADER: signature,
        }
        try:
            # Redirections are not followed: what was signed is for this address.
            answer = self._http.request(
                "POST", url, body=body, headers=headers, redirect=False, preload_content=False
            )
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__
        return "" if 200 <= answer.status < 300 else f"status {answer.status}"
