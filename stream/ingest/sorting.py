"""Which model-day is each event of, and what does the ledger count where?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from ml_guard.event import Event, short_label
from stream.catalog import Project
from stream.days import Day
from stream.ingest.columns import Columns, Value, columns
from stream.ingest.decode import DeadLetter, ModelKey, RecordReader, Records
from stream.ingest.timestamps import parse_column
from stream.labels import LabelHash
from stream.store.batches import BatchKey
from stream.store.ledger import UNATTRIBUTED

Instants = npt.NDArray[np.int64]
DayKey = tuple[str, int | None]
"""Project and day start; None is minus infinity."""

BY_EVENT_ID = "\x1fevent"
"""Batch ids of single events, for projects that deduplicate by `event_id`; no client's batch id holds \\x1f."""

_model_of: Callable[[Event], ModelKey] = attrgetter("project_id", "model_id", "endpoint")
_features_of: Callable[[Event], dict[str, Value]] = attrgetter("features")


@dataclass(slots=True)
class ModelDayEvents:
    """The events of one model-day in a batch, and their features by column."""

    model: ModelKey
    day: Day
    events: list[Event]
    instants_us: Instants
    columns: Columns
    hide: LabelHash | None = None


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


class Sorter:
    """Sorts the events of one batch."""

    def __init__(
        self, reader: RecordReader, projects: Mapping[str, Project], again: Duplicates, limits: Limits
    ) -> None:
        self._reader = reader
        self._projects = projects
        self._again = again
        self._limits = limits

    def sort(self, records: Records) -> Sorted:
        """Find each event's project and day."""
        found = Sorted()
        duplicates = self._again.positions(records)
        by_model: dict[ModelKey, list[int]] = defaultdict(list)
        for position, model in enumerate(map(_model_of, records.events)):
            by_model[model].append(position)
        for model, positions in by_model.items():
            project = self._projects.get(model[0])
            if project is None:
                detail = "no such project: create it, then replay"
                for position in positions:
                    records.bury(position, "unknown_project", detail)
                continue
            if project.key_missing:
                detail = "the worker has not the key of its labels: set ML_GUARD_LABEL_KEY to it, then replay"
                for position in positions:
                    records.bury(position, "label_key_missing", detail, project.project_id)
                continue
            kept, instants = self._dated(records, project, positions)
            if kept:
                self._sort_model(found, records, project, model, kept, instants, duplicates)
        self._count_dead(found, records)
        return found

    def _dated(self, records: Records, project: Project, positions: list[int]) -> tuple[list[int], Instants]:
        """The positions of those with a timestamp that is taken, and the instants."""
        events, of_record, arrivals = records.events, records.record, records.batch.appended_ms
        arrived = [arrivals[of_record[position]] for position in positions]
        instants, errors = parse_column([events[position].timestamp for position in positions], arrived)
        for at, error in errors.items():
            records.bury(positions[at], error.reason, error.detail, project.project_id)
        early = instants <= np.array(arrived, dtype=np.int64) * 1000 + self._limits.future_us
        late = early if self._limits.oldest_us is None else early & (instants >= self._limits.oldest_us)
        if late.all() and not errors:
            return positions, instants
        for at in np.flatnonzero(~late).tolist():
            if at in errors:
                continue
            if early[at]:
                reason, detail = "beyond_retention", "older than what is kept"
            else:
                reason, detail = "future_timestamp", "too far ahead of its arrival"
            records.bury(positions[at], reason, detail, project.project_id)
        late[list(errors)] = False
        kept = np.flatnonzero(late)
        return [positions[at] for at in kept.tolist()], instants[kept]

    def _sort_model(
        self,
        found: Sorted,
        records: Records,
        project: Project,
        model: ModelKey,
        positions: list[int],
        instants: Instants,
        duplicates: frozenset[int],
    ) -> None:
        events = records.events
        known = model[1:] in project.models
        capped = not known and len(project.models) >= self._limits.max_models
        for day, where in project.calendar.split(instants):
            of_day = positions if isinstance(where, slice) else [positions[at] for at in where.tolist()]
            at_us = instants[where]
            key = (model[0], day.start_us)
            if duplicates:
                fresh = [at for at, position in enumerate(of_day) if position not in duplicates]
                self._count(found, key, day, len(of_day) - len(fresh), duplicate=True)
                of_day, at_us = [of_day[at] for at in fresh], at_us[fresh]
                if not of_day:
                    continue
            if capped:
                _bury_capped(records, project, of_day, day, self._limits.max_models)
                continue
            taken = events if len(of_day) == len(events) else [events[position] for position in of_day]
            table = columns(list(map(_features_of, taken)))
            refused = self._reader.refuse(records, model, (name for name, _ in table), of_day)
            if refused:
                good = [at for at, position in enumerate(of_day) if position not in refused]
                taken, at_us = [taken[at] for at in good], at_us[good]
                if not taken:
                    continue
                table = columns(list(map(_features_of, taken)))
            if model[1:] not in project.registered:
                project.models.add((model[1], model[2]))
                found.new_models.add(model)
            self._count(found, key, day, len(taken))
            found.groups.append(ModelDayEvents(model, day, taken, at_us, table, project.hide))

    @staticmethod
    def _count(found: Sorted, key: DayKey, day: Day, events: int, *, duplicate: bool = False) -> None:
        if not events:
            return
        found.days[key] = day.day
        found.decoded[key] += events
        if duplicate:
            found.duplicate[key] += events

    def _count_dead(self, found: Sorted, records: Records) -> None:
        """Put every dead letter on a day of the ledger; those of repeated records are duplicates."""
        repeated = {records.batch.offsets[record] for record in self._again.records}
        for letter in records.dead:
            placed = self._placed(letter)
            key = (placed.project_id or UNATTRIBUTED, placed.day_start_us)
            found.decoded[key] += 1
            if placed.day is not None:
                found.days[key] = placed.day
            if letter.offset in repeated:
                found.duplicate[key] += 1
            else:
                found.dead.append(placed)

    def _placed(self, letter: DeadLetter) -> DeadLetter:
        project = None if letter.project_id is None else self._projects.get(letter.project_id)
        if project is None:
            return replace(letter, project_id=None)
        if letter.day_start_us is not None:
            return letter
        return _on_day(letter, project.calendar.day_of(letter.appended_ms * 1000))


def _bury_capped(records: Records, project: Project, positions: Sequence[int], day: Day, cap: int) -> None:
    for position in positions:
        records.bury(
            position,
            "cap_exceeded",
            f"the project has {cap} models and endpoints already",
            project.project_id,
        )
        records.dead[-1] = _on_day(records.dead[-1], day)


def _on_day(letter: DeadLetter, day: Day) -> DeadLetter:
    return replace(letter, day_start_us=day.start_us, day=day.day)


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
