"""Does every row of a frame arrive as the event that it means, once, or a clear error before anything is sent?"""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ml_guard import AsyncMLGuardClient, ConfigError, EventError, IncompleteBatchError, MLGuardClient
from ml_guard.frames import FrameReceipt
from ml_guard.progress import Progress
from ml_guard.timestamps import parse_us
from ml_guard.transports.recording import RecordingTransport

ROWS = 1201
START = datetime(2026, 11, 24, tzinfo=timezone.utc)


class Plan(Enum):
    GOLD = "gold"


def columns(rows: int = ROWS) -> dict[str, list[Any]]:
    return {
        "at": [START + timedelta(seconds=i) for i in range(rows)],
        "y_pred": [i % 2 for i in range(rows)],
        "score": [i / rows for i in range(rows)],
        "age": [None if i % 7 == 0 else i for i in range(rows)],
        "balance": [i * 1.5 for i in range(rows)],
        "country": ["CA" if i % 3 else None for i in range(rows)],
        "active": [i % 2 == 0 for i in range(rows)],
    }


FRAMES = {
    "pandas": pd.DataFrame,
    "pandas with its own missing values": lambda c: pd.DataFrame(c).convert_dtypes(),
    "polars": pl.DataFrame,
    "arrow table": pa.table,
    "arrow batch": pa.RecordBatch.from_pydict,
}


def client(transport: RecordingTransport | None = None, **options: Any) -> MLGuardClient:
    return MLGuardClient(transport=transport or RecordingTransport(), project_id="p", model_id="m", **options)


@pytest.mark.parametrize("library", FRAMES)
def test_each_row_is_an_event_with_what_its_columns_mean(library: str) -> None:
    transport, values = RecordingTransport(), columns()
    frame: Any = FRAMES[library](values)  # type: ignore[operator]
    with client(transport) as sending:
        receipt = sending.ingest_dataframe(frame, timestamp="at", y_proba="score", batch_id="nightly")
    assert receipt == FrameReceipt(ROWS, ROWS, {}, "nightly")
    assert len(transport.events) == ROWS
    for i, event in enumerate(transport.events):
        assert isinstance(event.timestamp, str)
        assert parse_us(event.timestamp) == (START.timestamp() + i) * 1e6
        assert (event.y_pred, event.y_proba) == (values["y_pred"][i], values["score"][i])
        assert event.features == {name: values[name][i] for name in ("age", "balance", "country", "active")}


def test_a_repeated_call_has_the_same_parts_and_counts_once(bridge: Any) -> None:
    frame = pd.DataFrame(columns())
    bridge.answers.append(bridge.answer(drop_after_taking=True))
    for _ in range(2):
        with MLGuardClient(bridge.url, project_id="p", model_id="m") as sending:
            receipt = sending.ingest_dataframe(
                frame, timestamp="at", y_proba="score", batch_id="job/2026-11-24"
            )
            assert receipt.sent == ROWS
    assert len(bridge.events) == ROWS
    assert bridge.seen_batches == {"job/2026-11-24/0", "job/2026-11-24/1", "job/2026-11-24/2"}


def test_a_call_that_broke_off_can_be_finished(bridge: Any) -> None:
    frame = pd.DataFrame(columns())
    bridge.answers.extend([bridge.answer(200), bridge.answer(401, {"title": "no"})])
    with MLGuardClient(bridge.url, project_id="p", model_id="m") as sending:
        with pytest.raises(IncompleteBatchError, match=r"repeat the call with batch_id='n'") as caught:
            sending.ingest_dataframe(frame, timestamp="at", y_proba="score", batch_id="n")
        assert caught.value.dropped["unauthorized"] == 500
        sending.ingest_dataframe(frame, timestamp="at", y_proba="score", batch_id="n")
    assert sorted(event.features["balance"] for event in bridge.events) == [i * 1.5 for i in range(ROWS)]


def test_a_server_that_stays_away_ends_the_call_at_its_deadline() -> None:
    sending = MLGuardClient("http://127.0.0.1:9", project_id="p", model_id="m")
    with sending, pytest.raises(IncompleteBatchError, match=r"0 of 3 rows arrived \(the time ran out"):
        sending.ingest_dataframe(pd.DataFrame({"a": [1, 2, 3]}), timeout_s=0.3)


