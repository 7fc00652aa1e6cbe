"""What does a worker hold of a model-day, and how are days kept within bounds of memory?

A `ModelDay` is the state of one model, endpoint and local day on one shard: the sketch of every feature, and its
counters against the frozen bins that the day is pinned to. The `StateCache` forgets the least recently used ones
that hold nothing unwritten; they are read again from the database when their next event comes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from stream.bins import FrozenBins, Kind, count
from stream.catalog import Bins
from stream.days import Day, from_us
from stream.sketches import LABELS_EXACT, CategorySketch, NumericSketch
from stream.store.state import BinRow, ModelDayKey, SketchRow, StoredBins, StoredSketch, pg_array

EVENTS = "@events"
EVENTS_KIND = "events"
FEATURE_OVERHEAD = 700
"""Bytes of Python objects around a feature's sketch."""

Feature = tuple[str, Kind]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class FeatureState:
    """One feature, of one kind, of a model-day."""

    __slots__ = ("bins", "counted", "counts", "dirty", "nbytes", "sketch")

    def __init__(self, sketch: NumericSketch | CategorySketch, bins: FrozenBins | None) -> None:
        self.sketch = sketch
        self.bins = bins
        self.counts: Ints | None = None if bins is None else np.zeros(bins.size - 1, dtype=np.int64)
        self.counted = 0
        self.dirty = False
        self.nbytes = sketch.nbytes + FEATURE_OVERHEAD

    def update_numbers(self, values: Floats) -> None:
        """Take in numbers."""
        sketch = self.sketch
        assert isinstance(sketch, NumericSketch)
        before = sketch.n
        sketch.update(values)
        if self.bins is not None and self.counts is not None:
            self.counts += count(values, self.bins)
            self.counted += sketch.n - before
        self.dirty = True

    def update_labels(self, labels: Counter[str]) -> None:
        """Take in labels with how often each came."""
        sketch = self.sketch
        assert isinstance(sketch, CategorySketch)
        before = sketch.n
        sketch.update(labels)
        if self.bins is not None and self.counts is not None:
            self.counts += count(labels, self.bins)
            self.counted += sketch.n - before
        self.dirty = True

    @property
    def is_exact(self) -> bool:
        """Whether all its labels are counted exactly."""
        return not isinstance(self.sketch, CategorySketch) or self.sketch.exact


