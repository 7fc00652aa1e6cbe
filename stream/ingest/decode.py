"""What do the records of a partition batch hold: which events of which model-days, and what is wrong with the rest?

Two steps, with a look into the database between them. `read_records` decodes; `sort_events` finds each good
event's project, instant and day. Everything that is wrong comes out as a `DeadLetter`; nothing here raises.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from operator import attrgetter

import msgspec
import numpy as np
import numpy.typing as npt
from ml_guard.decoding import EventDecoder
from ml_guard.errors import EventError
from ml_guard.event import Event, EventBatch, short_label

from stream.catalog import Project
from stream.days import Day
from stream.ingest.records import PartitionBatch
from stream.ingest.timestamps import parse_column
from stream.store.batches import BatchKey
from stream.store.ledger import UNATTRIBUTED

Instants = npt.NDArray[np.int64]
ModelKey = tuple[str, str, str]
DayKey = tuple[str, int | None]
"""Project and day start; None is minus infinity."""

BY_EVENT_ID = "\x1fevent"
"""Batch ids of single events, for projects that deduplicate by `event_id`; no client's batch id holds \\x1f."""

_model_of: Callable[[Event], ModelKey] = attrgetter("project_id", "model_id", "endpoint")


class _Named(msgspec.Struct):
    project_id: str | None = None


_find_project = msgspec.json.Decoder(_Named).decode


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
    record : list of int
        Which record each event came in.
    index : list of int
        Its position in that record.
    keys : mapping from record to BatchKey
        The records that a client's retry would repeat.
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

    def bury(
        self, record: int, index: int, reason: str, detail: str, project_id: str | None = None
    ) -> DeadLetter:
        """A dead letter of this record's event."""
        batch = self.batch
        raws = self.raws.get(record)
        payload = batch.values[record] if raws is None else bytes(raws[index])
        letter = DeadLetter(
            batch.offsets[record],
            index,
            project_id,
            reason,
            detail,
            batch.appended_ms[record],
            payload or b"",
        )
        self.dead.append(letter)
        return letter


def read_records(batch: PartitionBatch, decoder: EventDecoder, max_bytes: int) -> Records:
    """Decode the records of a batch."""
    found = Records(batch)
    decode = decoder.record
    events, of_record, index = found.events, found.record, found.index
    for position, value in enumerate(batch.values):
        if value is None:
            found.empty_records += 1
            continue
        try:
            if len(value) > max_bytes:
                raise EventError("record_too_large", f"{len(value)} bytes, more than {max_bytes}", None)
            item = decode(value)
        except EventError as error:
            found.dead_records += 1
            found.bury(position, 0, error.reason, error.detail, _project_in(value))
            continue
        if type(item) is Event:
            events.append(item)
            of_record.append(position)
            index.append(0)
        else:
            _read_batch(found, position, item, decoder)  # type: ignore[arg-type]
    return found


def _read_batch(found: Records, position: int, item: EventBatch, decoder: EventDecoder) -> None:
    found.raws[position] = item.events
    if item.batch_id is not None and item.project_id is not None:
        found.keys[position] = BatchKey(item.project_id, item.batch_id, item.part)
    for index, event in enumerate(decoder.events(item)):
        if type(event) is Event:
            found.events.append(event)
            found.record.append(position)
            found.index.append(index)
        else:
            assert isinstance(event, EventError)
            found.bury(position, index, event.reason, event.detail, item.project_id)


def _project_in(value: bytes) -> str | None:
    """The project that a bad record names, if that much of it can be read."""
    try:
        return _find_project(value).project_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@dataclass(slots=True)
class ModelDayEvents:
    """The events of one model-day in a batch."""

    model: ModelKey
    day: Day
    events: list[Event]
    instants_us: Instants


@dataclass(slots=True)
class Sorted:
    """Events by model-day, and the ledger's counts as the decoder saw them.

    Attributes
    ----------
    decoded, duplicate : mapping from DayKey to count
        Every event of the batch is in `decoded`, those that are not folded too.
    days : mapping from DayKey to date
    """

    groups: list[ModelDayEvents] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    decoded: dict[DayKey, int] = field(default_factory=lambda: defaultdict(int))
    duplicate: dict[DayKey, int] = field(default_factory=lambda: defaultdict(int))
    days: dict[DayKey, date] = field(default_factory=dict)
    new_models: set[ModelKey] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Limits:
    """What events are measured against."""

    future_us: int
    oldest_us: int | None
    max_models: int