def test_rows_that_the_server_rejects_are_told_by_reason(bridge: Any) -> None:
    frame = pl.DataFrame({"a": [1, 2], "y_proba": [0.5, None]})
    results = [{"index": 1, "status": "error", "reason": "future_timestamp", "detail": "too far ahead"}]
    bridge.always = bridge.answer(200, {"accepted": 1, "rejected": 1, "results": results})
    with MLGuardClient(bridge.url, project_id="p", model_id="m") as sending:
        receipt = sending.ingest_dataframe(frame)
    assert (receipt.rows, receipt.sent, receipt.rejected) == (2, 1, {"future_timestamp": 1})


def test_columns_may_have_other_names_and_some_may_be_left_out() -> None:
    transport = RecordingTransport()
    frame = pd.DataFrame(
        {"id": ["x", "y"], "Age (years)": [1, 2], "noise": [object(), object()], "p": [0.1, 0.2]}
    )
    with client(transport) as sending:
        sending.ingest_dataframe(
            frame,
            timestamp=START,
            y_pred="p",
            event_id="id",
            features={"age": "Age (years)"},
            endpoint="batch",
        )
        sending.ingest_dataframe(frame, timestamp=START, features=["Age (years)"])
    first, second = transport.events[:2], transport.events[2:]
    assert [(e.event_id, e.y_pred, e.features) for e in first] == [
        ("x", 0.1, {"age": 1}),
        ("y", 0.2, {"age": 2}),
    ]
    assert {event.endpoint for event in first} == {"batch"}
    assert {event.timestamp for event in first} == {START.isoformat()}
    assert [event.features for event in second] == [{"Age (years)": 1}, {"Age (years)": 2}]


def test_values_mean_what_they_mean_in_a_single_event() -> None:
    transport = RecordingTransport()
    frame = pd.DataFrame(
        {
            "n": [np.nan, np.inf],
            "na": pd.array([1, None], dtype="Int64"),
            "cat": pd.Categorical(["a", None]),
            "day": [date(2025, 1, 2), None],
            "time": pd.to_datetime(["2025-01-02T03:04:05Z", None]),
            "took": pd.to_timedelta(["1.5s", None]),
            "exact": [Decimal("1.25"), Decimal("NaN")],
            "plan": [Plan.GOLD, None],
            "big": np.array([2**63, 1], dtype=np.uint64),
        }
    )
    with client(transport) as sending:
        sending.ingest_dataframe(frame)
    raws = [raw for batch in transport.batches for raw in batch.events]
    assert b'"n":1e999' in raws[1]
    from ml_guard.decoding import EventDecoder

    one, two = (EventDecoder().event(raw).features for raw in raws)
    assert one == {
        "n": None, "na": 1, "cat": "a", "day": "2025-01-02", "time": "2025-01-02T03:04:05+00:00", "took": 1.5,
        "exact": 1.25, "plan": "gold", "big": float(2**63),
    }  # fmt: skip
    assert two == {**dict.fromkeys(one), "n": math.inf, "big": 1}


