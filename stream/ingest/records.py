"""Which records did one fetch bring from one partition, and which offsets did it pass?

aiokafka makes an object of every record; here a fetch becomes three parallel lists, which costs a third of that.
It follows `aiokafka.consumer.fetcher.PartitionRecords` step by step, aborted transactions and control records too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import CorruptRecordException, UnsupportedCodecError

from ml_guard.reporting import HEADER
from stream.ingest.packed import PLAIN_BYTES, Record, TooLargeError, records_of

_READ_COMMITTED = 1
_LOG_APPEND_TIME = 1


class UnreadableRecordsError(Exception):
    """The broker has these records, and reading them again will not help: nobody here can unpack them."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(f"offset {offset}: {why}")
        self.offset, self.why = offset, why


@dataclass(slots=True, eq=False)
class PartitionBatch:
    """The records of offsets `lo` up to, not including, `hi`; fewer than that where the log has gaps.

    Attributes
    ----------
    epoch : int
        The claim under which it was fetched.
    offsets, appended_ms, values : parallel sequences
        `values` holds None for a record without a payload.
    nbytes : int
        Size of the values and reports.
    reports : mapping from offset to bytes
        What clients report in the headers of records without a payload.
    refused : mapping from offset to str
        Records that stand for a whole batch that nobody should unpack, packed as it is, and why.
    """

    topic: str
    partition: int
    epoch: int
    lo: int
    hi: int
    offsets: Sequence[int]
    appended_ms: list[int]
    values: list[bytes | None]
    nbytes: int
    reports: Mapping[int, bytes] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def from_offset(self, offset: int) -> PartitionBatch:
        """The same without the records below the offset."""
        skip = sum(1 for known in self.offsets if known < offset)
        return self._cut(skip, len(self), max(offset, self.lo), self.hi)

    def part(self, begin: int, end: int) -> PartitionBatch:
        """Its records from position `begin` up to, not including, `end`; there is at least one."""
        return self._cut(begin, end, self.offsets[begin], self.offsets[end - 1] + 1)

    def _cut(self, begin: int, end: int, lo: int, hi: int) -> PartitionBatch:
        values = self.values[begin:end]
        reports = {offset: report for offset, report in self.reports.items() if lo <= offset < hi}
        return PartitionBatch(
            self.topic,
            self.partition,
            self.epoch,
            lo,
            hi,
            self.offsets[begin:end],
            self.appended_ms[begin:end],
            values,
            sum(len(value) for value in values if value is not None) + sum(map(len, reports.values())),
            reports,
            {offset: why for offset, why in self.refused.items() if lo <= offset < hi},
        )


def unpack(fetched: Any) -> PartitionBatch:
    """The records of an aiokafka `PartitionRecords` that nobody has iterated over yet, and the position behind them.

    What comes to very much once it is unpacked is left for the next fetch.

    Raises
    ------
    CorruptRecordException
        If a checksum does not hold. The position is not moved, so they are fetched again.
    UnreadableRecordsError
        If the very first of them cannot be unpacked. What comes before others is returned without them.
    """
    position: int = fetched.next_fetch_offset
    lo = position
    values: list[bytes | None] = []
    offsets: list[int] = []
    appended_ms: list[int] = []
    reports: dict[int, bytes] = {}
    refused: dict[int, str] = {}
    nbytes, now_ms = 0, int(time.time() * 1000)
    records = fetched._records
    while records.has_next() and nbytes < PLAIN_BYTES:
        batch, data = records.next_with_bytes()
        if fetched._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {fetched._tp}")
        if _is_passed_over(fetched, batch):
            position = batch.next_offset
            continue
        try:
            found = _unpacked(batch, data, position, refused)
        except UnreadableRecordsError:
            if position == lo:
                raise
            break
        if batch.base_offset < position:
            found = [record for record in found if record.offset >= position]
        payloads = [record.value for record in found]
        sizes = [len(value) for value in payloads if value is not None]
        if len(sizes) < len(payloads):
            reports |= _reports(found)
        values.extend(payloads)
        nbytes += sum(sizes)
        if batch.next_offset - position == len(found):
            offsets.extend(range(position, batch.next_offset))
        else:
            offsets.extend([record.offset for record in found])
        if batch.timestamp_type == _LOG_APPEND_TIME:
            appended_ms.extend([batch.max_timestamp] * len(found))
        else:
            # A producer's word, which may be nanoseconds: nothing has arrived before there was time, or after now.
            appended_ms.extend([min(max(record.timestamp or 0, 0), now_ms) for record in found])
        position = batch.next_offset
    fetched.next_fetch_offset = position
    return PartitionBatch(
        fetched._tp.topic,
        fetched._tp.partition,
        -1,
        lo,
        position,
        range(lo, position) if len(values) == position - lo else offsets,
        appended_ms,
        values,
        nbytes + sum(map(len, reports.values())),
        reports,
        refused,
    )


def _reports(found: Iterable[Any]) -> dict[int, bytes]:
    """What clients report in records without a value, by offset."""
    return {
        record.offset: value or b""
        for record in found
        if record.value is None
        for name, value in record.headers
        if name == HEADER
    }


def _is_passed_over(fetched: Any, batch: Any) -> bool:
    """Whether it is of an aborted transaction, or the mark of one's end."""
    if fetched._isolation_level == _READ_COMMITTED and batch.producer_id is not None:
        fetched._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and fetched._contains_abort_marker(batch):
            fetched._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in fetched._aborted_producers:
            return True
    return bool(batch.is_control_batch)


def _unpacked(batch: Any, data: memoryview, position: int, refused: dict[int, str]) -> list[Any]:
    try:
        return records_of(batch, data)
    except TooLargeError:
        offset = max(batch.base_offset, position)
        refused[offset] = f"{len(data)} bytes come to more than {PLAIN_BYTES} when they are unpacked"
        return [Record(offset, batch.max_timestamp, bytes(data), [])]
    except CorruptRecordException:
        raise
    except UnsupportedCodecError as error:
        why = f"{error.args[0]}. Install `cramjam` where the worker runs, and start it again"
        raise UnreadableRecordsError(position, why) from error
    except Exception as error:
        # The checksum holds, so it was sent like that; each codec has errors of its own.
        raise UnreadableRecordsError(position, type(error).__name__) from error
