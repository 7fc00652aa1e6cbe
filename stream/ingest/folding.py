"""How does a batch of records get into memory: decoded, without what was taken before, folded into loaded state?"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection
from datetime import datetime
from typing import cast

from aiokafka.errors import KafkaError

from stream.catalog import Catalog
from stream.client_reports import taken
from stream.days import from_us, to_us
from stream.ingest.claims import DATABASE_ERRORS
from stream.ingest.decode import Aside, RecordReader, Records
from stream.ingest.failpoints import Failpoints
from stream.ingest.fold import fold
from stream.ingest.records import PartitionBatch
from stream.ingest.sorting import (
    Duplicates,
    Limits,
    ModelDayEvents,
    Sorted,
    Sorter,
    event_key,
    event_keys,
)
from stream.ingest.state import EVENTS_KIND, ModelDay, StateCache
from stream.ingest.work import Partition
from stream.settings import Settings
from stream.sketches import SketchError
from stream.store import batches, state
from stream.store.batches import BatchKey, SeenBatch
from stream.store.pool import Pool
from stream.store.state import ChangedDay, ModelDayKey

log = logging.getLogger(__name__)

DAY_US = 86_400_000_000

NOT_OF_CONTENT = (*DATABASE_ERRORS, KafkaError, MemoryError, SketchError)
"""What may fail although the records are as they should be. Sketches: those that are stored, and cannot be read here."""


class UnfoldableError(Exception):
    """Our own code failed on these records; its cause is the error."""

    def __init__(self, batch: PartitionBatch) -> None:
        super().__init__(f"offsets {batch.lo} to {batch.hi - 1}")
        self.batch = batch


class Folder:
    """Folds what waits in a partition. The caller holds the partition's `folding` lock.

    Attributes
    ----------
    beyond : Counter of str
        Values that came beyond a limit, by what became of them: `fold.LEFT_OUT` and its like.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        catalog: Catalog,
        cache: StateCache,
        clock: Callable[[], datetime],
        failpoints: Failpoints,
    ) -> None:
        self._settings = settings
        self._failpoints = failpoints
        self._pool = pool
        self._catalog = catalog
        self._cache = cache
        self._clock = clock
        self.beyond: Counter[str] = Counter()
        self._reader = RecordReader(
            max_features=settings.max_features, max_record_bytes=settings.max_record_bytes
        )

    async def fold(self, partition: Partition, aside: Aside | None = None, *, encode: bool = False) -> int:
        """Decode and fold all that is waiting, but for events that are set aside; how many events that was.

        With `encode` it is also tried whether what was counted can be made into rows.

        Raises
        ------
        UnfoldableError
            If it was neither the database nor the broker that failed.
        """
        batch = partition.take_all()
        if batch is None or partition.gone:
            return 0
        if batch.lo != partition.folded:
            raise AssertionError(f"partition {batch.partition}: {batch.lo} follows {partition.folded}")
        try:
            return await self._fold(partition, batch, aside, encode)
        except NOT_OF_CONTENT:
            raise
        except Exception as error:
            raise UnfoldableError(batch) from error

    async def fails(self, batch: PartitionBatch, aside: Aside, *, encode: bool = False) -> Exception | None:
        """What folding a batch on the state of the database raises; nothing is kept."""
        alone = Partition(batch.partition, batch.epoch, batch.lo, batch.lo, batch.lo)
        alone.take(batch)
        apart = Folder(
            self._settings,
            self._pool,
            self._catalog,
            StateCache(self._settings.state_bytes),
            self._clock,
            self._failpoints,
        )
        try:
            await apart.fold(alone, aside, encode=encode)
        except UnfoldableError as error:
            return cast(Exception, error.__cause__)
        return None

    def count_of(self, batch: PartitionBatch) -> int:
        """How many events the one record of a batch holds."""
        records = self._reader.read(batch)
        return max(records.index, default=0) + 1

    async def _fold(
        self, partition: Partition, batch: PartitionBatch, aside: Aside | None, encode: bool
    ) -> int:
        records = self._reader.read(batch, aside)
        await self._catalog.look_again(records.projects())
        again = await self._duplicates(partition, records)
        found = Sorter(self._reader, self._catalog.projects, again, self._limits()).sort(records)
        states = await self._states(partition, found.groups)
        if partition.gone:
            return 0
        self._note(partition, records, again, found)
        for group, day in zip(found.groups, states, strict=True):
            self._failpoints.failing("folding", group.model[1])
            self.beyond += fold(day, group, self._settings.max_model_features)
            key_id = None if group.hide is None else group.hide.key_id
            partition.work.label_keys.add((group.model[0], key_id))
            partition.work.add_traffic(group)
            if encode:
                self._failpoints.failing("encoding", group.model[1])
                day.try_encoding()
        partition.folded = batch.hi
        return len(records.events)

    def _limits(self) -> Limits:
        kept = self._settings.retention_days
        oldest = None if kept is None else to_us(self._clock()) - kept * DAY_US
        return Limits(int(self._settings.future_s * 1_000_000), oldest, self._settings.max_models)

    async def _duplicates(self, partition: Partition, records: Records) -> Duplicates:
        singles = event_keys(records, self._catalog.projects)
        if not records.keys and not singles:
            return Duplicates()
        wanted: set[BatchKey] = {*records.keys.values(), *singles.values()}
        async with self._pool.acquire() as connection:
            seen = await batches.find_seen(connection, wanted)
        known = {key: to_us(at) for key, at in seen.items()}
        known |= {
            key: to_us(partition.work.seen[key].appended_at) for key in wanted & partition.work.seen.keys()
        }
        kept_us = round(batches.KEPT.total_seconds() * 1e6)
        arrivals = records.batch.appended_ms
        repeated: list[set[int]] = [set(), set()]
        for keys, which in ((records.keys, 0), (singles, 1)):
            for position, key in keys.items():
                at = arrivals[position if which == 0 else records.record[position]] * 1000
                before = known.get(key)
                if before is not None and at - before <= kept_us:
                    repeated[which].add(position)
                else:
                    known[key] = at
        return Duplicates(frozenset(repeated[0]), frozenset(repeated[1]))

    def _note(self, partition: Partition, records: Records, again: Duplicates, found: Sorted) -> None:
        """Everything about the batch that the next checkpoint writes, but the states."""
        work, batch = partition.work, records.batch
        counts = work.counts
        counts.empty += records.empty_records + (batch.hi - batch.lo - len(batch))
        counts.dead += records.dead_records
        counts.duplicate += len(again.records)
        counts.decoded += len(batch) - records.empty_records - records.dead_records - len(again.records)
        self._note_reports(partition, records)
        work.add_ledger(found)
        work.events += len(records.events)
        for record, key in records.keys.items():
            if record not in again.records:
                work.seen[key] = self._seen(batch, key, record)
        for group in found.groups:
            day = group.day
            work.changed.add(ModelDayKey(*group.model, day.start))
            work.days.add(ChangedDay(group.model[0], day.start, day.day, day.end, day.zone))
            project = self._catalog.projects.get(group.model[0])
            if project is not None and project.dedupe_by_event_id:
                keys = (event_key(event) for event in group.events if event.event_id)
                work.seen.update({key: self._seen(batch, key, -1) for key in keys})

    def _note_reports(self, partition: Partition, records: Records) -> None:
        work, unreadable = partition.work, records.unreadable_reports
        for report in records.reports:
            work.add_report(report.client_id, taken(report.counts, self._catalog.projects, self._clock()))
        work.reports += len(records.reports)
        if unreadable:
            work.unreadable_reports += len(unreadable)
            log.warning(
                "partition %d: %d records without a value hold no report of a client that can be read, the first at "
                "offset %d; they are passed over",
                partition.number,
                len(unreadable),
                unreadable[0],
                extra={"partition": partition.number},
            )

    def _seen(self, batch: PartitionBatch, key: BatchKey, record: int) -> SeenBatch:
        at = from_us(batch.appended_ms[record] * 1000)
        return SeenBatch(*key, at, self._settings.topic, batch.partition, batch.offsets[record])

    async def _states(self, partition: Partition, groups: Collection[ModelDayEvents]) -> list[ModelDay]:
        """The state of each group's model-day; those that are not in memory are loaded together."""
        shard = partition.number
        wanted = [(ModelDayKey(*group.model, group.day.start), group) for group in groups]
        held = {key: day for key, _ in wanted if (day := self._cache.get(shard, key)) is not None}
        missing = {key: group for key, group in wanted if key not in held}
        if missing:
            held |= await self._load(partition, missing)
            if partition.gone:
                return []
        found = []
        for key, group in wanted:
            day = held[key]
            if day.day is not group.day:
                day.day, day.day_end = group.day, group.day.end
            self._cache.put(shard, day)  # again, if it left while the others were loading
            found.append(day)
        return found

    async def _load(
        self, partition: Partition, missing: dict[ModelDayKey, ModelDayEvents]
    ) -> dict[ModelDayKey, ModelDay]:
        shard, keys, labels = partition.number, list(missing), self._settings.max_labels
        async with self._pool.acquire() as connection:
            sketches = await state.load_sketches(connection, shard, keys)
            counters = await state.load_bins(connection, shard, keys) if sketches else {}
        versions = {
            key: next((row.baseline_version for row in rows if row.kind == EVENTS_KIND), None)
            for key, rows in sketches.items()
        }
        pinned = {key: (*key[:3], version) for key, version in versions.items() if version is not None}
        bins = await self._catalog.bins_of(pinned.values())
        loaded = {}
        for key, group in missing.items():
            if key in sketches:
                frozen = bins[pinned[key]] if key in pinned else {}
                loaded[key] = ModelDay.restore(
                    key, group.day, sketches[key], counters.get(key, []), frozen, labels
                )
            else:
                pinned_to = self._catalog.active_bins(group.model, group.day.day)
                loaded[key] = ModelDay(key, group.day, *pinned_to, labels)
        return loaded
