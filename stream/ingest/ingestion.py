"""How does a worker take batches, fold them and write checkpoints, partition by partition?

The one object that knows all partitions of this worker. The agent gives it batches (`take`), the consumer asks it
where to read (`claim`), its own loop writes checkpoints (`run`). Whenever something does not fit, a partition's memory
is thrown away and claimed again from the database, which is always right.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Protocol

import asyncpg
from aiokafka.errors import KafkaError

from stream.catalog import Catalog
from stream.ingest.checkpoint import Checkpoint
from stream.ingest.dead_letters import DeadLetters
from stream.ingest.failpoints import Failpoints
from stream.ingest.folding import Folder
from stream.ingest.log import Log
from stream.ingest.misfit import misfit
from stream.ingest.pace import Pace
from stream.ingest.records import PartitionBatch
from stream.ingest.state import StateCache
from stream.ingest.work import Partition
from stream.settings import Settings
from stream.store import batches, fence
from stream.store.fence import FenceLostError
from stream.store.pool import Pool

log = logging.getLogger(__name__)

FOLD_RECORDS = 4_096
FOLD_BYTES = 2 * 1_048_576
"""So much waits unfolded at most; before that, a checkpoint folds what has come. Long columns are cheaper."""
TICK_S = 0.02
HEARTBEAT_S = 1.0
RETRY_S = 0.5
DAY_US = 86_400_000_000

DatabaseError = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Broker(Protocol):
    """What ingestion needs of the consumer."""

    async def logs(self, topic: str, partitions: Iterable[int]) -> dict[int, Log]:
        """What each partition's log is now."""

    async def place(self, topic: str, offsets: dict[int, int | None]) -> None:
        """Read on from these offsets."""

    async def commit_hint(self, topic: str, offsets: dict[int, int]) -> None:
        """Tell the group how far the database is."""

    def assigned(self) -> set[int]:
        """The partitions that the group has given to this worker."""

    def folded(self, nbytes: int) -> None:
        """These many bytes need no room any more."""


