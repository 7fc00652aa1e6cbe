"""When does the broker have a record? One idempotent producer with acks=all, made anew when it has failed for good."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

from api.bridge.budget import Budget
from api.problems import Problem
from ml_guard.transports.kafka_trouble import told

log = logging.getLogger(__name__)

RECORD_OVERHEAD = 2_048
"""Bytes that a waiting record costs beside its own: the task, its future, the producer's bookkeeping."""

AGAIN_S = 0.5
FIRST_S = 2.0
STOP_S = 5.0


class Producer:
    """Sends records; bounded by a budget in what waits for acknowledgement."""

    def __init__(
        self, kafka: Mapping[str, Any], topic: str, budget: Budget, ack_s: float, record_bytes: int
    ) -> None:
        self._kafka, self._topic, self._budget = kafka, topic, budget
        self._ack_s, self._record_bytes = ack_s, record_bytes
        self._producer: AIOKafkaProducer | None = None
        self._failed = asyncio.Event()
        self._connected = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._waiting: dict[int, float] = {}
        self._acks: set[asyncio.Future[object]] = set()
        self._number = 0

    async def open(self) -> None:
        """Begin to connect; waits for the broker a moment only, so that a first request finds it."""
        self._keeper = asyncio.create_task(self._keep(), name="bridge producer")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._connected.wait(), FIRST_S)

    async def close(self) -> None:
        """Send what waits, for a few seconds at most, and end."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await self._stop()

    @property
    def waiting(self) -> int:
        """Records that the broker has not acknowledged yet."""
        return len(self._waiting)

    def check(self) -> None:
        """Raise `broker_unavailable` if there is no use in sending now."""
        oldest = next(iter(self._waiting.values()), None)
        if self._producer is None or (oldest is not None and time.monotonic() - oldest > self._ack_s):
            raise self.away()

    async def send(self, record: bytes, holder: str) -> None:
        """Return when the broker has the record; it waits in this holder's name. Raises `broker_unavailable`, `buffer_full`.

        A record that was not acknowledged in time may still arrive later: a caller that retries without an
        `Idempotency-Key` may then have its events twice.
        """
        producer = self._producer
        if producer is None:
            raise self.away()
        cost = len(record) + RECORD_OVERHEAD
        self._budget.take(cost, holder)
        self._number += 1
        number = self._number
        self._waiting[number] = time.monotonic()
        acknowledged: asyncio.Future[object] | None = None
        try:
            acknowledged = await producer.send(self._topic, record)
            self._acks.add(acknowledged)
            await acknowledged
        except KafkaError as error:
            log.warning("Kafka refused a record: %r", error)
            if not error.retriable:
                self._failed.set()
            raise self.away() from error
        finally:
            self._budget.give(cost, holder)
            del self._waiting[number]
            if acknowledged is not None:
                self._acks.discard(acknowledged)

    def away(self) -> Problem:
        """The problem of a broker that does not acknowledge."""
        return Problem(
            "broker_unavailable",
            "Kafka does not acknowledge events now. Send again; with an Idempotency-Key nothing is counted twice.",
            retry_after_s=2,
        )

    async def _keep(self) -> None:
        while True:
            producer = AIOKafkaProducer(
                **self._kafka,
                enable_idempotence=True,
                acks="all",
                max_request_size=self._record_bytes,
                max_batch_size=self._record_bytes,
                request_timeout_ms=int(self._ack_s * 1000),
                client_id="ml_guard-bridge",
            )
            try:
                await producer.start()
            except Exception as error:
                with contextlib.suppress(Exception):
                    await producer.stop()
                reason = await told(self._kafka["bootstrap_servers"], self._kafka, error)
                log.warning("the bridge does not reach Kafka: %s", reason)
                await asyncio.sleep(AGAIN_S)
                continue
            self._producer = producer
            self._failed.clear()
            self._connected.set()
            await self._failed.wait()
            log.error("the bridge's producer failed for good and is made anew")
            await self._stop()

    async def _stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(producer.stop(), STOP_S)
            for acknowledged in self._acks:  # nobody else would ever end them
                if not acknowledged.done():
                    acknowledged.set_exception(ProducerClosed())
