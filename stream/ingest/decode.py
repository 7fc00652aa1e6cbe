"""What do the records of a partition batch hold, and what is wrong with those that hold no good event?

`RecordReader` decodes with the event contract's types in one C loop. The contract's rules for names are checked
later, once for all events of a model-day that share them (`RecordReader.refuse`): that is where the time went.
Everything that is wrong comes out as a `DeadLetter`; nothing here raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import repeat
from typing import TypeGuard, cast

import msgspec

from ml_guard.decoding import EventDecoder
from ml_guard.errors import EventError
from ml_guard.event import Event, EventBatch
from stream import client_reports
from stream.client_reports import ClientReport
from stream.ingest.records import PartitionBatch
from stream.store.batches import BatchKey

ModelKey = tuple[str, str, str]

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BATCH_HEAD = b'{"batch_id"'
"""How `ml_guard.event.encode_batch` begins; only a hint, to spare such a record a vain attempt."""
_KNOWN = 20_000
"""Names remembered as good, some 10 MB at the very worst."""


WHOLE = -1
"""In place of an event's index: the record as a whole."""
Aside = Mapping[tuple[int, int], str]
"""Events that are not to be touched, by offset and index, and why."""


class _Named(msgspec.Struct):
    project_id: str | None = None


_find_project = msgspec.json.Decoder(_Named).decode
_decode = msgspec.json.Decoder(Event).decode


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event, or a whole record, that cannot be folded.

    Attributes
    ----------
    offset, index : int
        The record's offset, and the event's position in a record with many.
    project_id : str or None
        Whom it is shown to; None if it names no project that exists.
    day_start_us, day : int, date or None
        On which day the ledger counts it: its own, or else the day of its arrival.
    """

    offset: int
    index: int
    project_id: str | None
    reason: str
    detail: str
    appended_ms: int
    payload: bytes
    day_start_us: int | None = None
    day: date | None = None


@dataclass(slots=True)
class Records:
    """The events of some records in three parallel lists, and what could not be decoded.

    Attributes
    ----------
    events : list of Event
    record : sequence of int
        Which record each event came in.
    index : sequence of int
        Its position in that record.
    keys : mapping from record to BatchKey
        The records that a client's retry would repeat.
    reports : list of ClientReport
        What clients count themselves, which records without a value carry.
    unreadable_reports : list of int
        The offsets of records that should carry one, and do not.
    """

    batch: PartitionBatch
    events: list[Event] = field(default_factory=list)
    record: list[int] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    keys: dict[int, BatchKey] = field(default_factory=dict)
    raws: dict[int, list[msgspec.Raw]] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    dead_records: int = 0
    empty_records: int = 0
    reports: list[ClientReport] = field(default_factory=list)
    unreadable_reports: list[int] = field(default_factory=list)

    def payload(self, position: int) -> bytes:
        """The bytes of the event at this position in `events`."""
        return self._payload(self.record[position], self.index[position])

    def _payload(self, record: int, index: int) -> bytes:
        raws = self.raws.get(record)
        return bytes(raws[index]) if raws is not None else self.batch.values[record] or b""

    def bury(self, position: int, reason: str, detail: str, project_id: str | None = None) -> None:
        """A dead letter of the event at this position in `events`."""
        self.bury_at(self.record[position], self.index[position], reason, detail, project_id)

    def set_aside(self, aside: Aside) -> None:
        """Bury these events as failures of our own code."""
        offsets, kept = self.batch.offsets, []
        for position, (record, index) in enumerate(zip(self.record, self.index, strict=True)):
            why = aside.get((offsets[record], index))
            if why is None:
                kept.append(position)
            else:
                self.bury(position, "internal_error", why, self.events[position].project_id)
        if len(kept) < len(self.events):
            self.events = [self.events[position] for position in kept]
            self.record = [self.record[position] for position in kept]
            self.index = [self.index[position] for position in kept]

    def bury_at(self, record: int, index: int, reason: str, detail: str, project_id: str | None) -> None:
        """A dead letter of what is there in the batch."""
        batch = self.batch
        payload = self._payload(record, index)
        self.dead.append(
            DeadLetter(
                batch.offsets[record], index, project_id, reason, detail, batch.appended_ms[record], payload
            )
        )

    def projects(self) -> set[str]:
        """Every project that the records name."""
        named = {event.project_id for event in self.events}
        named.update(*(client_reports.named(report.counts) for report in self.reports))
        return named | {letter.project_id for letter in self.dead if letter.project_id is not None}


class RecordReader:
    """Decodes records; remembers the names that it has found to be good."""

    def __init__(self, *, max_features: int, max_record_bytes: int) -> None:
        self._max_features = max_features
        self._max_record_bytes = max_record_bytes
        self._checking = EventDecoder(max_features=max_features)
        self._features: set[str] = set()
        self._models: set[ModelKey] = set()

    def read(self, batch: PartitionBatch, aside: Aside | None = None) -> Records:
        """Decode the records of a batch, but for those that are set aside."""
        found = Records(batch)
        values, events = batch.values, found.events
        if not aside and not batch.refused and self._looks_single(values):
            with suppress(*_UNREADABLE):  # what was good until then is in the list
                events.extend(map(_decode, values))
        found.record.extend(range(len(events)))
        found.index.extend(repeat(0, len(events)))
        for position in range(len(events), len(values)):
            why = aside.get((batch.offsets[position], WHOLE)) if aside else None
            if why is None:
                self._read_record(found, position, values[position])
            else:
                found.dead_records += 1
                found.bury_at(position, 0, "internal_error", why, _project_in(values[position] or b""))
        if aside:
            found.set_aside(aside)
        return found

    def _looks_single(self, values: Sequence[bytes | None]) -> TypeGuard[Sequence[bytes]]:
        if None in values or not values:
            return False
        whole = cast(Sequence[bytes], values)
        return max(map(len, whole)) <= self._max_record_bytes and not whole[0].startswith(_BATCH_HEAD)

    def _read_record(self, found: Records, position: int, value: bytes | None) -> None:
        if value is None:
            found.empty_records += 1
            self._read_report(found, found.batch.offsets[position])
            return
        try:
            if (why := found.batch.refused.get(found.batch.offsets[position])) is not None:
                raise EventError("record_too_large", why, None)
            if len(value) > self._max_record_bytes:
                raise EventError(
                    "record_too_large", f"{len(value)} bytes, more than {self._max_record_bytes}", None
                )
            item = self._checking.record(value)
        except EventError as error:
            found.dead_records += 1
            found.bury_at(position, 0, error.reason, error.detail, _project_in(value))
            return
        if isinstance(item, Event):
            found.events.append(item)
            found.record.append(position)
            found.index.append(0)
        else:
            self._read_batch(found, position, item)

    def _read_report(self, found: Records, offset: int) -> None:
        header = found.batch.reports.get(offset)
        if header is None:
            return
        report = client_reports.read(header, max_bytes=self._max_record_bytes)
        if report is None:
            found.unreadable_reports.append(offset)
        else:
            found.reports.append(report)

    def _read_batch(self, found: Records, position: int, item: EventBatch) -> None:
        found.raws[position] = item.events
        if item.batch_id is not None and item.project_id is not None:
            found.keys[position] = BatchKey(item.project_id, item.batch_id, item.part)
        try:
            events: Sequence[Event | EventError] = list(map(_decode, item.events))
            if item.project_id is not None and {event.project_id for event in events} != {item.project_id}:  # type: ignore[union-attr]
                events = self._checking.events(item)
        except _UNREADABLE:
            events = self._checking.events(item)
        for index, event in enumerate(events):
            if isinstance(event, Event):
                found.events.append(event)
                found.record.append(position)
                found.index.append(index)
            else:
                found.bury_at(position, index, event.reason, event.detail, item.project_id)

    def refuse(
        self, records: Records, model: ModelKey, names: Iterable[str], positions: Sequence[int]
    ) -> set[int]:
        """Bury those of a model's events that break the contract's rules for names; their positions.

        Parameters
        ----------
        names : iterable of str
            All features of these events.
        """
        names = set(names)
        if model in self._models and names <= self._features and len(names) <= self._max_features:
            return set()
        refused = set()
        for position in positions:
            try:
                self._checking.event(records.payload(position))
            except EventError as error:
                refused.add(position)
                records.bury(position, error.reason, error.detail, model[0])
            else:
                self._models.add(model)
                self._features.update(records.events[position].features)
        if len(self._models) + len(self._features) > _KNOWN:
            self._models.clear()
            self._features.clear()
        return refused


def _project_in(value: bytes) -> str | None:
    """The project that a bad record names, if that much of it can be read."""
    try:
        return _find_project(value).project_id
    except _UNREADABLE:
        return None
