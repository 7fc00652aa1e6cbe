"""What does a host program hold in its hand? `MLGuardClient`, and `AsyncMLGuardClient` for event loops."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

from ml_guard.connection import AsyncConnection, Connection
from ml_guard.event import MAX_FEATURES
from ml_guard.ingestion import Ingestion
from ml_guard.outbox import EXIT_TIMEOUT_S, MAX_EVENTS
from ml_guard.resources import Api, AsyncApi
from ml_guard.shapes import LiveEvent
from ml_guard.stats import Stats
from ml_guard.transports.base import Transport
from ml_guard.transports.http import HttpTransport

DEFAULT_URL = "http://localhost:8000"


class _Sending:
    """Taking events, which is the same for both clients: it never waits, so there is nothing to await."""

    def __init__(self, ingestion: Ingestion) -> None:
        self._ingestion = ingestion
        weakref.finalize(self, ingestion.retire).atexit = False  # at exit the outbox's own hook waits

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

        `project_id` and `model_id` are needed; `endpoint` is `predict` if not given, `timestamp` the time of
        this call. Values may be those of numpy, pandas or torch; NaN and the like count as missing. False: the
        event was lost, which `stats` counts by reason and a warning of the logger `ml_guard` explains.
        """
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

    def ingest_batch(self, rows: Iterable[Mapping[str, Any]], *, wait_s: float = 0.0) -> int:
        """Queue many events, each a mapping with the arguments of `ingest_event`; the number taken.

        With `wait_s`, a full queue is waited for so long an event, which a batch job may want; else the rest is lost.
        """
        return self._ingestion.take_all(rows, wait_s)

    def stats(self) -> Stats:
        """What became of the events so far: sent, waiting, and lost by reason."""
        return self._ingestion.stats()


class MLGuardClient(_Sending, Api):
    """Sends events in the background and asks the API.

    `base_url` and `api_key` are the API's. With `kafka="host:9092"` events go to Kafka instead (needs
    `ml-guard[kafka]`; `kafka_options` are AIOKafkaProducer's, for TLS and SASL), with `transport=` anywhere.
    At most `max_queue` events wait. The client may be shared by threads, survives a fork (the child starts
    with an empty queue) and sends what is left when the process ends; `close` or a `with` block do it sooner.
    Setting it up may raise `ConfigError`; ingestion raises nothing; calls of the API raise `TransportError`.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        kafka: str | None = None,
        kafka_options: Mapping[str, Any] | None = None,
        transport: Transport | None = None,
        verify: bool | str = True,
        timeout_s: float = 10.0,
        max_queue: int = MAX_EVENTS,
        max_features: int = MAX_FEATURES,
    ) -> None:
        transport = transport or _transport(base_url, api_key, verify, kafka, kafka_options)
        ingestion = Ingestion(transport, max_queue=max_queue, max_features=max_features, timeout_s=timeout_s)
        _Sending.__init__(self, ingestion)
        Api.__init__(self, Connection(base_url, api_key, timeout_s, verify))

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until all that was taken so far is sent (or lost for a reason), at most `timeout_s`; whether it was."""
        return self._ingestion.flush(timeout_s)

    def close(self, timeout_s: float = EXIT_TIMEOUT_S) -> bool:
        """Send what is left for at most `timeout_s`, then count the rest as lost; whether nothing was. Ends the client."""
        finished = self._ingestion.close(timeout_s)
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


class AsyncMLGuardClient(_Sending, AsyncApi):
    """`MLGuardClient` for an event loop: `flush`, `close`, `live` and the API are awaited, `ingest_event` is not."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        kafka: str | None = None,
        kafka_options: Mapping[str, Any] | None = None,
        transport: Transport | None = None,
        verify: bool | str = True,
        timeout_s: float = 10.0,
        max_queue: int = MAX_EVENTS,
        max_features: int = MAX_FEATURES,
    ) -> None:
        transport = transport or _transport(base_url, api_key, verify, kafka, kafka_options)
        ingestion = Ingestion(transport, max_queue=max_queue, max_features=max_features, timeout_s=timeout_s)
        _Sending.__init__(self, ingestion)
        AsyncApi.__init__(self, AsyncConnection(base_url, api_key, timeout_s, verify))

    async def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until all that was taken so far is sent (or lost for a reason), at most `timeout_s`; whether it was."""
        return await asyncio.to_thread(self._ingestion.flush, timeout_s)

    async def close(self, timeout_s: float = EXIT_TIMEOUT_S) -> bool:
        """Send what is left for at most `timeout_s`, then count the rest as lost; whether nothing was. Ends the client."""
        finished = await asyncio.to_thread(self._ingestion.close, timeout_s)
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


def _transport(
    base_url: str,
    api_key: str | None,
    verify: bool | str,
    kafka: str | None,
    kafka_options: Mapping[str, Any] | None,
) -> Transport:
    if kafka is None:
        return HttpTransport(base_url, api_key, verify)
    from ml_guard.transports.kafka import KafkaTransport

    return KafkaTransport(kafka, **(kafka_options or {}))
