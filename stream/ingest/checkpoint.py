"""How does what a partition has gathered become durable: deltas and position in one transaction?

A `Checkpoint` has a life: taken from memory at one moment, its dead letters acknowledged by the broker, committed.
If anything fails, nothing of it is in the database; the partition's memory is then thrown away and claimed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from stream.ingest.dead_letters import DeadLetters
from stream.ingest.failpoints import Failpoints
from stream.ingest.state import ModelDay, StateCache
from stream.ingest.work import Partition, Work
from stream.sketches import SketchError
from stream.store import batches, catalog, client_counts, dead_letters, deletion, fence, ledger, state
from stream.store.dead_letters import DeadLetterRow
from stream.store.ledger import LedgerRow
from stream.store.pool import Pool
from stream.store.state import BinRow, SketchRow, TrafficRow


class UnwritableError(Exception):
    """Our own code failed to make rows of what was counted; its cause is the error."""


@dataclass(slots=True)
class Checkpoint:
    """What one transaction writes."""

    partition: Partition
    topic: str
    lo: int
    hi: int
    work: Work
    states: Sequence[ModelDay]
    sketches: list[SketchRow]
    bins: list[BinRow]
    traffic: list[TrafficRow]
    ledger: list[LedgerRow]
    letters: list[DeadLetterRow]

    @classmethod
    def take(cls, topic: str, partition: Partition, cache: StateCache, failpoints: Failpoints) -> Checkpoint:
        """Everything folded up to now, as rows. Folding may go on at once.

        Raises
        ------
        UnwritableError
            If our own code fails on that.
        """
        try:
            return cls._take(topic, partition, cache, failpoints)
        except (MemoryError, SketchError):
            raise
        except Exception as error:
            raise UnwritableError from error

    @classmethod
    def _take(cls, topic: str, partition: Partition, cache: StateCache, failpoints: Failpoints) -> Checkpoint:
        work, partition.work = partition.work, Work()
        states = list(cache.unwritten(partition.number))
        sketches: list[SketchRow] = []
        bins: list[BinRow] = []
        for day in states:
            failpoints.failing("encoding", day.key.model_id)
            day_sketches, day_bins = day.rows()
            day.writing += 1
            sketches += day_sketches
            bins += day_bins
        return cls(
            partition,
            topic,
            partition.written,
            partition.folded,
            work,
            states,
            sketches,
            bins,
            work.traffic_rows(),
            work.ledger_rows(),
            [],
        )

    async def bury(self, dead: DeadLetters) -> None:
        """Have the broker acknowledge the dead letters."""
        if self.work.dead:
            self.letters = await dead.send(self.topic, self.partition.number, self.work.dead)

    async def commit(self, pool: Pool, *, generation: int, now: datetime, failpoints: Failpoints) -> None:
        """Write all of it, or nothing.

        Raises
        ------
        FenceLostError
            If another worker has claimed the partition.
        DuplicateBatchError
            If another partition has taken one of its batches first.
        ProjectChangedError
            If a project was deleted, or its labels are to be hashed by now.
        """
        shard, work = self.partition.number, self.work
        async with pool.acquire() as connection, connection.transaction():
            await fence.advance(
                connection,
                self.topic,
                shard,
                self.partition.epoch,
                self.lo,
                self.hi,
                work.counts,
                generation=generation,
                now=now,
            )
            failpoints.passing("after_fence")
            named = {row.project_id for row in self.ledger} | work.reporting_projects()
            await deletion.require_projects(connection, named - {ledger.UNATTRIBUTED}, work.label_keys)
            await batches.note_seen(connection, work.seen.values())
            await catalog.register_models(connection, work.models, now)
            await state.upsert_sketches(connection, shard, self.sketches)
            await state.upsert_bins(connection, shard, self.bins)
            await state.add_traffic(connection, shard, self.traffic)
            await ledger.add_ledger(connection, shard, self.ledger)
            await dead_letters.note_dead(connection, self.letters)
            for client_id, counts in sorted(work.told.items()):
                await client_counts.merge(connection, client_id, counts.values())
            await state.note_changes(connection, shard, self.hi, now, work.changed)
            await state.open_days(connection, now, work.days)
            failpoints.passing("before_database_commit")
        failpoints.passing("after_database_commit")
        self.partition.written = self.hi

    def release(self) -> None:
        """Its model-days may leave memory again."""
        for day in self.states:
            day.writing -= 1
