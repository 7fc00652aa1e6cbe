"""How does a worker take batches, fold them and write checkpoints, partition by partition?

The agent gives it batches (`take`), its own loop writes checkpoints (`run`). What fails, whatever it is, costs a
partition its memory and nothing else: it is claimed again, and what was not written is read again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

import asyncpg
from aiokafka.errors import KafkaError

from stream.catalog import Catalog
from stream.ingest.checkpoint import Checkpoint, UnwritableError
from stream.ingest.claims import DATABASE_ERRORS, RETRY_S, Claims, without_values
from stream.ingest.dead_letters import DeadLetters
from stream.ingest.failpoints import Failpoints
from stream.ingest.folding import Folder, UnfoldableError
from stream.ingest.isolation import Isolation, where
from stream.ingest.pace import Pace
from stream.ingest.records import PartitionBatch
from stream.ingest.state import StateCache
from stream.ingest.work import Partition
from stream.measures import WorkerMeasures
from stream.settings import Settings
from stream.sketches import SketchError
from stream.store.batches import DuplicateBatchError
from stream.store.deletion import ProjectChangedError
from stream.store.fence import FenceLostError
from stream.store.pool import Pool

log = logging.getLogger(__name__)

FOLD_RECORDS = 1_024
FOLD_BYTES = 2 * 1_048_576
"""So much waits unfolded at most; before that, a checkpoint folds what has come. Long columns are cheaper, up to where
their events no longer fit into the processor's cache: 4,096 took 7 % longer."""
DEAD_BYTES = 16 * 1_048_576
"""Of a partition's dead letters that wait for the broker; above it no more is taken in."""
TICK_S = 0.02
HEARTBEAT_S = 1.0


