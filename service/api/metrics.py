"""Prometheus metrics: counted HTTP calls, and the state of the work as the database has it at a scrape."""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.domain.states import RequestState
from service.domain.webhooks import DeliveryState
from service.settings import Settings
from service.store.database import Store, Unit

SWAP_BUCKETS = (1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 86_400)
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one application. Labels are states, routes and pools, never ids.

    Where several processes serve one port, any of them tells what all have counted: in files, in the directory that
    the Prometheus client takes from `PROMETHEUS_MULTIPROC_DIR`.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        counts_together = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self.http = Histogram(
            "lethe_http_request_duration_seconds",
            "Time until an HTTP call was answered, by route template.",
            ("method", "route", "status"),
            buckets=BUCKETS,
            registry=None if counts_together else self.registry,
        )
        if counts_together:
            MultiProcessCollector(self.registry)  # type: ignore[no-untyped-call]
        self.registry.register(_Work(store, settings))


class _Work(Collector):
    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: registering must not need the database."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        with self._store.read() as unit:
            yield from self._gauges(unit)
            yield from _serving(unit)
            yield from _webhooks(unit)

    def _gauges(self, unit: Unit) -> Iterator[GaugeMetricFamily]:
        requests = GaugeMetricFamily("lethe_requests", "Unlearning requests.", labels=["state"])
        counts = unit.requests.count_by_state()
        for state in RequestState:
            requests.add_metric([state], counts.get(state, 0))
        yield requests
        runs = GaugeMetricFamily("lethe_runs", "Runs.", labels=["kind", "state"])
        for (kind, run_state), count in unit.runs.count_by_state().items():
            runs.add_metric([kind, run_state], count)
        yield runs
        workers = GaugeMetricFamily("lethe_workers", "Live workers.", labels=["pool"])
        for pool, count in unit.runs.pools_alive(unit.now, within_s=self._settings.lease_s).items():
            workers.add_metric([pool], count)
        yield workers
        oldest = unit.requests.oldest_open()
        age = 0.0 if oldest is None else (unit.now - oldest).total_seconds()
        yield GaugeMetricFamily("lethe_oldest_open_request_age_seconds", "Age of the oldest open request.", age)
        yield GaugeMetricFamily(
            "lethe_overdue_requests", "Open requests past their due date.", unit.requests.count_overdue(unit.now)
        )
        yield GaugeMetricFamily(
            "lethe_due_soon_requests",
            "Open requests that are due soon, by the setting LETHE_DUE_SOON_DAYS.",
            unit.requests.count_due_soon(unit.now, self._settings.due_soon),
        )
        yield GaugeMetricFamily(
            "lethe_overdue_shreddings",
            "Targets whose data should have been shredded by now.",
            unit.targets.count_overdue(unit.now),
        )
        lag = unit.runs.outbox_lag(unit.now)
        yield GaugeMetricFamily("lethe_outbox_lag", "Hints that are due and that the relay has not sent yet.", lag)
        yield GaugeMetricFamily(
            "lethe_journal_lag", "Entries that the erasure journal does not have yet.", unit.journal.count_unwritten()
        )


def _serving(unit: Unit) -> Iterator[Metric]:
    replicas = GaugeMetricFamily("lethe_replicas", "Inference replicas that Lethe drives.", labels=["state"])
    counts = unit.serving.count_by_state()
    for state in ("current", "behind", "failing"):
        replicas.add_metric([state], counts.get(state, 0))
    yield replicas
    within, seconds = unit.serving.durations(SWAP_BUCKETS)
    bounds = [*(str(float(bound)) for bound in SWAP_BUCKETS), "+Inf"]
    swaps = HistogramMetricFamily(
        "lethe_swap_duration_seconds",
        "From the acceptance of a request until a replica was proven to serve the version that answers it.",
    )
    swaps.add_metric([], list(zip(bounds, within, strict=True)), seconds)
    yield swaps


def _webhooks(unit: Unit) -> Iterator[Metric]:
    deliveries = GaugeMetricFamily(
        "lethe_webhook_deliveries", "Webhook deliveries of the last thirty days.", labels=["state"]
    )
    counts = unit.webhooks.count_by_state()
    for state in DeliveryState:
        deliveries.add_metric([state], counts.get(state, 0))
    yield deliveries
    callbacks = GaugeMetricFamily("lethe_status_callbacks", "Status callbacks of requests.", labels=["state"])
    told = unit.callbacks.count_by_state()
    for state in DeliveryState:
        callbacks.add_metric([state], told.get(state, 0))
    yield callbacks
    since = unit.webhooks.waiting_since(unit.now)
    lag = 0.0 if since is None else max(0.0, (unit.now - since).total_seconds())
    yield GaugeMetricFamily("lethe_webhook_lag_seconds", "How long the oldest message that is due waits.", lag)
    disabled = unit.webhooks.count_disabled()
    yield GaugeMetricFamily("lethe_webhook_endpoints_disabled", "Webhook endpoints that are switched off.", disabled)
