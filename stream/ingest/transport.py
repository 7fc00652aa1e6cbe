"""How does Faust hand the agent whole partition batches, read from where the database says?

A subclass of Faust's own aiokafka consumer. Four things differ: a message is a `PartitionBatch`; positions come
from `stream_fence`, not from the group's committed offsets; the isolation is `read_committed` and the reset policy
`none`; and what is fetched but not yet folded is bounded in bytes, so that Faust's buffers never fill.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol, TypeAlias, cast

import aiokafka
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from stream.ingest.log import Log, read_logs, read_partitions
from stream.ingest.packed import KeptRecords
from stream.ingest.records import PartitionBatch, UnreadableRecordsError, unpack

log = logging.getLogger(__name__)

FETCH_BYTES = 1_048_576
"""Of one partition and one fetch: some 2,300 events, enough for long columns."""
UNFOLDED_BYTES = 16 * 1_048_576
"""Fetched and not yet folded, over all partitions; above it nothing more is fetched."""
FETCH_WAIT_MS = 200


Taken: TypeAlias = "PartitionBatch | OffsetOutOfRangeError | UnreadableRecordsError"
Fetched = dict[TP, Taken]


class Positions(Protocol):
    """What the consumer asks of stream/ingest/claims.py."""

    async def claim(self, partitions: Iterable[int]) -> dict[int, int | None]:
        """Take these partitions over; the offset at which each is read on, or None where it has to stand still."""

    def epochs(self) -> dict[int, int]:
        """The epoch of each partition that is claimed."""

    def out_of_range(self, partition: int, offset: int) -> None:
        """The broker has no such offset."""

    def unreadable(self, partition: int, offset: int, why: str) -> None:
        """Nobody here can unpack the records from this offset on."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka runs."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        fetcher.MemoryRecords = KeptRecords  # what it makes of a fetch
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=30_000,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def logs(self, topic: str, partitions: Iterable[int]) -> dict[int, Log]:
        """What each partition's log is now."""
        return cast(
            dict[int, Log],
            await self.call_thread(read_logs, self._ensure_consumer(), topic, list(partitions)),
        )

    async def partitions(self, topic: str) -> set[int]:
        """The partitions that the topic has at this moment."""
        return cast(set[int], await self.call_thread(read_partitions, self._ensure_consumer(), topic))

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """The last stable offset of every partition of a topic, assigned here or not."""
        return cast(dict[int, int], await self.call_thread(self._end_offsets, topic))

    async def _end_offsets(self, topic: str) -> dict[int, int]:
        consumer = self._ensure_consumer()
        found = consumer.partitions_for_topic(topic)
        if not found:
            raise KafkaError(f"the broker does not name the partitions of {topic}")
        ends = await consumer.end_offsets([TopicPartition(topic, partition) for partition in found])
        return {tp.partition: end for tp, end in ends.items()}

    async def place(self, topic: str, offsets: Mapping[int, int | None]) -> None:
        """Read on from these offsets; a partition without one is not fetched until it gets one."""
        await self.call_thread(self._place, topic, dict(offsets))

    async def _place(self, topic: str, offsets: Mapping[int, int | None]) -> None:
        consumer = self._ensure_consumer()
        for partition, offset in offsets.items():
            tp = TopicPartition(topic, partition)
            try:
                consumer.seek(tp, offset or 0)
                if offset is None:
                    consumer.pause(tp)
                elif tp in consumer.paused():
                    consumer.resume(tp)
            except IllegalStateError:
                log.info("partition %d left before it was placed", partition)

    async def commit_hint(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Tell the group how far the database is. Lag tools read it; a failure changes nothing."""
        await self.call_thread(self._commit_hint, topic, dict(offsets))

    async def _commit_hint(self, topic: str, offsets: Mapping[int, int]) -> None:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        known = {TopicPartition(topic, partition): offset for partition, offset in offsets.items()}
        hint = {tp: OffsetAndMetadata(offset, "") for tp, offset in known.items() if tp in assigned}
        try:
            if hint:
                await consumer.commit(hint)
        except KafkaError as error:
            log.info("the group's offsets were not committed: %r", error)

    async def _fetch_records(  # type: ignore[override]  # a batch where Faust's own has a list
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Fetched:
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():
            return await self._fetched(fetcher, active_partitions, timeout or 0.0)

    async def _fetched(self, fetcher: Any, active: set[TP], timeout: float) -> Fetched:
        until = time.monotonic() + timeout
        while True:
            if fetcher._subscriptions.reassignment_in_progress:
                await fetcher._subscriptions.wait_for_assignment()
            found: Fetched = {}
            for tp in list(fetcher._records):
                if tp not in active:
                    if not fetcher._subscriptions.is_assigned(tp):
                        del fetcher._records[tp]
                    continue
                result = fetcher._records.pop(tp)
                fetcher._notify(fetcher._wait_consume_future)
                batch = _taken(tp, result)
                if batch is not None:
                    found[TP(tp.topic, tp.partition)] = batch
            left = until - time.monotonic()
            if found or left <= 0:
                return found
            waiter = fetcher._create_fetch_waiter()
            done, pending = await asyncio.wait([waiter], timeout=left)
            for unfinished in pending:
                unfinished.cancel()
            if not done or fetcher._closed:
                return {}
            waiter.result()


def _taken(tp: TopicPartition, result: Any) -> Taken | None:
    """What one fetch result of aiokafka holds, its position moved behind it."""
    fetched = getattr(result, "_partition_records", None)
    if not hasattr(result, "check_assignment"):
        try:
            result.check_raise()
        except OffsetOutOfRangeError as error:
            return error
        except NoOffsetForPartitionError:
            return None  # not placed yet
        except KafkaError as error:
            log.warning("fetching partition %d: %r", tp.partition, error)
        return None
    if not result.check_assignment(tp) or fetched is None:
        return None
    try:
        batch = unpack(fetched)
    except CorruptRecordException as error:
        log.error("partition %d: %s; it is fetched again", tp.partition, error)
        return None
    except UnreadableRecordsError as error:
        return error
    result._update_position()
    return batch if batch.hi > batch.lo else None


class Consumer(driver.Consumer):
    """Faust's consumer, a message a partition batch."""

    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unfolded = 0
        self._folded = asyncio.Event()

    @property
    def positions(self) -> Positions:
        """Where to read; set on the app by stream/app.py."""
        return cast(Positions, cast(Any, self.app).positions)

    @property
    def thread(self) -> ConsumerThread:
        """Where aiokafka runs."""
        return self._thread

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def folded(self, nbytes: int) -> None:
        """These many bytes that it had yielded are folded or thrown away."""
        self._unfolded = max(0, self._unfolded - nbytes)
        if self._unfolded < UNFOLDED_BYTES:
            self._folded.set()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Claim what is assigned and go to where the database says that each partition stands."""
        self._unfolded = 0  # Faust has thrown away what was in its queue
        self._folded.set()
        assigned = self.assignment()
        if not assigned:
            return {}
        topic = next(iter(assigned)).topic
        offsets = await self.positions.claim(sorted(tp.partition for tp in assigned))
        await self._thread.place(topic, offsets)
        return {TP(topic, partition): offset or 0 for partition, offset in offsets.items()}

    async def place(self, topic: str, offsets: Mapping[int, int | None]) -> None:
        """Go to these offsets, outside a rebalance."""
        await self._thread.place(topic, offsets)
        for partition, offset in offsets.items():
            self._read_offset[TP(topic, partition)] = offset or None

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """One message a partition, its value the batch."""
        while self._unfolded >= UNFOLDED_BYTES and self.flow_active and not self.should_stop:
            self._folded.clear()
            try:
                await asyncio.wait_for(self._folded.wait(), timeout)
            except TimeoutError:
                return
        records, _active = await self._wait_next_records(timeout)
        fetched = cast("Fetched | None", records)
        if fetched is None or self.should_stop:
            return
        # A batch that was fetched before its partition was claimed again is as good, if it begins where reading stands.
        epochs = self.positions.epochs()
        for tp, batch in fetched.items():
            if not self.flow_active:
                return  # a rebalance: what is left is read again after the next claim
            if isinstance(batch, OffsetOutOfRangeError):
                self.positions.out_of_range(tp.partition, next(iter(batch.args[0].values()), -1))
                continue
            if isinstance(batch, UnreadableRecordsError):
                self.positions.unreadable(tp.partition, batch.offset, batch.why)
                continue
            batch.epoch = epochs.get(tp.partition, -1)
            self._unfolded += batch.nbytes
            yield tp, self._message(tp, batch)

    def _message(self, tp: TP, batch: PartitionBatch) -> ConsumerMessage:
        appended = batch.appended_ms[-1] / 1000.0 if batch.appended_ms else time.time()
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            batch.hi - 1,
            appended,
            1,
            [],
            None,
            cast(Any, batch),
            None,
            None,
            None,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's own detector reads acknowledgements, of which there are none; stream/ingest/watchdog.py watches."""


class Transport(driver.Transport):
    """Faust's transport with the consumer above."""

    Consumer = Consumer
