"""How does a batch reach Kafka without the bridge?"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

from ml_guard.checking import Step
from ml_guard.errors import (
    ConnectionLostError,
    ForbiddenError,
    MissingExtraError,
    TooLargeError,
    TransportError,
    UnauthorizedError,
)
from ml_guard.event import encode_batch
from ml_guard.reporting import HEADER, encode
from ml_guard.stats import Count
from ml_guard.transports.base import Batch, Receipt, Transport

TOPIC = "ml_guard.events"
MAX_REQUEST_BYTES = 2**20
CLOSE_TIMEOUT_S = 2.0

_MEANINGS: dict[str, type[TransportError]] = {
    "MessageSizeTooLargeError": TooLargeError,
    "TopicAuthorizationFailedError": ForbiddenError,
    "ClusterAuthorizationFailedError": ForbiddenError,
    "AuthenticationFailedError": UnauthorizedError,
    "SaslAuthenticationFailed": UnauthorizedError,
    "UnsupportedSaslMechanismError": UnauthorizedError,
}
"""What Kafka's errors mean, by the names of their classes and bases. Every other one is worth another try."""

_of_the_parent: list[object] = []
"""A forked child never lets go of its parent's producers: finalising one would close what the parent still uses."""


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


class KafkaTransport(Transport):
    """One batch is one record, without a key, acknowledged by all in-sync replicas (`acks=all`, idempotent).

    Counts go to `reporter`, the bridge, where one is known; else they are the header of a record without a value, which
    holds no event. The producer lives in an event loop with a thread of its own. `options` go to `AIOKafkaProducer`,
    for TLS and SASL: those of ml_guard/transports/kafka_security.py.
    """

    reports = True

    def __init__(
        self, bootstrap_servers: str, topic: str = TOPIC, *, reporter: Transport | None = None, **options: Any
    ) -> None:
        try:
            import aiokafka  # noqa: F401 - said when the client is made, not when it sends
        except ImportError:
            raise MissingExtraError(
                'MLGuardClient(kafka=...) needs aiokafka: pip install "ml-guard[kafka]"'
            ) from None
        self._servers = bootstrap_servers
        self._reporter = reporter
        self._topic = topic
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._producer: Any = None
        self._unanswered: tuple[str, asyncio.Future[Any]] | None = None

    def open(self) -> None:
        if self._loop is None:
            loop = asyncio.new_event_loop()
            # Host names are looked up in a thread, which must exist before the interpreter ends: from then on
            # Python 3.12 starts no new one, and what is left could not be sent.
            lookups = concurrent.futures.ThreadPoolExecutor(1, "ml-guard-kafka-lookup")
            lookups.submit(int)
            loop.set_default_executor(lookups)
            threading.Thread(target=_run, args=(loop,), name="ml-guard-kafka", daemon=True).start()
            self._loop = loop

    def send(self, batch: Batch, timeout_s: float) -> Receipt:
        self.open()
        self._within(self._send(batch), timeout_s)
        return Receipt()

    def report(self, client_id: str, counts: Sequence[Count], timeout_s: float) -> frozenset[str]:
        if self._reporter is not None:
            return self._reporter.report(client_id, counts, timeout_s)
        self.open()
        self._within(self._report(client_id, counts), timeout_s)
        return frozenset()

    def check(self, project_id: str | None, timeout_s: float) -> list[Step]:
        from ml_guard.transports.kafka_check import check

        seen = "reach the server through Kafka" if self._reporter is None else "reach the server too"
        return [*check(self._servers, self._topic, self._options, timeout_s), Step("counts", True, seen)]

    def close(self) -> None:
        if self._reporter is not None:
            self._reporter.close()
        loop = self._loop
        if loop is None:
            return
        with contextlib.suppress(TransportError):
            self._within(self._stop(), CLOSE_TIMEOUT_S)
        loop.call_soon_threadsafe(loop.stop)
        self._loop = self._producer = self._unanswered = None

    def forget(self) -> None:
        if self._reporter is not None:
            self._reporter.forget()
        _of_the_parent.append((self._loop, self._producer))
        self._loop = None
        self._producer = None
        self._unanswered = None

    def _within(self, work: Coroutine[Any, Any, None], timeout_s: float) -> None:
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, timeout_s), self._loop)
        try:
            future.result()
        except (asyncio.TimeoutError, concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            raise ConnectionLostError(
                f"Kafka at {self._servers} did not answer within {timeout_s:.0f} s"
            ) from None

    async def _send(self, batch: Batch) -> None:
        try:
            producer = await self._started()
            if self._unanswered is None or self._unanswered[0] != batch.batch_id:
                record = encode_batch(batch.events, project_id=batch.project_id, batch_id=batch.batch_id)
                self._unanswered = batch.batch_id, await producer.send(self._topic, record)
            # A batch that is tried again after a timeout is still with the producer: wait for it, send no copy.
            await asyncio.shield(self._unanswered[1])
            self._unanswered = None
        except TransportError:
            self._unanswered = None
            raise
        except Exception as error:
            self._unanswered = None
            raise self._told(error) from error

    async def _report(self, client_id: str, counts: Sequence[Count]) -> None:
        try:
            producer = await self._started()
            # The key is there since aiokafka sends no record with neither; it keeps a client's reports in order too.
            sent = await producer.send(
                self._topic, key=client_id.encode(), headers=[(HEADER, encode(client_id, counts))]
            )
            await asyncio.shield(sent)
        except Exception as error:
            raise self._told(error) from error

    async def _started(self) -> Any:
        if self._producer is None:
            from aiokafka import AIOKafkaProducer

            producer = AIOKafkaProducer(
                bootstrap_servers=self._servers,
                acks="all",
                enable_idempotence=True,
                max_request_size=MAX_REQUEST_BYTES,
                client_id="ml-guard-sdk",
                **self._options,
            )
            try:
                await producer.start()
            except BaseException as error:
                await producer.stop()
                if type(error).__name__ == "KafkaConnectionError":  # why, it does not say
                    await self._refused()
                raise
            self._producer = producer
        return self._producer

    def _told(self, error: Exception) -> TransportError:
        if isinstance(error, TransportError):
            return error
        return _meaning(error, f"Kafka at {self._servers}: {type(error).__name__}: {error}")

    async def _refused(self) -> None:
        """Raise what a server has against this client, if that can be found out."""
        from ml_guard.transports.kafka_trouble import why

        if (found := await why(self._servers, self._options)) is not None:
            raise _meaning(*found) from found[0]

    async def _stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()


def _meaning(error: Exception, message: str) -> TransportError:
    for kind in type(error).__mro__:
        if kind.__name__ in _MEANINGS:
            return _MEANINGS[kind.__name__](message)
    return ConnectionLostError(message)
