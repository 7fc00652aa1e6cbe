"""How do a host's programs hand over their events? What both clients offer; it never waits, so nothing is awaited."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from ml_guard.bulk import parts
from ml_guard.config import Setup
from ml_guard.ingestion import Ingestion
from ml_guard.observing import Features, Observation, Result, decorator
from ml_guard.stats import Stats
from ml_guard.transports.base import Transport

F = TypeVar("F", bound=Callable[..., Any])


class Sending:
    """Taking events, which is the same for both clients."""

    def __init__(self, setup: Setup, ingestion: Ingestion | None) -> None:
        self._setup = setup
        self._ingestion = ingestion
        if ingestion is not None:
            weakref.finalize(self, ingestion.retire).atexit = False  # at exit the outbox's own hook waits

    @property
    def enabled(self) -> bool:
        """False where `ML_GUARD_ENABLED=0` has turned everything into nothing."""
        return self._ingestion is not None

    def ingest_event(
        self,
        *,
        project_id: str | None = None,
        model_id: str | None = None,
        endpoint: str | None = None,
        features: Mapping[str, Any] | None = None,
        y_pred: Any = None,
        y_proba: Any = None,
        latency_ms: Any = None,
        timestamp: datetime | str | float | None = None,
        event_id: str | None = None,
        **unknown: Any,
    ) -> bool:
        """Queue one call of a model and return at once; nothing is raised, whatever is given.

        `project_id` and `model_id` are needed, here or as the client's; `endpoint` is `predict` if not given,
        `timestamp` the time of this call. Values may be those of numpy, pandas or torch; NaN and the like count as
        missing. False: the event was lost, which `stats` counts by reason and a warning of the logger `ml_guard` explains.
        """
        if self._ingestion is None:
            return False
        row = {
            "project_id": project_id,
            "model_id": model_id,
            "endpoint": endpoint,
            "event_id": event_id,
            "timestamp": timestamp,
            "latency_ms": latency_ms,
            "y_pred": y_pred,
            "y_proba": y_proba,
            "features": features,
        }
        return self._ingestion.take({**row, **unknown} if unknown else row)

    def ingest_batch(
        self, rows: Iterable[Mapping[str, Any]], *, batch_id: str | None = None, wait_s: float = 0.0
    ) -> int:
        """Queue many events, each a mapping with the arguments of `ingest_event`; the number taken.

        With `batch_id` the rows that were sent under this name within 7 days count once, however often the same call
        is repeated. With `wait_s` a full queue is waited for so long, which a batch job may want; else the rest is lost.
        """
        if self._ingestion is None:
            return 0
        if batch_id is None:
            return self._ingestion.take_all(rows, wait_s)
        return self._ingestion.take_batches(parts(batch_id, self._ingestion.encoded(rows)), wait_s)

    def monitor(
        self,
        *,
        project_id: str | None = None,
        model_id: str | None = None,
        endpoint: str | None = None,
        features: Features = None,
        result: Result = None,
    ) -> Callable[[F], F]:
        """A decorator: each call of a predict function, sync or async, that returns is an event.

        Its latency is measured. Features are its arguments by name; an argument that is a mapping, a dataclass or a
        model of pydantic or msgspec gives its fields. `features` is the name of the argument that holds them, or a
        function of the call's arguments that returns them. What is returned is `y_pred`, or a mapping with `y_pred` and
        `y_proba`, unless `result`, a function of it, says so. An exception passes through and is no inference.
        """
        names = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
        if self._ingestion is None:
            return lambda function: function
        return decorator(self._ingestion, names, features, result)

    def observe(
        self,
        *,
        project_id: str | None = None,
        model_id: str | None = None,
        endpoint: str | None = None,
        features: Mapping[str, Any] | None = None,
    ) -> Observation:
        """`with client.observe(model_id="m") as o:` measures the block; set `o.y_pred`, `o.y_proba` and `o.features`.

        A block that raises is no inference, nor is one that calls `o.discard()`.
        """
        names = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
        return Observation(self._ingestion, names, features)

    def settle(self) -> bool:
        """Wait for what is under way, as the end of a process would: hardly at all for a server that is gone."""
        return self._ingestion is None or self._ingestion.settle()

    def stats(self) -> Stats:
        """What became of the events so far: sent, waiting, and lost by reason."""
        return Stats() if self._ingestion is None else self._ingestion.stats()


def ingestion_of(
    setup: Setup,
    *,
    kafka_options: Mapping[str, Any] | None,
    transport: Transport | None,
    verify: bool | str,
    timeout_s: float,
    max_queue: int,
    max_features: int,
    dry_run: bool,
    spill_dir: str | Path | None,
    spill_bytes: int,
) -> Ingestion | None:
    """What takes a client's events; None where the environment turned it off. Raises `ConfigError`."""
    if not setup.enabled:
        return None
    return Ingestion(
        transport or _transport(setup, verify, kafka_options, dry_run),
        defaults=setup.defaults,
        max_queue=max_queue,
        max_features=max_features,
        timeout_s=timeout_s,
        spill_dir=None if spill_dir is None else Path(spill_dir),
        spill_bytes=spill_bytes,
    )


def _transport(
    setup: Setup, verify: bool | str, kafka_options: Mapping[str, Any] | None, dry_run: bool
) -> Transport:
    if dry_run:
        from ml_guard.transports.dry_run import DryRunTransport

        return DryRunTransport()
    if setup.kafka is None:
        from ml_guard.transports.http import HttpTransport

        return HttpTransport(setup.base_url, setup.api_key, verify)
    from ml_guard.transports.kafka import KafkaTransport
    from ml_guard.transports.kafka_security import options_of_environment

    reports = None
    if setup.bridge_known:
        from ml_guard.transports.http import HttpTransport

        reports = HttpTransport(setup.base_url, setup.api_key, verify)
    options = dict(kafka_options or {})
    if "security_protocol" not in options:
        options |= options_of_environment()
    return KafkaTransport(setup.kafka, reporter=reports, **options)
