"""Do pandas and polars take the client's rows as they are, empty columns too?"""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas
import polars
import pytest

from ml_guard import AsyncMLGuardClient, MLGuardClient

DAY = {
    "project_id": "p", "model_id": "m", "endpoint": "predict", "day": "2025-01-01", "day_start": "2025-01-01T05:00:00Z",
    "day_end": "2025-01-02T05:00:00Z", "zone": "America/Toronto", "revision": 1, "status": "final",
}  # fmt: skip
FEATURE = DAY | {"feature": "age", "kind": "numeric", "n": 9, "missing": 1}
BINS = [
    {"bin": "range", "lower": None, "upper": 30.0, "baseline_share": 0.5, "share": 0.2, "points": -30.0, "count": 2,
     "contribution": 0.27},
    {"bin": "label", "label": "US", "baseline_share": 0.5, "share": 0.8, "points": 30.0, "count": 8, "contribution": 0.14},
]  # fmt: skip
UNSCORED = 300
"""Rows before the first number: more than polars looks at to guess a type."""


def gives(bridge: Any, path: str, *items: dict[str, Any]) -> None:
    bridge.routes["GET", f"/api/v1{path}"] = [
        bridge.answer(200, {"items": list(items), "next_cursor": None})
    ] * 4


def drift(bridge: Any) -> None:
    unscored = [FEATURE | {"verdict": "missing_baseline", "psi": None}] * UNSCORED
    gives(
        bridge,
        "/drift/daily",
        *unscored,
        FEATURE | {"verdict": "drift", "psi": 0.41, "baseline_version": 2, "bins": BINS},
    )


def test_drift_is_a_frame_in_pandas_and_in_polars(bridge: Any) -> None:
    drift(bridge)
    with MLGuardClient(bridge.url, "k") as client:
        rows = client.drift(project_id="p", from_="2025-01-01")
        assert (rows[-1].psi, rows[0].psi, rows[0].day) == (0.41, None, date(2025, 1, 1))
        frame, other = pandas.DataFrame(rows), polars.DataFrame(client.drift())
    assert (len(frame), frame["psi"].dtype, frame["psi"].max(), frame["n"].sum()) == (
        301,
        "float64",
        0.41,
        301 * 9,
    )
    assert str(frame["day_start"].dt.tz) == "UTC"
    assert other.schema["psi"] == polars.Float64
    assert other.schema["day"] == polars.Date
    assert other.schema["baseline_version"] == polars.Int64
    assert other["psi"].max() == 0.41
    assert set(other.columns) == set(frame.columns)
    assert bridge.requests[0].query["from"] == ["2025-01-01"]


def test_bins_are_rows_of_their_own(bridge: Any) -> None:
    drift(bridge)
    with MLGuardClient(bridge.url, "k") as client:
        rows = client.bins(project_id="p", feature="age")
    assert bridge.requests[0].query["bins"] == ["true"]
    frame, other = pandas.DataFrame(rows), polars.DataFrame(rows)
    assert frame["label"].tolist() == other["label"].to_list() == ["<= 30", "US"]
    assert frame.groupby("feature")["contribution"].sum()["age"] == pytest.approx(0.41)
    assert other.select("bin_index", "lower", "upper", "points").rows() == [
        (0, None, 30.0, -30.0),
        (1, None, None, 30.0),
    ]


def test_metrics_and_features_are_frames(bridge: Any) -> None:
    gives(bridge, "/metrics/daily", DAY | {"requests": 5}, DAY | {"requests": 7, "latency_p95_ms": 4.5})
    gives(bridge, "/features/daily", FEATURE | {"top": [{"label": "CA", "count": 3}], "mean": 4.0})
    with MLGuardClient(bridge.url, "k") as client:
        metrics, features = client.metrics(), client.features()
    for frame in (pandas.DataFrame(metrics), polars.DataFrame(metrics)):
        assert (frame["requests"].sum(), frame["latency_p95_ms"].max()) == (12, 4.5)
    assert "top" not in pandas.DataFrame(features).columns
    assert polars.DataFrame(features)["mean"].to_list() == [4.0]


async def test_the_async_client_gives_the_same_rows(bridge: Any) -> None:
    drift(bridge)
    async with AsyncMLGuardClient(bridge.url, "k") as client:
        assert len(polars.DataFrame(await client.drift())) == UNSCORED + 1
        assert len(polars.DataFrame(await client.bins())) == 2
