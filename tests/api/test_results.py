"""Do the lists give the rows that are there, all of them, once, in order, and only those asked for?"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from stream.histogram import LatencyHistogram
from tests.api.conftest import Door

DAYS = [date(2026, 1, 1) + timedelta(days=i) for i in range(6)]
MODELS = ["churn", "fraud"]
FEATURES = ["age", "country", "income"]
VERDICTS = ["ok", "drift", "warning"]


@pytest.fixture(scope="module")
def project(door: Door) -> str:
    name = door.project()
    for index, day in enumerate(DAYS):
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for model in MODELS:
            door.sql(
                """insert into ml_guard.metric_day (project_id, model_id, endpoint, day_start, day, day_end, zone,
                    revision, status, requests, latency_p95_ms) values ($1, $2, 'predict', $3, $4, $5, 'UTC', 1,
                    'final', $6, 12.5)""",
                name, model, start, day, start + timedelta(days=1), 100 + index,
            )  # fmt: skip
            for feature, verdict in zip(FEATURES, VERDICTS, strict=True):
                door.sql(
                    """insert into ml_guard.feature_day (project_id, model_id, endpoint, feature, kind, day_start, day,
                        day_end, zone, revision, status, n, missing, exact, verdict, psi, bins, top)
                    values ($1, $2, 'predict', $3, 'numeric', $4, $5, $6, 'UTC', 1, 'final', 100, 0, true, $7, 0.3,
                        $8, $9)""",
                    name, model, feature, start, day, start + timedelta(days=1), verdict,
                    json.dumps([{"bin": "missing", "share": 0.1}]), json.dumps([{"label": "CA", "count": 3}]),
                )  # fmt: skip
    return name


@pytest.fixture(scope="module")
def client(door: Door) -> Any:
    with door.client() as client:
        yield client


def walk(client: httpx.Client, path: str, **params: Any) -> list[dict[str, Any]]:
    """All rows, page by page."""
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = client.get(path, params={**params, **cursor})
        answer.raise_for_status()
        rows += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            return rows
        cursor = {"cursor": answer.json()["next_cursor"]}


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 5, 1000])
def test_a_walk_over_pages_meets_every_row_once_in_order(
    client: httpx.Client, project: str, order: str, limit: int
) -> None:
    rows = walk(client, "/drift/daily", project_id=project, order=order, limit=limit)
    keys = [(row["day"], row["model_id"], row["feature"]) for row in rows]
    every = [(day.isoformat(), model, feature) for day in DAYS for model in MODELS for feature in FEATURES]
    assert keys == sorted(every, reverse=order == "desc")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, 12),
        ({"model_id": "churn"}, 6),
        ({"endpoint": "other"}, 0),
        ({"day": "2026-01-03"}, 2),
        ({"from": "2026-01-03"}, 8),
        ({"to": "2026-01-03"}, 6),
        ({"from": "2026-01-02", "to": "2026-01-03", "model_id": "fraud"}, 2),
        ({"day": "1990-01-01"}, 0),
    ],
)
def test_days_are_narrowed_by_every_parameter(
    client: httpx.Client, project: str, params: dict[str, str], expected: int
) -> None:
    rows = walk(client, "/metrics/daily", project_id=project, **params)
    assert len(rows) == expected


def test_drift_is_narrowed_by_feature_and_by_several_verdicts(client: httpx.Client, project: str) -> None:
    rows = walk(client, "/drift/daily", project_id=project, verdict=["drift", "warning"], model_id="churn")
    assert {row["verdict"] for row in rows} == {"drift", "warning"}
    assert len(rows) == 12
    assert len(walk(client, "/drift/daily", project_id=project, feature="age")) == 12
    assert walk(client, "/drift/daily", project_id=project, kind="boolean") == []


def test_bins_come_as_json_and_can_be_left_out(client: httpx.Client, project: str) -> None:
    full = client.get("/drift/daily", params={"project_id": project, "limit": 1}).json()["items"][0]
    assert full["bins"] == [{"bin": "missing", "share": 0.1}]
    lean = client.get("/drift/daily", params={"project_id": project, "limit": 1, "bins": False}).json()
    assert lean["items"][0]["bins"] is None
    features = client.get("/features/daily", params={"project_id": project, "limit": 1}).json()["items"][0]
    assert features["top"] == [{"label": "CA", "count": 3}]
    assert "psi" not in features


def test_a_day_is_plain_json(client: httpx.Client, project: str) -> None:
    row = client.get("/metrics/daily", params={"project_id": project, "model_id": "churn", "limit": 1}).json()
    (row,) = row["items"]
    assert row["day"] == "2026-01-06"
    assert row["day_start"] == "2026-01-06T00:00:00Z"
    assert (row["requests"], row["latency_p95_ms"], row["latency_p50_ms"]) == (105, 12.5, None)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"day": "2026-01-01", "from": "2026-01-01"}, "day"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "to"),
        ({"day": "yesterday"}, "day"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"order": "up"}, "order"),
        ({"cursor": "xx"}, "cursor"),
        ({"cursor": "///"}, "cursor"),
        ({"from": "0001-01-01"}, "from"),
    ],
)
def test_a_question_that_makes_no_sense_is_a_422_that_names_the_field(
    client: httpx.Client, project: str, params: dict[str, str], field: str
) -> None:
    answer = client.get("/metrics/daily", params={"project_id": project, **params})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_cursor_is_for_its_own_question_only(client: httpx.Client, project: str) -> None:
    cursor = client.get("/metrics/daily", params={"project_id": project, "limit": 1}).json()["next_cursor"]
    for params in ({"project_id": project, "model_id": "churn"}, {"project_id": project, "order": "asc"}, {}):
        assert client.get("/metrics/daily", params={**params, "cursor": cursor}).status_code == 422
    assert client.get("/drift/daily", params={"project_id": project, "cursor": cursor}).status_code == 422
    assert client.get("/metrics/daily", params={"project_id": project, "cursor": cursor}).status_code == 200


def test_text_that_looks_like_sql_is_text(client: httpx.Client, project: str) -> None:
    for text in ("' or true --", "x'; drop table ml_guard.project; --", "%", "_"):
        assert walk(client, "/metrics/daily", project_id=project, model_id=text) == []
    assert len(walk(client, "/metrics/daily", project_id=project)) == 12


def test_models_show_their_newest_event_and_baseline(door: Door, client: httpx.Client) -> None:
    name = door.project()
    for endpoint in ("predict", "score"):
        door.sql(
            "insert into ml_guard.model (project_id, model_id, endpoint) values ($1, 'm', $2)", name, endpoint
        )
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for days in (0, 1):
        door.sql(
            """insert into ml_guard.metric_day (project_id, model_id, endpoint, day_start, day, day_end, zone, revision,
                status, requests, last_event_at) values ($1, 'm', 'predict', $2, $3, $2, 'UTC', 1, 'final', 1, $2)""",
            name,
            at + timedelta(days=days),
            at.date(),
        )
    first, second = walk(client, "/models", project_id=name, limit=1)
    assert (first["endpoint"], first["last_event_at"], first["baseline_version"]) == (
        "predict",
        "2026-01-02T12:00:00Z",
        None,
    )
    assert (second["endpoint"], second["last_event_at"]) == ("score", None)


def test_latency_over_any_range_is_within_two_percent_of_numpy(door: Door, client: httpx.Client) -> None:
    name = door.project()
    generator = np.random.default_rng(7)
    start = datetime(2026, 1, 1, 10, 0, tzinfo=UTC)
    minutes = [generator.lognormal(3, 0.6, 200) for _ in range(180)]
    for index, values in enumerate(minutes):
        low, counts = LatencyHistogram.of(values).encode()
        door.sql(
            """insert into ml_guard.traffic_minute (project_id, model_id, endpoint, minute, shard, requests, latency_n,
                latency_sum_ms, latency_low, latency_counts) values ($1, 'm', 'predict', $2, 0, $3, $3, $4, $5, $6)""",
            name,
            start + timedelta(minutes=index),
            len(values),
            float(values.sum()),
            low,
            list(map(int, counts)),
        )

    def ask(first: int, last: int, **more: Any) -> list[dict[str, Any]]:
        span = {
            "from": (start + timedelta(minutes=first)).isoformat(),
            "to": (start + timedelta(minutes=last)).isoformat(),
        }
        answer = client.get("/latency", params={"project_id": name, "model_id": "m", **span, **more})
        answer.raise_for_status()
        return list(answer.json()["items"])

    for first, last in ((0, 180), (7, 8), (17, 133)):
        (row,) = ask(first, last, percentiles=[0.5, 0.95])
        exact = np.concatenate(minutes[first:last])
        assert row["requests"] == row["latency_n"] == len(exact)
        assert row["mean_ms"] == pytest.approx(exact.mean())
        for share, value in row["percentiles"].items():
            assert value == pytest.approx(np.quantile(exact, float(share), method="inverted_cdf"), rel=0.0201)
    steps = ask(0, 180, step_s=1800)
    assert [step["requests"] for step in steps] == [6000] * 6
    assert steps[1]["start"] == "2026-01-01T10:30:00Z"
    assert ask(500, 600)[0]["percentiles"]["0.95"] is None


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"step_s": 90}, "step_s"),
        ({"step_s": 60, "to": "2026-02-01T00:00:00Z"}, "step_s"),
        ({"to": "2025-12-31T00:00:00Z"}, "to"),
        ({"from": "2026-01-01T00:00:00"}, "from"),
        ({"percentiles": 1.5}, "percentiles.0"),
    ],
)
def test_latency_refuses_what_it_cannot_answer(
    client: httpx.Client, project: str, params: dict[str, Any], field: str
) -> None:
    span = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z"}
    answer = client.get("/latency", params={"project_id": project, "model_id": "m", **span, **params})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_the_ledger_says_where_it_does_not_balance(door: Door, client: httpx.Client) -> None:
    name = door.project()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for day, merged in ((0, 90), (1, 89)):
        at = start + timedelta(days=day)
        door.sql(
            """insert into ml_guard.ledger_day (project_id, day_start, shard, day, decoded, dead, duplicate)
            values ($1, $2, 0, $3, 100, 4, 6)""",
            name,
            at,
            at.date(),
        )
        door.sql(
            """insert into ml_guard.day_sketch (project_id, model_id, endpoint, feature, kind, day_start, shard, day,
                day_end, zone, n) values ($1, 'm', 'predict', '@events', 'events', $2, 0, $3, $2, 'UTC', $4)""",
            name,
            at,
            at.date(),
            merged,
        )
    good = client.get("/ledger", params={"project_id": name, "to": "2026-01-01"}).json()
    assert (good["balanced"], [row["difference"] for row in good["items"]]) == (True, [0])
    both = client.get("/ledger", params={"project_id": name, "limit": 1}).json()
    assert (both["balanced"], both["items"][0]["difference"], both["items"][0]["day"]) == (
        False,
        1,
        "2026-01-02",
    )
    rows = walk(client, "/ledger", project_id=name, limit=1)
    assert [(row["day"], row["merged"]) for row in rows] == [("2026-01-02", 89), ("2026-01-01", 90)]


def test_what_belongs_to_no_project_is_shown_to_keys_for_all_only(door: Door, client: httpx.Client) -> None:
    door.sql(
        """insert into ml_guard.ledger_day (project_id, day_start, shard, day, decoded, dead)
        values ('', '-infinity', 0, null, 3, 3)"""
    )
    rows = walk(client, "/ledger", limit=1)
    assert rows[-1] | {"difference": 0} == {
        "project_id": "", "day": None, "day_start": None, "decoded": 3, "merged": 0, "dead": 3, "duplicate": 0,
        "deleted": 0, "difference": 0,
    }  # fmt: skip
    with door.client(door.key(["read"], [door.project()])) as bound:
        assert walk(bound, "/ledger") == []


def test_settings_of_features_are_put_listed_and_removed(door: Door, client: httpx.Client) -> None:
    name = door.project()
    wide = client.put("/feature-settings", json={"project_id": name, "bins": 20}).json()
    assert (wide["model_id"], wide["feature"], wide["bins"], wide["warning"]) == ("*", "*", 20, None)
    client.put(
        "/feature-settings", json={"project_id": name, "model_id": "m", "feature": "age", "ignored": True}
    )
    client.put("/feature-settings", json={"project_id": name, "model_id": "other", "kind": "categorical"})
    assert len(walk(client, "/feature-settings", project_id=name, limit=1)) == 3
    of_model = walk(client, "/feature-settings", project_id=name, model_id="m")
    assert [(row["model_id"], row["feature"]) for row in of_model] == [("*", "*"), ("m", "age")]
    replaced = client.put("/feature-settings", json={"project_id": name, "warning": 0.2, "drift": 0.4}).json()
    assert (replaced["bins"], replaced["warning"]) == (None, 0.2)
    upside_down = client.put("/feature-settings", json={"project_id": name, "warning": 0.5, "drift": 0.4})
    assert upside_down.status_code == 422
    too_fine = client.put("/feature-settings", json={"project_id": name, "bins": 51})
    assert too_fine.status_code == 422
    (error,) = too_fine.json()["errors"]
    assert (error["field"], "50" in error["message"]) == ("bins", True), error
    finest = client.put("/feature-settings", json={"project_id": name, "feature": "age", "bins": 50})
    assert finest.json()["bins"] == 50
    assert client.delete("/feature-settings", params={"project_id": name, "feature": "age"}).is_success
    assert client.delete("/feature-settings", params={"project_id": name}).status_code == 204
    assert client.delete("/feature-settings", params={"project_id": name}).status_code == 404


def test_a_setting_raises_the_catalogs_generation_for_the_workers(door: Door, client: httpx.Client) -> None:
    name = door.project()
    ((before,),) = door.sql("select generation from ml_guard.catalog")
    client.put("/feature-settings", json={"project_id": name, "bins": 20}).raise_for_status()
    ((after,),) = door.sql("select generation from ml_guard.catalog")
    assert after > before
