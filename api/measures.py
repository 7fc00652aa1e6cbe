"""What does the API count of itself? The series of `/metrics` that anybody sees: few, without names of projects."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Measures:
    """A registry of its own, so that several apps in one process do not share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "ml_guard_api_requests",
            "Requests answered.",
            ("operation", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "ml_guard_api_request_seconds",
            "Time to answer, the live stream left out.",
            ("operation",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._limited = Counter(
            "ml_guard_api_limited",
            "Requests that a limit turned away, by the problem's code and the setting that limits.",
            ("code", "limit"),
            registry=self.registry,
        )
        self._events = Counter(
            "ml_guard_bridge_events",
            "Events that came to the bridge, by what became of them.",
            ("outcome",),
            registry=self.registry,
        )
        self.buffer_bytes = self._gauge("ml_guard_bridge_buffer_bytes", "Bytes that the bridge holds.")
        self.waiting_records = self._gauge(
            "ml_guard_bridge_waiting_records", "Records that Kafka has not acknowledged yet."
        )
        self.tasks = self._gauge("ml_guard_api_tasks", "Tasks of the event loop.")
        self.live_listeners = self._gauge("ml_guard_api_live_listeners", "Open live streams.")
        self.broker_up = self._gauge("ml_guard_broker_up", "1 if Kafka answers.")
        self.database_up = self._gauge("ml_guard_database_up", "1 if the database answers.")
        self.lag = self._gauge(
            "ml_guard_partition_lag_records", "Records not yet in a checkpoint.", ("partition",)
        )
        self.silence = self._gauge(
            "ml_guard_partition_heartbeat_age_seconds", "Since a worker was last heard.", ("partition",)
        )
        self.stopped = self._gauge(
            "ml_guard_partition_stopped", "1 if the partition's log does not fit its fence.", ("partition",)
        )
        self.difference = self._gauge(
            "ml_guard_ledger_difference_records", "Records passed but not accounted for.", ("partition",)
        )
        self.day_difference = self._gauge(
            "ml_guard_ledger_difference_events",
            "Sum over the last 7 days' project-days of events not accounted for.",
        )

        self.lost_by_clients = self._gauge(
            "ml_guard_client_lost_events",
            "Sum over the last 7 days of events that clients lost, as they reported.",
            ("reason",),
        )
        self.rollup_waiting = self._gauge(
            "ml_guard_rollup_waiting_model_days",
            "Model-days that a checkpoint changed and no rollup has read yet.",
        )
        self.days_waiting = self._gauge(
            "ml_guard_days_waiting_to_close",
            "Days of projects that have ended and are not closed, or to be restated.",
        )
        self.alerts_open = self._gauge(
            "ml_guard_alerts_open", "Open alerts, acknowledged ones too.", ("severity",)
        )
        self.messages = self._gauge(
            "ml_guard_alert_messages", "Messages of the last 7 days: pending, sent, or failed.", ("status",)
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def answered(self, operation: str, status: int, seconds: float | None) -> None:
        """Count a request; `operation` is the route's name, never the path."""
        self._requests.labels(operation, str(status)).inc()
        if seconds is not None:
            self._seconds.labels(operation).observe(seconds)

    def limited(self, code: str, limit: str) -> None:
        """Count a request that a limit turned away."""
        self._limited.labels(code, limit).inc()

    def judged(self, outcomes: Iterable[str]) -> None:
        """Count events: `accepted`, or the reason of each that was not."""
        for outcome, count in Tally(outcomes).items():
            self._events.labels(outcome).inc(count)