class ModelDay:
    """The state of one model, endpoint and day on one shard; of a text it counts so many labels exactly, at least."""

    __slots__ = (
        "_bins",
        "baseline_version",
        "day",
        "day_end",
        "dirty",
        "events",
        "features",
        "first_us",
        "key",
        "labels",
        "last_us",
        "names",
        "nbytes",
        "writing",
    )

    def __init__(
        self,
        key: ModelDayKey,
        day: Day,
        baseline_version: int | None,
        bins: Bins,
        labels: int = LABELS_EXACT,
    ) -> None:
        self.key = key
        self.labels = labels
        self.day = day
        self.day_end = day.end
        self.baseline_version = baseline_version
        self._bins = bins
        self.events = 0
        self.first_us = 0
        self.last_us = 0
        self.features: dict[Feature, FeatureState] = {}
        self.names: set[str] = set()
        self.dirty = False
        self.writing = 0
        self.nbytes = 2_000

    @classmethod
    def restore(
        cls,
        key: ModelDayKey,
        day: Day,
        sketches: Sequence[StoredSketch],
        counters: Sequence[StoredBins],
        bins: Bins,
        labels: int = LABELS_EXACT,
    ) -> ModelDay:
        """From the shard's rows; `bins` are those of the version that its `@events` row is pinned to."""
        events = next(row for row in sketches if row.kind == EVENTS_KIND)
        state = cls(key, day, events.baseline_version, bins, labels)
        state.events = events.n
        assert events.first_event_at is not None
        assert events.last_event_at is not None
        state.first_us, state.last_us = _us(events.first_event_at), _us(events.last_event_at)
        for row in sketches:
            if row.kind != EVENTS_KIND and row.sketch is not None:
                kind = Kind(row.kind)
                read = NumericSketch if kind is Kind.NUMERIC else CategorySketch
                state._add((row.feature, kind), read.from_bytes(row.sketch))
        for counter in counters:
            feature = state.features.get((counter.feature, Kind(counter.kind)))
            if (
                feature is None
                or feature.counts is None
                or counter.baseline_version != events.baseline_version
            ):
                continue
            if len(counter.counts) == feature.counts.size:
                feature.counts = np.array(counter.counts, dtype=np.int64)
                feature.counted = counter.n
        state.measure()
        return state

    def feature(self, name: str, kind: Kind) -> FeatureState:
        """The feature's state, made on first sight."""
        found = self.features.get((name, kind))
        if found is None:
            sketch = NumericSketch() if kind is Kind.NUMERIC else CategorySketch(self.labels)
            found = self._add((name, kind), sketch)
        return found

    def _add(self, feature: Feature, sketch: NumericSketch | CategorySketch) -> FeatureState:
        state = self.features[feature] = FeatureState(sketch, self._bins.get(feature))
        self.names.add(feature[0])
        self.nbytes += state.nbytes
        return state

    def saw(self, events: int, first_us: int, last_us: int) -> None:
        """Count events between two instants."""
        self.first_us = min(self.first_us, first_us) if self.events else first_us
        self.last_us = max(self.last_us, last_us) if self.events else last_us
        self.events += events
        self.dirty = True

    def measure(self) -> None:
        """How much memory it takes, about."""
        self.nbytes = 2_000 + sum(feature.nbytes for feature in self.features.values())

    def try_encoding(self) -> None:
        """Raise what `rows` would; nothing counts as written."""
        for (name, kind), feature in self.features.items():
            if feature.dirty:
                self._encoded(name, kind, feature)

    def rows(self) -> tuple[list[SketchRow], list[BinRow]]:
        """What has changed since it was last asked, as rows; it then counts as written."""
        sketches = [
            self._row(
                EVENTS,
                EVENTS_KIND,
                n=self.events,
                first_event_at=from_us(self.first_us),
                last_event_at=from_us(self.last_us),
            )
        ]
        counters = []
        for (name, kind), feature in self.features.items():
            if not feature.dirty:
                continue
            feature.dirty = False
            sketches.append(self._encoded(name, kind, feature))
            if feature.counts is not None and self.baseline_version is not None:
                counts = pg_array(feature.counts.tolist())
                key = self.key
                counters.append(
                    BinRow(
                        key.project_id,
                        key.model_id,
                        key.endpoint,
                        name,
                        kind.value,
                        self.baseline_version,
                        key.day_start,
                        feature.counted,
                        counts,
                    )
                )
        self.dirty = False
        self.measure()
        return sketches, counters

    def _encoded(self, name: str, kind: Kind, feature: FeatureState) -> SketchRow:
        try:
            return self._feature_row(name, kind, feature)
        except Exception as error:
            error.add_note(f"feature {name} of {self.key.model_id}/{self.key.endpoint}")
            raise

    def _feature_row(self, name: str, kind: Kind, feature: FeatureState) -> SketchRow:
        sketch = feature.sketch
        data = sketch.to_bytes()
        feature.nbytes = 2 * len(data) + FEATURE_OVERHEAD
        if isinstance(sketch, CategorySketch):
            return self._row(name, kind.value, n=sketch.n, sketch=data)
        if sketch.n == 0:
            return self._row(name, kind.value, n=0, non_finite=sketch.non_finite, sketch=data)
        moments = (sketch.minimum, sketch.maximum, sketch.mean, sketch.m2)
        return self._row(
            name, kind.value, n=sketch.n, non_finite=sketch.non_finite, moments=moments, sketch=data
        )

    def _row(
        self,
        feature: str,
        kind: str,
        *,
        n: int,
        non_finite: int = 0,
        moments: tuple[float | None, float | None, float | None, float | None] = (None, None, None, None),
        sketch: bytes | None = None,
        first_event_at: datetime | None = None,
        last_event_at: datetime | None = None,
    ) -> SketchRow:
        key, day = self.key, self.day
        return SketchRow(
            key.project_id,
            key.model_id,
            key.endpoint,
            feature,
            kind,
            key.day_start,
            day.day,
            self.day_end,
            day.zone,
            n,
            non_finite,
            *moments,
            sketch,
            self.baseline_version,
            first_event_at,
            last_event_at,
        )


def _us(instant: datetime) -> int:
    return round(instant.timestamp() * 1_000_000)


CacheKey = tuple[int, ModelDayKey]


class StateCache:
    """Model-days by partition and key, at most `limit` bytes of them unless more are still to be written."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._days: OrderedDict[CacheKey, ModelDay] = OrderedDict()

    def __len__(self) -> int:
        return len(self._days)

    def get(self, partition: int, key: ModelDayKey) -> ModelDay | None:
        """The model-day if it is here; it becomes the most recently used."""
        found = self._days.get((partition, key))
        if found is not None:
            self._days.move_to_end((partition, key))
        return found

    def put(self, partition: int, state: ModelDay) -> None:
        """Keep one; it becomes the most recently used."""
        self._days[partition, state.key] = state
        self._days.move_to_end((partition, state.key))

    def drop(self, partition: int) -> None:
        """Forget all of a partition, written or not."""
        for key in [key for key in self._days if key[0] == partition]:
            del self._days[key]

    def unwritten(self, partition: int) -> Iterator[ModelDay]:
        """The partition's model-days with changes."""
        return (state for (shard, _key), state in self._days.items() if shard == partition and state.dirty)

    @property
    def nbytes(self) -> int:
        """How much memory all of it takes, about."""
        return sum(state.nbytes for state in self._days.values())

    def evict(self) -> int:
        """Forget the least recently used that are written, until the rest is within the limit; how many."""
        excess = self.nbytes - self.limit
        if excess <= 0:
            return 0
        leaving = []
        for key, state in self._days.items():
            if excess <= 0:
                break
            if not state.dirty and not state.writing:
                leaving.append(key)
                excess -= state.nbytes
        for key in leaving:
            del self._days[key]
        return len(leaving)
