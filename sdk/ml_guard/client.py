"""What does a host program hold in its hand? `MLGuardClient`, and `AsyncMLGuardClient` for event loops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from ml_guard.checking import Check, examine
from ml_guard.config import setup
from ml_guard.event import MAX_FEATURES
from ml_guard.frames import Columns, FrameReceipt, send_frame
from ml_guard.late import LateAsyncConnection, LateConnection
from ml_guard.outbox import EXIT_TIMEOUT_S, MAX_EVENTS, SPILL_BYTES
from ml_guard.records import AsyncRecords, Records
from ml_guard.reference_data import reference_call
from ml_guard.resources import Api, AsyncApi
from ml_guard.sending import Sending, ingestion_of
from ml_guard.shapes import BaselineFromData, LiveEvent
from ml_guard.transports.base import Transport

P = ParamSpec("P")
T = TypeVar("T")


class MLGuardClient(Sending, Api, Records):
    """Sends events in the background and asks the API.

    `base_url` and `api_key` are the API's. With `kafka="host:9092"` events go to Kafka instead (needs
    `ml-guard[kafka]`; `kafka_options` are AIOKafkaProducer's, for TLS and SASL), with `transport=` anywhere.
    `project_id`, `model_id` and `endpoint` stand for those that an event does not name. What is not given here is
    taken from ML_GUARD_URL, _API_KEY, _KAFKA, _PROJECT, _MODEL and _ENDPOINT; ML_GUARD_ENABLED=0 turns ingestion off.
    `dry_run` logs what would be sent. At most `max_queue` events wait in memory; with `spill_dir` at most
    `spill_bytes` more wait on disk while the server is away. The client may be shared by threads, survives a fork (the
    child starts with an empty queue) and sends what is left when the process ends; `close` or a `with` block do it
    sooner. Setting it up may raise `ConfigError`; ingestion raises nothing; calls of the API raise `TransportError`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        kafka: str | None = None,
        kafka_options: Mapping[str, Any] | None = None,
        transport: Transport | None = None,
        project_id: str | None = None,
        model_id: str | None = None,
        endpoint: str | None = None,
        dry_run: bool = False,
        spill_dir: str | Path | None = None,
        spill_bytes: int = SPILL_BYTES,
        verify: bool | str = True,
        timeout_s: float = 10.0,
        max_queue: int = MAX_EVENTS,
        max_features: int = MAX_FEATURES,
    ) -> None:
        made = setup(base_url, api_key, kafka, project_id, model_id, endpoint)
        connection = LateConnection(made.base_url, made.api_key, timeout_s, verify)
        ingestion = ingestion_of(
            made,
            kafka_options=kafka_options,
            transport=transport,
            verify=verify,
            timeout_s=timeout_s,
            max_queue=max_queue,
            max_features=max_features,
            dry_run=dry_run,
            spill_dir=spill_dir,
            spill_bytes=spill_bytes,
        )
        Sending.__init__(self, made, ingestion)
        Api.__init__(self, connection)

    def ingest_dataframe(
        self,
        frame: Any,
        *,
        project_id: str | None = None,
        model_id: str | None = None,
        endpoint: str | None = None,
        batch_id: str | None = None,
        timestamp: str | datetime | None = None,
        y_pred: str | None = None,
        y_proba: str | None = None,
        latency_ms: str | None = None,
        event_id: str | None = None,
        features: Columns = None,
        timeout_s: float = 300.0,
        progress: bool | None = None,
    ) -> FrameReceipt:
        """Send each row of a pandas or polars DataFrame or an Arrow table as an event, and wait until that is done.

        `timestamp` is the instant of all rows or the column that holds it, `y_pred`, `y_proba`, `latency_ms` and
        `event_id` are columns; columns with just these names are taken for them. `features` are columns, a mapping of
        names to columns, or if not given all others. With `batch_id` a call that is repeated within 7 days with the same
        rows counts once. `progress`: a bar on stderr; if not given, on a terminal only. Raises `EventError` before
        anything is sent if a column cannot be sent, `IncompleteBatchError` if not every row arrived.
        """
        columns = {"y_pred": y_pred, "y_proba": y_proba, "latency_ms": latency_ms, "event_id": event_id}
        names = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
        return send_frame(
            self._ingestion, frame, names, columns, timestamp, features, batch_id, timeout_s, progress
        )

    def capture_baseline(
        self,
        data: Any,
        *,
        project_id: str | None = None,
        model_id: str | None = None,
        endpoint: str | None = None,
        y_pred: str | None = None,
        y_proba: str | None = None,
        latency_ms: str | None = None,
        features: Columns = None,
        leave_out: Iterable[str] = (),
        weekdays: Iterable[int] | None = None,
        note: str | None = None,
        name: str | None = None,
        preview: bool = False,
        progress: bool | None = None,
    ) -> BaselineFromData:
        """Make a reference data set, such as the training data, the model's baseline; no event is counted.

        `data` is a pandas or polars DataFrame, an Arrow table, or the path of a CSV, Parquet or Arrow file (needs
        `ml-guard[data]`). `y_pred`, `y_proba` and `latency_ms` are columns; columns with just these names are taken for
        them. `features` are columns, a mapping of names to columns, or if not given all others (`timestamp` and
        `event_id` left out); `leave_out` are columns that no event has, such as the target. `weekdays`, Monday 1 to
        Sunday 7, are those that it stands for; if not given, all. Bins and shares are exact. `preview` stores nothing;
        the answer also says which features had better be ignored, and which are in the data or in the events only.
        Raises `ConfigError`, `EventError` for a column that cannot be sent, and `TransportError`.
        """
        names = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
        columns = {"y_pred": y_pred, "y_proba": y_proba, "latency_ms": latency_ms}
        call = reference_call(
            data,
            {field: given or self._setup.defaults.get(field) for field, given in names.items()},
            columns,
            features,
            leave_out=leave_out,
            weekdays=weekdays,
            note=note,
            name=name,
            preview=preview,
            progress=progress,
        )
        return self._connection.run(call)

    def check(self, *, project_id: str | None = None, timeout_s: float = 5.0) -> Check:
        """Would events arrive, and if not, why? Address, clock, key, scope, project; with Kafka its topic."""
        return examine(self._ingestion, project_id or self._setup.defaults.get("project_id"), timeout_s)

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until all that was taken so far is sent (or lost for a reason), at most `timeout_s`; whether it was."""
        return self._ingestion is None or self._ingestion.flush(timeout_s)

    def close(self, timeout_s: float = EXIT_TIMEOUT_S) -> bool:
        """Send what is left for at most `timeout_s`, then count the rest as lost; whether nothing was. Ends the client."""
        finished = self._ingestion is None or self._ingestion.close(timeout_s)
        self._connection.close()
        return finished

    def live(
        self, *, project_id: str | None = None, model_id: str | None = None, reconnect: bool = True
    ) -> Iterator[LiveEvent]:
        """Each change of a day as it happens, without end; a broken stream is taken up where it broke."""
        return self._connection.live(project_id, model_id, reconnect)

    def __enter__(self) -> MLGuardClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncMLGuardClient(Sending, AsyncApi, AsyncRecords):
    """`MLGuardClient` for an event loop: `flush`, `close`, `check`, `live`, frames and the API are awaited."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        kafka: str | None = None,
        kafka_options: Mapping[str, Any] | None = None,
        transport: Transport | None = None,
        project_id: str | None = None,
        model_id: str | None = None,
        endpoint: str | None = None,
        dry_run: bool = False,
        spill_dir: str | Path | None = None,
        spill_bytes: int = SPILL_BYTES,
        verify: bool | str = True,
        timeout_s: float = 10.0,
        max_queue: int = MAX_EVENTS,
        max_features: int = MAX_FEATURES,
    ) -> None:
        made = setup(base_url, api_key, kafka, project_id, model_id, endpoint)
        connection = LateAsyncConnection(made.base_url, made.api_key, timeout_s, verify)
        ingestion = ingestion_of(
            made,
            kafka_options=kafka_options,
            transport=transport,
            verify=verify,
            timeout_s=timeout_s,
            max_queue=max_queue,
            max_features=max_features,
            dry_run=dry_run,
            spill_dir=spill_dir,
            spill_bytes=spill_bytes,
        )
        Sending.__init__(self, made, ingestion)
        AsyncApi.__init__(self, connection)

    async def ingest_dataframe(
        self,
        frame: Any,
        *,
        project_id: str | None = None,
        model_id: str | None = None,
        endpoint: str | None = None,
        batch_id: str | None = None,
        timestamp: str | datetime | None = None,
        y_pred: str | None = None,
        y_proba: str | None = None,
        latency_ms: str | None = None,
        event_id: str | None = None,
        features: Columns = None,
        timeout_s: float = 300.0,
        progress: bool | None = None,
    ) -> FrameReceipt:
        """`MLGuardClient.ingest_dataframe`, in a thread."""
        columns = {"y_pred": y_pred, "y_proba": y_proba, "latency_ms": latency_ms, "event_id": event_id}
        names = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
        return await _in_a_thread(
            send_frame,
            self._ingestion,
            frame,
            names,
            columns,
            timestamp,
            features,
            batch_id,
            timeout_s,
            progress,
        )

    async def capture_baseline(
        self,
        data: Any,
        *,
        project_id: str | None = None,
        model_id: str | None = None,
        endpoint: str | None = None,
        y_pred: str | None = None,
        y_proba: str | None = None,
        latency_ms: str | None = None,
        features: Columns = None,
        leave_out: Iterable[str] = (),
        weekdays: Iterable[int] | None = None,
        note: str | None = None,
        name: str | None = None,
        preview: bool = False,
        progress: bool | None = None,
    ) -> BaselineFromData:
        """`MLGuardClient.capture_baseline`, in a thread."""
        names = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
        columns = {"y_pred": y_pred, "y_proba": y_proba, "latency_ms": latency_ms}
        return await _in_a_thread(
            _sent_apart,
            self._connection.beside(),
            data,
            {field: given or self._setup.defaults.get(field) for field, given in names.items()},
            columns,
            features,
            leave_out=leave_out,
            weekdays=weekdays,
            note=note,
            name=name,
            preview=preview,
            progress=progress,
        )

    async def check(self, *, project_id: str | None = None, timeout_s: float = 5.0) -> Check:
        """`MLGuardClient.check`, in a thread."""
        project = project_id or self._setup.defaults.get("project_id")
        return await _in_a_thread(examine, self._ingestion, project, timeout_s)

    async def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until all that was taken so far is sent (or lost for a reason), at most `timeout_s`; whether it was."""
        return self._ingestion is None or await _in_a_thread(self._ingestion.flush, timeout_s)

    async def close(self, timeout_s: float = EXIT_TIMEOUT_S) -> bool:
        """Send what is left for at most `timeout_s`, then count the rest as lost; whether nothing was. Ends the client."""
        finished = self._ingestion is None or await _in_a_thread(self._ingestion.close, timeout_s)
        await self._connection.close()
        return finished

    def live(
        self, *, project_id: str | None = None, model_id: str | None = None, reconnect: bool = True
    ) -> AsyncIterator[LiveEvent]:
        """Each change of a day as it happens, without end; a broken stream is taken up where it broke."""
        return self._connection.live(project_id, model_id, reconnect)

    async def __aenter__(self) -> AsyncMLGuardClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _sent_apart(connection: LateConnection, *what: Any, **how: Any) -> BaselineFromData:
    """A large body is sent outside of the event loop, over a connection of its own."""
    try:
        return connection.run(reference_call(*what, **how))
    finally:
        connection.close()


def _in_a_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
    import asyncio  # 30 ms that a host without an event loop does not need

    return asyncio.to_thread(function, *args, **kwargs)