@pytest.mark.parametrize(
    ("frame", "options", "error", "said"),
    [
        (pd.DataFrame({"a": [1], "image": [[1, 2]]}), {}, EventError, "features.image is a list"),
        (pl.DataFrame({"a": [1], "tags": [["x"]]}), {}, EventError, "features.tags is a list"),
        (pa.table({"a": [1], "where": [{"x": 1}]}), {}, EventError, "features.where is a dict"),
        (pd.DataFrame({"y_proba": [0.5] * 600 + [1.5]}), {}, EventError, "row 600: y_proba must be a finite"),
        (pd.DataFrame({"latency_ms": [-1.0]}), {}, EventError, "row 0: latency_ms must be"),
        (pd.DataFrame({"latency_ms": [np.inf]}), {}, EventError, "row 0: latency_ms must be"),
        (pd.DataFrame({"latency_ms": ["fast"]}), {}, EventError, "row 0: latency_ms must be"),
        (pd.DataFrame({"timestamp": [pd.Timestamp("2025-01-01")]}), {}, EventError, "timestamp, row 0: .* no offset"),
        (pd.DataFrame({"timestamp": [pd.Timestamp("2025-01-01T00Z"), None]}), {}, EventError, "column timestamp, row 1"),
        (pd.DataFrame({"a": [1]}), {"timestamp": "at"}, EventError, "timestamp= is neither a column nor an instant"),
        (pd.DataFrame({"a": [1]}), {"features": ["b"]}, ConfigError, "the frame has no column b"),
        (pd.DataFrame({"a": [1]}), {"y_pred": "b"}, ConfigError, "the frame has no column b"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, ConfigError, "more than one column a"),
        (pd.DataFrame({"@y_pred": [1]}), {}, EventError, "may not begin with @"),
        (pd.DataFrame({f"f{i}": [1] for i in range(501)}), {}, EventError, "more than 500 features"),
        (pl.LazyFrame({"a": [1]}), {}, ConfigError, r"call collect\(\) first"),
        ([{"a": 1}], {}, ConfigError, "builtins.list is no DataFrame"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_said_by_name_before_anything_is_sent(
    frame: Any, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    transport = RecordingTransport()
    with client(transport) as sending, pytest.raises(error, match=said):
        sending.ingest_dataframe(frame, **options)
    assert transport.attempts == []


def test_a_model_must_be_named() -> None:
    sending = MLGuardClient(transport=RecordingTransport())
    with sending, pytest.raises(EventError, match="project_id is missing"):
        sending.ingest_dataframe(pd.DataFrame({"a": [1]}), model_id="m")


def test_an_empty_frame_is_no_trouble() -> None:
    with client() as sending:
        assert sending.ingest_dataframe(pd.DataFrame({"a": []}), batch_id="b") == FrameReceipt(0, 0, {}, "b")


def test_rows_that_wait_on_disk_are_told(tmp_path: Any) -> None:
    with MLGuardClient("http://127.0.0.1:9", spill_dir=tmp_path, project_id="p", model_id="m") as sending:
        receipt = sending.ingest_dataframe(pd.DataFrame({"a": range(700)}))
    assert (receipt.rows, receipt.sent, receipt.spilled) == (700, 0, 700)


async def test_an_event_loop_is_not_held_up() -> None:
    transport = RecordingTransport()
    async with AsyncMLGuardClient(transport=transport, project_id="p", model_id="m") as sending:
        receipt = await sending.ingest_dataframe(pl.DataFrame({"a": [1, 2]}))
    assert receipt.sent == len(transport.events) == 2


def test_libraries_are_not_loaded_to_know_a_frame() -> None:
    script = textwrap.dedent("""
    import sys
    from ml_guard import ConfigError, MLGuardClient
    try:
        MLGuardClient(dry_run=True, project_id="p", model_id="m").ingest_dataframe([1])
    except ConfigError:
        pass
    assert not {"pandas", "polars", "pyarrow", "numpy"} & set(sys.modules)
    """)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_bar_is_drawn_where_it_is_wanted_and_wiped_away(capsys: pytest.CaptureFixture[str]) -> None:
    with client() as sending:
        sending.ingest_dataframe(pd.DataFrame({"a": range(2000)}))
        assert capsys.readouterr().err == ""
        sending.ingest_dataframe(pd.DataFrame({"a": range(2000)}), progress=True)
    drawn = capsys.readouterr().err
    assert "of 2,000" in drawn
    assert drawn.endswith("\r\033[K")


def test_a_bar_says_how_far_and_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("sending rows", 4000, True) as bar:
        bar.show(1000)
    assert "sending rows ███████" in (drawn := capsys.readouterr().err)
    assert "1,000 of 4,000  25%" in drawn


def test_rows_of_a_job_count_once_as_plain_mappings_too(bridge: Any) -> None:
    rows = [{"project_id": "p" if i < 700 else "q", "model_id": "m", "y_pred": i} for i in range(1201)]
    for _ in range(2):
        with MLGuardClient(bridge.url) as sending:
            assert sending.ingest_batch(rows, batch_id="nightly", wait_s=5) == 1201
    assert [event.y_pred for event in bridge.events] == list(range(1201))
    assert bridge.seen_batches == {f"nightly/{i}" for i in range(4)}