class Ingestion:
    """From batch to checkpoint."""

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
        measures: WorkerMeasures | None = None,
    ) -> None:
        self.topic = settings.topic
        self.cache = StateCache(settings.state_bytes)
        self.pace = Pace(settings.checkpoint_s)
        self.measures = measures or WorkerMeasures()
        self.failpoints = failpoints or Failpoints()
        self.folder = Folder(settings, pool, catalog, self.cache, clock, self.failpoints)
        self.claims = Claims(
            settings.topic, pool, self.cache, clock=clock, owner=owner, failpoints=self.failpoints
        )
        self._pool = pool
        self._catalog = catalog
        self._dead = dead
        self._clock = clock
        self._hints: dict[int, int] = {}
        self._isolations: dict[int, Isolation] = defaultdict(Isolation)
        self._beyond: Counter[str] = Counter()

    async def take(self, batch: PartitionBatch) -> None:
        """Take the next batch of a partition; it may be folded at once or wait for more."""
        claims = self.claims
        assert claims.broker is not None
        nbytes = batch.nbytes
        try:
            partition = claims.partitions.get(batch.partition)
            if partition is None or batch.hi <= partition.next_offset or self.failpoints.losing():
                return
            if partition.epoch != batch.epoch:
                # It is of an earlier claim; go back, should the consumer have gone past its records meanwhile.
                await claims.broker.place(self.topic, {partition.number: partition.next_offset})
                return
            if batch.lo > partition.next_offset:
                log.warning(
                    "partition %d: offsets %d to %d did not arrive; they are read again",
                    batch.partition,
                    partition.next_offset,
                    batch.lo - 1,
                    extra={"partition": batch.partition},
                )
                claims.again(batch.partition)
                return
            if batch.lo < partition.next_offset:
                batch = batch.from_offset(partition.next_offset)
            partition.take(batch)
            if partition.waiting_records >= FOLD_RECORDS or partition.waiting_bytes >= FOLD_BYTES:
                await self._fold_or_give_up(partition)
                await self._make_room(partition)
        finally:
            claims.broker.folded(nbytes)

    async def _fold_or_give_up(self, partition: Partition) -> None:
        try:
            async with partition.folding:
                await self._fold(partition)
        except DATABASE_ERRORS as error:
            self.claims.database_failed(f"partition {partition.number}: state could not be loaded", error)
            self.claims.give_up(partition)
        except UnfoldableError as error:
            self._give_up_or_stop(partition, error.__cause__)
            await self._isolate(partition, error)
        except SketchError as error:
            self.claims.unreadable_state(partition, str(error))
        except Exception as error:
            log.error(
                "partition %d could not be folded: %s",
                partition.number,
                without_values(error),
                extra={"partition": partition.number},
            )
            self.claims.give_up(partition)
        except BaseException:  # cancelled with a batch in its hands, which must not be passed over
            self.claims.give_up(partition)
            raise

    async def _isolate(self, partition: Partition, error: UnfoldableError) -> None:
        """Our own code failed, and the partition is read again; what fails every time is looked for meanwhile."""
        log.error(
            "partition %d could not be folded: %s",
            partition.number,
            without_values(error.__cause__ or error),
            extra={"partition": partition.number},
        )
        isolation, folder = self._isolations[partition.number], self.folder
        fails = partial(folder.fails, encode=isolation.careful(partition))
        try:
            await isolation.failed(partition, error.batch, folder.count_of, fails)
        except DATABASE_ERRORS as gone:
            self.claims.database_failed(f"partition {partition.number}: state could not be loaded", gone)

    def _give_up_or_stop(self, partition: Partition, error: BaseException | None) -> None:
        """The partition is read again, unless that has been tried to the end."""
        if error is not None and self._isolations[partition.number].searched_in_vain(partition):
            self.claims.unfoldable(partition, where(error))
        self.claims.give_up(partition, after_s=RETRY_S)

    async def _fold(self, partition: Partition) -> None:
        isolation = self._isolations[partition.number]
        aside, careful = isolation.still_aside(partition), isolation.careful(partition)
        self.pace.folded(await self.folder.fold(partition, aside, encode=careful))
        self.measures.beyond(self.folder.beyond - self._beyond)
        self._beyond = Counter(self.folder.beyond)
        self.failpoints.passing("after_fold")

    async def _make_room(self, partition: Partition) -> None:
        """Wait while more is held than may be; only a checkpoint makes room."""
        self._evict()
        while not partition.gone and (
            self.cache.nbytes > self.cache.limit or partition.work.dead_bytes > DEAD_BYTES
        ):
            self.pace.hurry()
            self.claims.changed.clear()
            await self.claims.changed.wait()
            self._evict()

    def _evict(self) -> None:
        self.measures.evicted.inc(self.cache.evict())

    async def run(self) -> None:
        """Write checkpoints when they are due, until cancelled."""
        beat_at = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            began = time.monotonic()
            if self.pace.due(began):
                await self._checkpoints()
                self.pace.done(began, time.monotonic())
            if began - beat_at >= HEARTBEAT_S:
                beat_at = began
                await self._send_hints()
                await self.claims.beat(self._catalog.generation)

    async def _checkpoints(self, partitions: Iterable[Partition] | None = None) -> None:
        for partition in list(self.claims.partitions.values() if partitions is None else partitions):
            if partition.unwritten:
                await self.checkpoint(partition)

    async def checkpoint(self, partition: Partition) -> bool:
        """Write what a partition has gathered; if that fails, its memory is thrown away. Whether it was written."""
        async with partition.writing:
            unfoldable: UnfoldableError | None = None
            try:
                written = await self._write(partition)
            except (FenceLostError, DuplicateBatchError, ProjectChangedError) as error:
                log.warning("%s", error)
                written = None
            except (UnwritableError, asyncpg.DataError) as error:  # which no second try makes good
                written = None
                self._be_careful(partition, error)
            except (*DATABASE_ERRORS, KafkaError) as error:
                self.claims.database_failed(f"partition {partition.number}: its checkpoint failed", error)
                written = None
            except UnfoldableError as error:
                unfoldable, written = error, None
                self._give_up_or_stop(partition, error.__cause__)
            except SketchError as error:
                self.claims.unreadable_state(partition, str(error))
                written = None
            except Exception as error:
                log.error(
                    "partition %d: its checkpoint failed: %s",
                    partition.number,
                    without_values(error),
                    extra={"partition": partition.number},
                )
                written = None
            except BaseException:
                self.claims.drop(partition.number)
                raise
            if written is None:
                self.measures.failed()
                self.claims.give_up(partition, after_s=RETRY_S)
            if unfoldable is not None:
                await self._isolate(partition, unfoldable)
            self.claims.changed.set()
            self._evict()
            return bool(written)

    def _be_careful(self, partition: Partition, error: UnwritableError | asyncpg.DataError) -> None:
        """What was counted cannot be made into rows: which event does that show as soon as it is folded, if one does."""
        cause = error.__cause__ or error
        log.error(
            "partition %d: what it has counted cannot be written: %s",
            partition.number,
            without_values(cause),
            extra={"partition": partition.number},
        )
        if not self._isolations[partition.number].be_careful(partition):
            self.claims.unfoldable(partition, where(cause))

    async def _write(self, partition: Partition) -> bool:
        began = time.monotonic()
        async with partition.folding:
            await self._fold(partition)
            if partition.gone or partition.folded == partition.written:
                return False
            taken = Checkpoint.take(self.topic, partition, self.cache, self.failpoints)
        try:
            self.failpoints.passing("before_dead_letters")
            await taken.bury(self._dead)
            self.failpoints.passing("after_dead_letters")
            await taken.commit(
                self._pool,
                generation=self._catalog.generation,
                now=self._clock(),
                failpoints=self.failpoints,
            )
        finally:
            taken.release()
        self._catalog.registered(taken.work.models)
        self.pace.wrote(taken.work.events)
        self.measures.wrote(time.monotonic() - began, taken.work)
        self._hints[partition.number] = taken.hi
        return True

    async def checkpoint_all(self) -> None:
        """Write everything, before the worker ends."""
        await self._checkpoints()
        await self._send_hints()

    async def revoke(self, numbers: Iterable[int]) -> None:
        """Partitions are about to leave: write what is there, then forget them."""
        leaving = list(numbers)
        known = self.claims.partitions
        await self._checkpoints([known[number] for number in leaving if number in known])
        for number in leaving:
            self.claims.drop(number)
            self.claims.stopped.pop(number, None)
            self._isolations.pop(number, None)
            self._hints.pop(number, None)

    async def _send_hints(self) -> None:
        broker = self.claims.broker
        # None is assigned during a rebalance: a commit would be refused then, and begin another one.
        assigned = set() if broker is None else broker.assigned()
        hints = {number: self._hints.pop(number) for number in assigned & self._hints.keys()}
        if hints and broker is not None:
            try:
                await broker.commit_hint(self.topic, hints)
            except Exception as error:
                log.info("the group's offsets were not committed: %s", without_values(error))
        self.failpoints.passing("after_kafka_commit")