class Ingestion:
    """A worker's partitions, from batch to checkpoint."""

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        catalog: Catalog,
        dead: DeadLetters,
        *,
        clock: Callable[[], datetime],
        owner: str,
        failpoints: Failpoints | None = None,
    ) -> None:
        self.settings = settings
        self.topic = settings.topic
        self.broker: Broker | None = None
        self.partitions: dict[int, Partition] = {}
        self.stopped: dict[int, str] = {}
        self.cache = StateCache(settings.state_bytes)
        self.pace = Pace(settings.checkpoint_s)
        self.failpoints = failpoints or Failpoints()
        self.database_failed_at: float | None = None
        self._pool = pool
        self._catalog = catalog
        self._dead = dead
        self._clock = clock
        self._owner = owner
        self._folder = Folder(settings, pool, catalog, self.cache, clock)
        self._reclaiming: set[asyncio.Task[None]] = set()
        self._claiming = asyncio.Lock()
        self._room = asyncio.Event()
        self._hints: dict[int, int] = {}

    # -- where to read -------------------------------------------------------------------------------------------

    def epochs(self) -> dict[int, int]:
        """The epoch of each claimed partition."""
        return {number: partition.epoch for number, partition in self.partitions.items()}

    async def claim(self, partitions: Iterable[int]) -> dict[int, int | None]:
        """Take partitions over; where each is read on, or None where it has to stand still. Waits for the database."""
        wanted = list(partitions)
        async with self._claiming:
            for number in wanted:
                self.drop(number)
            while True:
                try:
                    return await self._claim(wanted)
                except (*DatabaseError, KafkaError) as error:
                    self.database_failed_at = time.monotonic()
                    log.warning("partitions %s cannot be claimed yet: %r", wanted, error)
                    await asyncio.sleep(RETRY_S)

    async def _claim(self, wanted: list[int]) -> dict[int, int | None]:
        assert self.broker is not None
        logs = await self.broker.logs(self.topic, wanted)
        identity = next((found.identity for found in logs.values()), None)
        async with self._pool.acquire() as connection, connection.transaction():
            fences = await fence.claim(
                connection,
                self.topic,
                {number: logs[number].first for number in wanted},
                identity=identity,
                owner=self._owner,
                now=self._clock(),
            )
            reasons = {number: misfit(self.topic, fences[number], logs[number]) for number in wanted}
            await fence.stop(connection, self.topic, reasons)
        self.failpoints.passing("after_claim")
        places: dict[int, int | None] = {}
        for number, known in fences.items():
            reason = reasons[number]
            if reason is None:
                at = known.next_offset
                self.partitions[number] = Partition(number, known.epoch, at, at, at)
                self.stopped.pop(number, None)
                places[number] = at
            else:
                self._stand_still(number, reason)
                places[number] = None
        self._room.set()
        return places

    def _stand_still(self, number: int, reason: str) -> None:
        self.stopped[number] = reason
        log.error("partition %d stands still: %s", number, reason)

    def out_of_range(self, partition: int, offset: int) -> None:
        """The broker has no such offset: look again what the log holds, which gives the reason."""
        log.error("partition %d: offset %d is out of the log's range", partition, offset)
        self._reclaim(partition)

    def drop(self, number: int) -> None:
        """Throw away a partition's memory; what it had not written is read again by whoever claims it."""
        partition = self.partitions.pop(number, None)
        if partition is not None:
            partition.gone = True
        self.cache.drop(number)

    def _reclaim(self, number: int, *, after_s: float = 0.0) -> None:
        self.drop(number)
        task = asyncio.ensure_future(self._claim_again(number, after_s))
        self._reclaiming.add(task)
        task.add_done_callback(self._reclaiming.discard)

    async def _claim_again(self, number: int, after_s: float) -> None:
        assert self.broker is not None
        await asyncio.sleep(after_s)
        if number in self.partitions or number not in self.broker.assigned():
            return
        places = await self.claim([number])
        if number in self.broker.assigned():
            await self.broker.place(self.topic, places)

    # -- folding -------------------------------------------------------------------------------------------------

    async def take(self, batch: PartitionBatch) -> None:
        """Take the next batch of a partition; it may be folded at once or wait for more."""
        assert self.broker is not None
        nbytes = batch.nbytes
        try:
            partition = self.partitions.get(batch.partition)
            if partition is None or batch.hi <= partition.next_offset:
                return
            if partition.epoch != batch.epoch:
                # It is of an earlier claim; go back, should the consumer have gone past its records meanwhile.
                await self.broker.place(self.topic, {partition.number: partition.next_offset})
                return
            if batch.lo > partition.next_offset:
                log.warning(
                    "partition %d: offsets %d to %d did not arrive; they are read again",
                    batch.partition,
                    partition.next_offset,
                    batch.lo - 1,
                )
                self._reclaim(batch.partition)
                return
            if batch.lo < partition.next_offset:
                batch = batch.from_offset(partition.next_offset)
            partition.take(batch)
            if partition.waiting_records >= FOLD_RECORDS or partition.waiting_bytes >= FOLD_BYTES:
                await self._fold_or_drop(partition)
                await self._make_room()
        finally:
            self.broker.folded(nbytes)

    async def _fold_or_drop(self, partition: Partition) -> None:
        try:
            async with partition.folding:
                self._folded(await self._folder.fold(partition))
        except DatabaseError as error:
            self.database_failed_at = time.monotonic()
            log.warning("partition %d: state could not be loaded: %r", partition.number, error)
            if not partition.gone:
                self._reclaim(partition.number, after_s=RETRY_S)

    def _folded(self, events: int) -> None:
        self.pace.folded(events)
        self.failpoints.passing("after_fold")

    async def _make_room(self) -> None:
        """Wait while more is held than may be; only a checkpoint makes room."""
        self.cache.evict()
        while self.cache.nbytes > self.settings.state_bytes and self.partitions:
            self.pace.hurry()
            self._room.clear()
            await self._room.wait()
            self.cache.evict()

    # -- checkpoints ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write checkpoints when they are due, until cancelled."""
        beat_at = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            began = time.monotonic()
            if self.pace.due(began):
                for partition in list(self.partitions.values()):
                    if partition.unwritten:
                        await self.checkpoint(partition)
                self.pace.done(began, time.monotonic())
            if began - beat_at >= HEARTBEAT_S:
                beat_at = began
                await self._beat()

    async def checkpoint(self, partition: Partition) -> bool:
        """Write what a partition has gathered; if that fails, its memory is thrown away. Whether it was written."""
        async with partition.writing:
            taken: Checkpoint | None = None
            try:
                async with partition.folding:
                    self._folded(await self._folder.fold(partition))
                    if partition.gone or partition.folded == partition.written:
                        return False
                    taken = Checkpoint.take(self.topic, partition, self.cache)
                self.failpoints.passing("before_dead_letters")
                await taken.bury(self._dead)
                self.failpoints.passing("after_dead_letters")
                await taken.commit(
                    self._pool,
                    generation=self._catalog.generation,
                    now=self._clock(),
                    failpoints=self.failpoints,
                )
            except (FenceLostError, batches.DuplicateBatchError) as error:
                log.warning("%s", error)
                self._give_up(partition, after_s=RETRY_S)
                return False
            except (*DatabaseError, KafkaError) as error:
                self.database_failed_at = time.monotonic()
                log.warning("partition %d: its checkpoint failed: %r", partition.number, error)
                self._give_up(partition, after_s=RETRY_S)
                return False
            finally:
                if taken is not None:
                    taken.release()
                self._room.set()
            self.database_failed_at = None
            self.pace.wrote(taken.work.events)
            self._hints[partition.number] = taken.hi
            self.cache.evict()
            return True

    def _give_up(self, partition: Partition, *, after_s: float) -> None:
        if not partition.gone:
            self._reclaim(partition.number, after_s=after_s)

    async def checkpoint_all(self) -> None:
        """Write everything, before partitions leave."""
        for partition in list(self.partitions.values()):
            if partition.unwritten:
                await self.checkpoint(partition)
        await self._send_hints()

    async def revoke(self, numbers: Iterable[int]) -> None:
        """Partitions are about to leave: write what is there, then forget them."""
        leaving = [self.partitions[number] for number in numbers if number in self.partitions]
        for partition in leaving:
            if partition.unwritten:
                await self.checkpoint(partition)
        for partition in leaving:
            self.drop(partition.number)
        for number in numbers:
            self.stopped.pop(number, None)

    async def _beat(self) -> None:
        """Show that the worker is alive, see which partitions are still its own, and which may go on."""
        await self._send_hints()
        epochs = self.epochs()
        try:
            async with self._pool.acquire() as connection:
                own = await fence.beat(
                    connection, self.topic, epochs, generation=self._catalog.generation, now=self._clock()
                )
                accepted = (
                    await fence.resumed(connection, self.topic, self.stopped) if self.stopped else set()
                )
        except DatabaseError as error:
            self.database_failed_at = time.monotonic()
            log.warning("no heartbeat was written: %r", error)
            return
        for number in accepted:
            log.info("partition %d goes on: its loss was accepted", number)
            self.stopped.pop(number, None)
            self._reclaim(number)
        for number, epoch in epochs.items():
            partition = self.partitions.get(number)
            if number not in own and partition is not None and partition.epoch == epoch:
                log.warning("partition %d was claimed by another worker", number)
                self._reclaim(number, after_s=RETRY_S)

    async def _send_hints(self) -> None:
        hints, self._hints = self._hints, {}
        if hints and self.broker is not None:
            try:
                await self.broker.commit_hint(self.topic, hints)
            except Exception as error:
                log.info("the group's offsets were not committed: %r", error)
        self.failpoints.passing("after_kafka_commit")


def describe(ingestion: Ingestion) -> dict[str, Any]:
    """What a log line says: never a value of an event."""
    return {
        "partitions": sorted(ingestion.partitions),
        "stopped": sorted(ingestion.stopped),
        "model_days": len(ingestion.cache),
        "state_mb": round(ingestion.cache.nbytes / 1e6, 1),
    }
