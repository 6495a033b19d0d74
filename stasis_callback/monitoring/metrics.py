"""Prometheus metrics: counters of events, and values read from the database on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.money import MICROS
from stasis_callback.core.states import LIVE
from stasis_callback.engine.admission.orders import Answer, Order
from stasis_callback.engine.trunk_health import TrunkHealth
from stasis_callback.logs import lines_dropped
from stasis_callback.monitoring.counted import Counted
from stasis_callback.store.stores import Stores
from stasis_callback.workers import Workers


class Metrics:
    """The figures of one process."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(
        self,
        stores: Stores,
        workers: Workers,
        database_answers: Callable[[], bool],
        clock: Clock,
        trunks: TrunkHealth | None = None,
    ) -> None:
        """`database_answers` says, without waiting, whether there is a point in asking it; `trunks` are those that
        this process calls over, if it does.
        """
        self.registry = CollectorRegistry()
        self.business = Counted(self.registry)
        self.requests = Counter(
            "stasis_callback_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.latency_s = Histogram(
            "stasis_callback_http_seconds",
            "Time to the end of an answer.",
            ("route",),
            registry=self.registry,
        )
        self.orders = Counter(
            "stasis_callback_orders",
            "Callbacks asked for, by what became of them.",
            ("trigger", "instance", "result"),
            registry=self.registry,
        )
        self.webhooks = Counter(
            "stasis_callback_webhooks", "Deliveries tried.", ("instance", "result"), registry=self.registry
        )
        self.registry.register(_OfProcess(workers))
        if trunks is not None:
            self.registry.register(_OfTrunks(trunks))
        self.registry.register(_FromDatabase(stores, database_answers, clock))

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)

    def decided(self, order: Order, answer: Answer) -> None:
        """The engine has answered an order."""
        self.orders.labels(order.trigger, order.instance, answer.reason or "accepted").inc()


class _OfProcess(Collector):
    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """How its threads are, and what of its log was lost."""
        up = GaugeMetricFamily(
            "stasis_callback_worker_up", "Whether a background thread is well.", labels=("worker",)
        )
        restarts = CounterMetricFamily(
            "stasis_callback_worker_restarts", "Times it began again after a failure.", labels=("worker",)
        )
        for name, count in self._workers.restarts.items():
            restarts.add_metric((name,), count)
        for name, well in self._workers.well.items():
            up.add_metric((name,), well)
        yield up
        yield restarts
        yield CounterMetricFamily(
            "stasis_callback_log_lines_dropped", "Lines of the log that were lost.", value=lines_dropped()
        )


class _OfTrunks(Collector):
    def __init__(self, trunks: TrunkHealth) -> None:
        self._trunks = trunks

    def collect(self) -> Iterator[Metric]:
        """Which trunks are passed over, and how often they have failed. One that never failed is left out."""
        up = GaugeMetricFamily(
            "stasis_callback_trunk_up", "Whether calls go over it in its turn.", labels=("trunk",)
        )
        failures = CounterMetricFamily(
            "stasis_callback_trunk_failures", "Calls it did not carry, by why.", labels=("trunk", "meaning")
        )
        for state in self._trunks.states():
            up.add_metric((state.trunk,), state.rests_until_us is None)
        for (trunk, meaning), count in self._trunks.failures().items():
            failures.add_metric((trunk, meaning), count)
        yield up
        yield failures


class _FromDatabase(Collector):
    def __init__(self, stores: Stores, answers: Callable[[], bool], clock: Clock) -> None:
        self._stores = stores
        self._clock = clock
        self._answers = answers

    def collect(self) -> Iterator[Metric]:
        """What is true now; what cannot be read now is left out."""
        read: list[Metric] = []
        up = self._answers()
        if up:
            try:
                read = list(self._read())
            except Exception:  # noqa: BLE001  on any error the other metrics are still needed
                up = False
        yield from read
        yield GaugeMetricFamily("stasis_callback_database_up", "Whether it answers.", value=up)

    def _read(self) -> Iterator[Metric]:
        requests = GaugeMetricFamily("stasis_callback_requests", "Callbacks not over.", labels=("state",))
        for state in LIVE:
            requests.add_metric((state,), self._stores.requests.count(state))
        yield requests
        due_us = self._stores.requests.next_due_us()
        late_us = 0 if due_us is None else max(self._clock.now_us() - due_us, 0)
        yield GaugeMetricFamily(
            "stasis_callback_queue_age_seconds",
            "Since when the first callback in the queue is due.",
            value=late_us / US_PER_S,
        )
        legs = GaugeMetricFamily("stasis_callback_legs_up", "Legs being called or talking.", labels=("side",))
        for side, count in self._stores.calls.open_by_side().items():
            legs.add_metric((side,), count)
        yield legs
        held = GaugeMetricFamily(
            "stasis_callback_held", "Funds held for legs that are not charged yet.", labels=("currency",)
        )
        for currency, micros in self._stores.ledger.held_by_currency().items():
            held.add_metric((currency,), micros / MICROS)
        yield held
        due = self._stores.events.undelivered()
        yield GaugeMetricFamily("stasis_callback_webhooks_due", "Webhooks not delivered yet.", value=due)
