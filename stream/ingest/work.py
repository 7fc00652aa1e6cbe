"""What has a partition gathered since its last checkpoint, and where does its reading stand?"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt

from stream.client_reports import named
from stream.days import from_us
from stream.histogram import LatencyHistogram
from stream.ingest.decode import DeadLetter, ModelKey
from stream.ingest.records import PartitionBatch
from stream.ingest.sorting import DayKey, ModelDayEvents, Sorted
from stream.store.batches import BatchKey, SeenBatch
from stream.store.client_counts import ClientCount
from stream.store.fence import RecordCounts
from stream.store.ledger import LedgerRow
from stream.store.state import ChangedDay, ModelDayKey, TrafficRow, pg_array

MINUTE_US = 60_000_000

Instants = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class Work:
    """Everything that the next checkpoint adds to the database, besides the state of model-days."""

    counts: RecordCounts = field(default_factory=RecordCounts)
    ledger: dict[DayKey, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    dates: dict[DayKey, date] = field(default_factory=dict)
    seen: dict[BatchKey, SeenBatch] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    dead_bytes: int = 0
    changed: set[ModelDayKey] = field(default_factory=set)
    days: set[ChangedDay] = field(default_factory=set)
    models: set[ModelKey] = field(default_factory=set)
    label_keys: set[tuple[str, str | None]] = field(default_factory=set)
    """How the labels of each project were folded: the key's id, or None where they were left as they are."""
    traffic: dict[ModelKey, list[tuple[Instants, Floats]]] = field(default_factory=lambda: defaultdict(list))
    events: int = 0
    told: dict[str, dict[tuple[object, ...], ClientCount]] = field(default_factory=lambda: defaultdict(dict))
    """What clients say of their events: the largest of each of a client's counts."""
    reports: int = 0
    unreadable_reports: int = 0

    def add_report(self, client_id: str, counts: Iterable[ClientCount]) -> None:
        """Keep the largest of what a client says."""
        told = self.told[client_id]
        for count in counts:
            told[count[:4]] = max(count, told.get(count[:4], count))

    def reporting_projects(self) -> set[str]:
        """The projects of which clients said something."""
        return named(count for counts in self.told.values() for count in counts.values())

    def add_ledger(self, found: Sorted) -> None:
        """Count what the decoder saw."""
        self.dates.update(found.days)
        for key, decoded in found.decoded.items():
            self.ledger[key][0] += decoded
        for letter in found.dead:
            self.ledger[letter.project_id or "", letter.day_start_us][1] += 1
        for key, duplicate in found.duplicate.items():
            self.ledger[key][2] += duplicate
        self.dead.extend(found.dead)
        self.dead_bytes += sum(len(letter.payload) for letter in found.dead)
        self.models |= found.new_models

    def add_traffic(self, group: ModelDayEvents) -> None:
        """Count requests and latencies by minute; NaN is a request without a latency."""
        latencies = np.array([event.latency_ms for event in group.events], dtype=np.float64)
        self.traffic[group.model].append((group.instants_us // MINUTE_US, latencies))

    def ledger_rows(self) -> list[LedgerRow]:
        """The ledger's additions, in the order of their keys."""
        rows = [
            LedgerRow(
                project_id,
                None if start is None else from_us(start),
                self.dates.get((project_id, start)),
                *counts,
            )
            for (project_id, start), counts in self.ledger.items()
        ]
        return sorted(rows, key=lambda row: (row.project_id, row.day_start is not None, row.day_start))

    def traffic_rows(self) -> list[TrafficRow]:
        """The minutes' additions."""
        return [row for model, chunks in self.traffic.items() for row in _minutes(model, chunks)]


def _minutes(model: ModelKey, chunks: list[tuple[Instants, Floats]]) -> list[TrafficRow]:
    minutes = np.concatenate([minutes for minutes, _ in chunks])
    latencies = np.concatenate([latencies for _, latencies in chunks])
    order = np.argsort(minutes, kind="stable")
    minutes, latencies = minutes[order], latencies[order]
    distinct, begins = np.unique(minutes, return_index=True)
    rows = []
    ends = [*begins[1:].tolist(), minutes.size]
    for minute, begin, end in zip(distinct.tolist(), begins.tolist(), ends, strict=True):
        found = latencies[begin:end]
        histogram = LatencyHistogram.of(found)
        low, counts = histogram.encode()
        total = float(np.nansum(found)) if counts else 0.0
        rows.append(
            TrafficRow(
                *model, from_us(minute * MINUTE_US), end - begin, histogram.n, total, low, pg_array(counts)
            )
        )
    return rows


@dataclass(slots=True, eq=False)
class Partition:
    """A claimed partition: where its reading stands, and what is still to be written.

    `next_offset` is the next record that it expects, `folded` the first that is not in memory's state yet, and
    `written` the fence in the database.
    """

    number: int
    epoch: int
    next_offset: int
    folded: int
    written: int
    stopped: bool = False
    gone: bool = False
    waiting: list[PartitionBatch] = field(default_factory=list)
    waiting_records: int = 0
    waiting_bytes: int = 0
    work: Work = field(default_factory=Work)
    _arrivals: deque[tuple[int, int]] = field(default_factory=deque)
    folding: asyncio.Lock = field(default_factory=asyncio.Lock)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def unwritten(self) -> bool:
        """Whether a checkpoint would change anything."""
        return self.next_offset > self.written

    def take(self, batch: PartitionBatch) -> None:
        """Queue a batch that begins where the last one ended."""
        self.waiting.append(batch)
        self.next_offset = batch.hi
        self.waiting_records += len(batch)
        self.waiting_bytes += batch.nbytes
        if batch.appended_ms:
            self._arrivals.append((batch.hi, batch.appended_ms[0]))

    def oldest_ms(self) -> int | None:
        """When the broker appended the oldest record in memory that no checkpoint has; None: there is none."""
        while self._arrivals and self._arrivals[0][0] <= self.written:
            self._arrivals.popleft()
        return self._arrivals[0][1] if self._arrivals else None

    def take_all(self) -> PartitionBatch | None:
        """All that is waiting, as one batch."""
        if not self.waiting:
            return None
        batches, self.waiting = self.waiting, []
        self.waiting_records = self.waiting_bytes = 0
        if len(batches) == 1:
            return batches[0]
        first, last = batches[0], batches[-1]
        return PartitionBatch(
            first.topic,
            first.partition,
            first.epoch,
            first.lo,
            last.hi,
            [offset for batch in batches for offset in batch.offsets],
            [at for batch in batches for at in batch.appended_ms],
            [value for batch in batches for value in batch.values],
            sum(batch.nbytes for batch in batches),
            {offset: report for batch in batches for offset, report in batch.reports.items()},
            {offset: why for batch in batches for offset, why in batch.refused.items()},
        )
