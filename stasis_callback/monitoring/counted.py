"""Counters of the business, counted from the events that are logged: what the log says happened is what is counted.

So the engine knows nothing of metrics, and each figure has lines in the log that explain it. Events are counted
before `log_level` leaves any out. See the table of events in docs/operations.md, and that of figures in
docs/guides/monitoring.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

Event = Mapping[str, Any]

ALARMING = frozenset({"warning", "error", "critical"})
DIAL_DELAYS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Counted:
    """The counters of one process. `note` is given each event that is logged, with its level, by any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(f"stasis_callback_{name}", says, labels, registry=registry)

        self._asked = counter(
            "callbacks_asked", "Callbacks asked for, by what was decided.", "trigger", "result"
        )
        self._ended = counter("callbacks_ended", "Callbacks that ended, by outcome.", "trigger", "outcome")
        self._again = counter("callbacks_retried", "Attempts that are tried again, by outcome.", "outcome")
        self._legs = counter("legs", "Legs that ended and were charged.", "side", "trunk", "outcome")
        self._talk_s = counter("leg_seconds", "Answered time of legs.", "side", "trunk")
        self._charged = counter("charged", "What subscribers were charged for legs.", "side", "currency")
        self._cost = counter(
            "cost", "What carriers charge for legs, where a vendor's rate is known.", "currency"
        )
        self._overrun = counter("overrun", "Charges above the funds, paid by the house.", "currency")
        self._refused_b = counter("destinations_refused", "Numbers keyed that are not called.", "reason")
        self._dropped = counter("mails_dropped", "Mails that made no callback, by reason.", "reason")
        self._messages = counter("messages_dropped", "Messages that made no callback, by reason.", "reason")
        self._answers = counter("mail_answers", "Answers to mails, by what became of them.", "result")
        self._connected = counter("asterisk_connections", "Times the events of Asterisk were connected.")
        self._alarms = counter("log_alarms", "Warnings and errors logged.", "level", "event")
        self._delay_s = Histogram(
            "stasis_callback_dial_delay_seconds",
            "From the moment a callback was due until Asterisk was asked to call leg A.",
            buckets=DIAL_DELAYS_S,
            registry=registry,
        )
        self.counts: Mapping[str, Callable[[Event], None]] = {
            "request.accepted": lambda e: self._asked.labels(e["trigger"], "accepted").inc(),
            "request.refused": lambda e: self._asked.labels(e["trigger"], e["reason"]).inc(),
            "leg.dialing": self._dialing,
            "destination.refused": lambda e: self._refused_b.labels(e["reason"]).inc(),
            "leg.settled": self._settled,
            "call.ended": self._over,
            "mail.dropped": lambda e: self._dropped.labels(e["reason"]).inc(),
            "message.dropped": lambda e: self._messages.labels(e["reason"]).inc(),
            "mail.answered": lambda e: self._answers.labels("sent").inc(),
            "mail.answer_not_taken": lambda e: self._answers.labels(
                "failed" if e["given_up"] else "put_off"
            ).inc(),
            "asterisk.connected": lambda e: self._connected.inc(),
        }

    def note(self, level: str, event: Event) -> None:
        """Count one event."""
        name = event["event"]
        if level in ALARMING:
            self._alarms.labels(level, name).inc()
        count = self.counts.get(name)
        if count:
            count(event)

    def _dialing(self, event: Event) -> None:
        if "delay_s" in event:
            self._delay_s.observe(event["delay_s"])

    def _settled(self, event: Event) -> None:
        side, trunk = event["side"], event["trunk"]
        self._legs.labels(side, trunk, event["outcome"]).inc()
        self._talk_s.labels(side, trunk).inc(event["duration_s"])
        for counter, labels, amount in (
            (self._charged, (side,), event["amount"]),
            (self._cost, (), event["cost"]),
            (self._overrun, (), event["overrun"]),
        ):
            if amount:
                number, currency = amount.split()
                counter.labels(*labels, currency).inc(float(number))

    def _over(self, event: Event) -> None:
        if event["retry"]:
            self._again.labels(event["outcome"]).inc()
        else:
            self._ended.labels(event["trigger"], event["outcome"]).inc()
