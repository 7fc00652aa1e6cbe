"""What does a worker count of itself? The series of its `/metrics`: few, whatever the number of projects and models."""

from __future__ import annotations

import errno
import logging
from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import asdict
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from stream.ingest.fold import ESTIMATED, LEFT_OUT, SHORTENED
from stream.ingest.work import Work

log = logging.getLogger(__name__)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
PORTS = 64
"""Workers of one machine take the port of the setting and those after it; so many are tried."""


class WorkerMeasures:
    """A registry of its own, so that several workers in one process do not share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._events = self._counter(
            "ml_guard_worker_events",
            "Events of committed checkpoints: merged into sketches, dead, or duplicate.",
            ("outcome",),
        )
        self._records = self._counter(
            "ml_guard_worker_records",
            "Records passed by checkpoints: decoded, dead as a whole, duplicate, or empty.",
            ("outcome",),
        )
        self._dead = self._counter(
            "ml_guard_worker_dead_letters", "Events that became dead letters.", ("reason",)
        )
        self._reports = self._counter(
            "ml_guard_worker_client_reports",
            "Reports of clients that came through Kafka: taken, or unreadable.",
            ("outcome",),
        )
        self._checkpoints = self._histogram(
            "ml_guard_worker_checkpoint_seconds",
            "Time that a partition's checkpoint took, dead letters included.",
        )
        self._failed = self._counter(
            "ml_guard_worker_checkpoint_failures",
            "Checkpoints of which nothing was written; they are made again.",
        )
        self._lag_records = self._gauge(
            "ml_guard_worker_lag_records",
            "Records of the partition's log that are not in a checkpoint.",
            ("partition",),
        )
        self._lag_seconds = self._gauge(
            "ml_guard_worker_lag_seconds",
            "Since the broker appended the oldest record that is not in a checkpoint; 0 when there is none.",
            ("partition",),
        )
        self._stopped = self._gauge(
            "ml_guard_worker_partitions_stopped", "Partitions that stand still and wait for a person."
        )
        self._partitions = self._gauge("ml_guard_worker_partitions", "Partitions that this worker reads.")
        self._state_bytes = self._gauge("ml_guard_worker_state_bytes", "Memory that model-days take, about.")
        self._state_limit = self._gauge(
            "ml_guard_worker_state_limit_bytes", "ML_GUARD_STATE_BYTES: above it the least used leave."
        )
        self._model_days = self._gauge("ml_guard_worker_state_model_days", "Model-days in memory.")
        self.evicted = self._counter(
            "ml_guard_worker_state_evictions",
            "Model-days that left memory for want of room; they are read again.",
        )
        self.over_cap = self._counter(
            "ml_guard_worker_values_over_cap",
            "Values left out, since ML_GUARD_MAX_MODEL_FEATURES was reached.",
        )
        self._tasks = self._gauge("ml_guard_worker_tasks", "Tasks of the event loop.")
        self.shortened = self._counter(
            "ml_guard_worker_labels_shortened",
            "Texts of more than 256 characters, counted in their short form.",
        )
        self.estimated = self._counter(
            "ml_guard_worker_labels_estimated",
            "Labels of features that had more on a day than are counted exactly.",
        )
        self.leads = self._gauge("ml_guard_worker_leader", "1 if this worker closes days and sends alerts.")
        self.rolled = self._counter(
            "ml_guard_closer_model_days_rolled", "Results of open model-days written."
        )
        self._closed = self._counter(
            "ml_guard_closer_days_closed",
            "Days of projects closed: first, or restated by late events.",
            ("revision",),
        )
        self._incomplete = self._counter(
            "ml_guard_closer_days_incomplete", "Days closed without a partition that stood still."
        )
        self._work = self._histogram(
            "ml_guard_closer_step_seconds",
            "Time that a step took: rollup, close, alerts, messages, costs.",
            ("work",),
        )
        self._alerts = self._counter(
            "ml_guard_alert_changes", "What became of alerts; an update is silent.", ("news",)
        )
        self._deliveries = self._counter(
            "ml_guard_alert_delivery_attempts",
            "Attempts to deliver a message: sent, failed (tried again), or given up.",
            ("channel", "outcome"),
        )

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(name, text, labels, buckets=SECONDS, registry=self.registry)

    def wrote(self, seconds: float, work: Work) -> None:
        """Count a checkpoint that was committed."""
        self._checkpoints.observe(seconds)
        decoded, dead, duplicate = map(sum, zip((0, 0, 0), *work.ledger.values(), strict=True))
        for outcome, count in (
            ("merged", decoded - dead - duplicate),
            ("dead", dead),
            ("duplicate", duplicate),
        ):
            self._events.labels(outcome).inc(count)
        for outcome, count in asdict(work.counts).items():
            self._records.labels(outcome).inc(count)
        for outcome, count in (("taken", work.reports), ("unreadable", work.unreadable_reports)):
            self._reports.labels(outcome).inc(count)
        for reason, count in Tally(letter.reason for letter in work.dead).items():
            self._dead.labels(reason).inc(count)

    def failed(self) -> None:
        """Count a checkpoint that came to nothing."""
        self._failed.inc()

    def day_closed(self, revision: int, *, complete: bool) -> None:
        """Count a day that was closed."""
        self._closed.labels("first" if revision == 1 else "restated").inc()
        self._incomplete.inc(not complete)

    def beyond(self, values: Mapping[str, int]) -> None:
        """Count values that came beyond a limit."""
        for counter, name in (
            (self.over_cap, LEFT_OUT),
            (self.shortened, SHORTENED),
            (self.estimated, ESTIMATED),
        ):
            counter.inc(values.get(name, 0))

    def worked(self, work: str, seconds: float) -> None:
        """Time a step of the closer."""
        self._work.labels(work).observe(seconds)

    def alert(self, news: str) -> None:
        """Count what became of an alert."""
        self._alerts.labels(news).inc()

    def attempted(self, channel: str, outcome: str) -> None:
        """Count an attempt to deliver a message."""
        self._deliveries.labels(channel, outcome).inc()

    def show_lag(self, records: Mapping[int, int], seconds: Mapping[int, float]) -> None:
        """How far behind each partition of this worker is; those that it has lost have no series any more."""
        self._lag_records.clear()
        self._lag_seconds.clear()
        for partition, count in records.items():
            self._lag_records.labels(str(partition)).set(count)
            self._lag_seconds.labels(str(partition)).set(seconds.get(partition, 0.0))

    def show_state(
        self, *, nbytes: int, limit: int, model_days: int, partitions: int, stopped: int, tasks: int
    ) -> None:
        """What the worker holds."""
        self._state_bytes.set(nbytes)
        self._state_limit.set(limit)
        self._model_days.set(model_days)
        self._partitions.set(partitions)
        self._stopped.set(stopped)
        self._tasks.set(tasks)


class MetricsPort:
    """A small HTTP server in a thread of its own: it answers although the event loop hangs."""

    def __init__(self, server: WSGIServer, thread: Thread) -> None:
        self._server, self._thread = server, thread
        self.port = int(server.server_port)

    @classmethod
    def open(cls, measures: WorkerMeasures, host: str, port: int) -> MetricsPort | None:
        """On this port or, where another worker has it, one of the next; None: there is none, and a warning says so."""
        last = min(port + PORTS, 65_536)
        for candidate in range(port, last):
            try:
                opened: Any = start_http_server(candidate, addr=host, registry=measures.registry)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                log.warning(
                    "no metrics: %s:%d cannot be listened on (%s)", host, candidate, error.strerror or error
                )
                return None
            log.info("metrics on http://%s:%d/metrics", host, candidate)
            return cls(*opened)
        log.warning("no metrics: all ports of %s from %d to %d are taken", host, port, last - 1)
        return None

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
