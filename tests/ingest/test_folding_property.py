"""For any events whatever, decoding and folding by the column equals counting them one by one."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ml_guard.errors import EventError
from ml_guard.timestamps import parse_us
from stream.bins import Kind
from stream.catalog import Project
from stream.days import Calendar
from stream.ingest.decode import RecordReader
from stream.ingest.fold import fold
from stream.ingest.records import PartitionBatch
from stream.ingest.sorting import Duplicates, Limits, Sorter
from stream.ingest.state import ModelDay
from stream.ingest.timestamps import parse_column
from stream.ingest.work import Work
from stream.sketches import CategorySketch, NumericSketch
from stream.store.state import ModelDayKey

START = datetime(2025, 3, 8, tzinfo=UTC)
ARRIVED_MS = int(datetime(2025, 3, 12, tzinfo=UTC).timestamp() * 1000)

values = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9),
    st.integers(-1000, 1000),
    st.sampled_from(["a", "b", "1", "1.5", "nan", "true", ""]),
)
events = st.fixed_dictionaries(
    {
        "project_id": st.sampled_from(["p", "q", "nobody"]),
        "model_id": st.sampled_from(["m", "n"]),
        "at_s": st.integers(0, 3 * 86_400),
        "form": st.sampled_from(["Z", ".123456Z", ".5Z", "+00:00", "epoch"]),
        "latency_ms": st.one_of(st.none(), st.floats(0, 1e6)),
        "y_pred": values,
        "features": st.dictionaries(st.sampled_from(["a", "b", "c", "@bad"]), values, max_size=4),
    }
)


def _timestamp(at_s: int, form: str) -> str | float:
    at = START + timedelta(seconds=at_s)
    return at.timestamp() if form == "epoch" else at.isoformat().removesuffix("+00:00") + form


@settings(max_examples=150, deadline=None)
@given(st.lists(events, min_size=1, max_size=40))
def test_columns_equal_one_by_one(drawn: list[dict[str, Any]]) -> None:
    projects = {"p": Project("p", Calendar.of("America/Toronto")), "q": Project("q", Calendar.of("UTC"))}
    records = [
        json.dumps(
            {k: v for k, v in e.items() if k not in ("at_s", "form")}
            | {"timestamp": _timestamp(e["at_s"], e["form"])}
        )
        for e in drawn
    ]
    raws = [record.encode() for record in records]
    n = len(raws)
    batch = PartitionBatch("t", 0, 1, 0, n, range(n), [ARRIVED_MS] * n, list(raws), sum(map(len, raws)))
    reader = RecordReader(max_features=10, max_record_bytes=10_000)
    found = Sorter(reader, projects, Duplicates(), Limits(10**12, None, 100)).sort(reader.read(batch))

    states: dict[ModelDayKey, ModelDay] = {}
    work = Work()
    for group in found.groups:
        key = ModelDayKey(*group.model, group.day.start)
        state = states.setdefault(key, ModelDay(key, group.day, None, {}))
        fold(state, group, 100)
        work.add_traffic(group)

    wanted: dict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
    dead = 0
    for e, raw in zip(drawn, raws, strict=True):
        if e["project_id"] == "nobody" or "@bad" in e["features"]:
            dead += 1
            continue
        us = parse_us(json.loads(raw)["timestamp"])
        day = projects[e["project_id"]].calendar.day_of(us)
        wanted[e["project_id"], e["model_id"], day.start_us].append(e)
    assert len(found.dead) == dead
    assert sum(found.decoded.values()) == n
    assert sum(row.requests for row in work.traffic_rows()) == n - dead
    assert sum(row.latency_n for row in work.traffic_rows()) == sum(
        e["latency_ms"] is not None for some in wanted.values() for e in some
    )
    assert {(k.project_id, k.model_id, s.day.start_us): s.events for k, s in states.items()} == {
        key: len(some) for key, some in wanted.items()
    }
    for key, state in states.items():
        _compare(state, wanted[key.project_id, key.model_id, state.day.start_us])


def _compare(state: ModelDay, some: list[dict[str, Any]]) -> None:
    numbers: dict[str, list[float]] = defaultdict(list)
    labels: dict[tuple[str, Kind], Counter[str]] = defaultdict(Counter)
    for e in some:
        for name, value in {"@latency_ms": e["latency_ms"], "@y_pred": e["y_pred"], **e["features"]}.items():
            if isinstance(value, bool):
                labels[name, Kind.BOOLEAN]["true" if value else "false"] += 1
            elif isinstance(value, str):
                labels[name, Kind.CATEGORICAL][value] += 1
            elif value is not None:
                numbers[name].append(float(value))
    assert set(state.features) == {(name, Kind.NUMERIC) for name in numbers} | set(labels)
    for (name, kind), feature in state.features.items():
        sketch = feature.sketch
        if isinstance(sketch, CategorySketch):
            assert {item.label: item.estimate for item in sketch.items()} == dict(labels[name, kind])
            continue
        assert isinstance(sketch, NumericSketch)
        values = numbers[name]
        assert (sketch.n, sketch.minimum, sketch.maximum) == (len(values), min(values), max(values))
        scale = max(map(abs, values))
        assert math.isclose(sketch.mean, math.fsum(values) / len(values), rel_tol=1e-9, abs_tol=1e-9 * scale)


texts = st.one_of(
    st.integers(1, 4_000_000_000_000_000)
    .map(lambda us: datetime.fromtimestamp(0, UTC).replace(tzinfo=None) + timedelta(microseconds=us))
    .flatmap(
        lambda at: st.sampled_from(
            [
                at.isoformat(timespec=spec) + offset
                for spec in ("seconds", "milliseconds", "microseconds")
                for offset in ("Z", "+05:45", "-03:30", "")
            ]
        )
    ),
    st.text("0123456789-:TZ.+ ", min_size=18, max_size=28),
    st.sampled_from(
        ["2025-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "2016-12-31T23:59:60Z", "2025-13-01T00:00:00Z"]
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(texts, st.none(), st.floats(0, 2e12)), min_size=1, max_size=60), st.booleans())
def test_a_column_of_timestamps_equals_the_contract_one_by_one(
    column: list[str | float | None], alike: bool
) -> None:
    if alike:  # many of one length go the fast way
        column = [text for text in column for _ in range(10)]
    instants, errors = parse_column(column, [ARRIVED_MS] * len(column))
    for position, value in enumerate(column):
        found = errors[position].reason if position in errors else int(instants[position])
        assert found == _one(value)


def _one(value: str | float | None) -> int | str:
    if value is None:
        return ARRIVED_MS * 1000
    try:
        return parse_us(value)
    except EventError as error:
        return error.reason