def projects_of(records: Records) -> set[str]:
    """Every project that the records name."""
    named = {event.project_id for event in records.events}
    return named | {letter.project_id for letter in records.dead if letter.project_id is not None}


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What was taken before: whole records, and single events by their position in `Records.events`."""

    records: frozenset[int] = frozenset()
    events: frozenset[int] = frozenset()

    def positions(self, records: Records) -> frozenset[int]:
        """Every event that was taken before."""
        if not self.records:
            return self.events
        return self.events | {at for at, record in enumerate(records.record) if record in self.records}


def sort_events(
    records: Records, projects: Mapping[str, Project], again: Duplicates, limits: Limits
) -> Sorted:
    """Find each event's project and day."""
    found = Sorted()
    duplicates = again.positions(records)
    groups: dict[ModelKey, list[int]] = defaultdict(list)
    for position, key in enumerate(map(_model_of, records.events)):
        groups[key].append(position)
    for model, positions in groups.items():
        project = projects.get(model[0])
        if project is None:
            detail = "no such project; create it, then replay"
            for position in positions:
                records.bury(records.record[position], records.index[position], "unknown_project", detail)
        else:
            _sort_model(found, records, project, model, positions, duplicates, limits)
    repeated = {records.batch.offsets[record] for record in again.records}
    for letter in records.dead:
        attributed = _attributed(found, letter, projects)
        if letter.offset in repeated:
            found.duplicate[attributed.project_id or UNATTRIBUTED, attributed.day_start_us] += 1
        else:
            found.dead.append(attributed)
    return found


def _sort_model(
    found: Sorted,
    records: Records,
    project: Project,
    model: ModelKey,
    positions: list[int],
    duplicates: Collection[int],
    limits: Limits,
) -> None:
    events, of_record = records.events, records.record
    arrivals = records.batch.appended_ms
    arrived = [arrivals[of_record[position]] for position in positions]
    instants, errors = parse_column([events[position].timestamp for position in positions], arrived)
    for at, error in errors.items():
        position = positions[at]
        records.bury(
            of_record[position], records.index[position], error.reason, error.detail, project.project_id
        )
    late_ms, future_us = np.array(arrived, dtype=np.int64), limits.future_us
    good = instants <= late_ms * 1000 + future_us
    if limits.oldest_us is not None:
        good &= instants >= limits.oldest_us
    if errors:
        good[list(errors)] = True
    for at in np.flatnonzero(~good).tolist():
        ahead = instants[at] > arrived[at] * 1000 + future_us
        reason = "future_timestamp" if ahead else "beyond_retention"
        detail = "too far ahead of its arrival" if ahead else "older than what is kept"
        records.bury(
            of_record[positions[at]], records.index[positions[at]], reason, detail, project.project_id
        )
    if errors:
        good[list(errors)] = False
    if not good.all():
        kept = np.flatnonzero(good)
        positions = [positions[at] for at in kept.tolist()]
        instants = instants[kept]
    capped = model[1:] not in project.models and len(project.models) >= limits.max_models
    if not capped and positions and model[1:] not in project.models:
        project.models.add((model[1], model[2]))
        found.new_models.add(model)
    for day, where in project.calendar.split(instants):
        of_day = positions if isinstance(where, slice) else [positions[at] for at in where.tolist()]
        key = (model[0], day.start_us)
        found.days[key] = day.day
        if capped:
            _bury_capped(records, project, of_day, day, limits.max_models)
            continue
        found.decoded[key] += len(of_day)
        fresh = instants[where]
        if duplicates:
            new = [at for at, position in enumerate(of_day) if position not in duplicates]
            found.duplicate[key] += len(of_day) - len(new)
            of_day, fresh = [of_day[at] for at in new], fresh[new]
        if of_day:
            whole = len(of_day) == len(events)
            taken = events if whole else [events[position] for position in of_day]
            found.groups.append(ModelDayEvents(model, day, taken, fresh))


def _bury_capped(records: Records, project: Project, positions: Iterable[int], day: Day, cap: int) -> None:
    for position in positions:
        letter = records.bury(
            records.record[position],
            records.index[position],
            "cap_exceeded",
            f"the project has {cap} models and endpoints already",
            project.project_id,
        )
        records.dead[-1] = _on_day(letter, day)


def _on_day(letter: DeadLetter, day: Day) -> DeadLetter:
    return replace(letter, day_start_us=day.start_us, day=day.day)


def _attributed(found: Sorted, letter: DeadLetter, projects: Mapping[str, Project]) -> DeadLetter:
    """The letter with the day that the ledger counts it on, counted there as decoded."""
    project = None if letter.project_id is None else projects.get(letter.project_id)
    if project is None:
        found.decoded[UNATTRIBUTED, None] += 1
        return replace(letter, project_id=None)
    if letter.day_start_us is None:
        letter = _on_day(letter, project.calendar.day_of(letter.appended_ms * 1000))
    key = (project.project_id, letter.day_start_us)
    found.decoded[key] += 1
    if letter.day is not None:
        found.days[key] = letter.day
    return letter


def event_key(event: Event) -> BatchKey:
    """What a retry of this single event would repeat."""
    return BatchKey(event.project_id, BY_EVENT_ID + short_label(event.event_id or ""), 0)


def event_keys(records: Records, projects: Mapping[str, Project]) -> dict[int, BatchKey]:
    """Keys of single events, by position in `records.events`, for projects that deduplicate by `event_id`."""
    by_id = {name for name, project in projects.items() if project.dedupe_by_event_id}
    if not by_id:
        return {}
    return {
        position: event_key(event)
        for position, event in enumerate(records.events)
        if event.event_id and event.project_id in by_id
    }
