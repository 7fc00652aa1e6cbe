"""Does the API's `/metrics` tell the truth, of projects only to those who may see them, and never without bound?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from api.prometheus import BELIEVED_S
from stream.settings import Settings
from tests.api.conftest import Door, served

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def door(make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Door:
    """An API that believes no old state; two models and three features at most."""
    monkeypatch.setattr("api.prometheus.BELIEVED_S", -1.0)
    assert BELIEVED_S > 0
    settings = make_settings(metrics_models=2, metrics_features=3)
    with served(settings) as address:
        yield Door(address, settings)


def scraped(door: Door, **headers: str) -> dict[str, Metric]:
    answer = httpx.get(f"{door.address}/metrics", headers=headers)
    answer.raise_for_status()
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def plant(door: Door, project: str, model: str, drifted: int, psi: float) -> None:
    for age in (0, 1, 9):
        start = TODAY - timedelta(days=age)
        door.sql(
            """insert into ml_guard.metric_day (project_id, model_id, endpoint, day_start, day, day_end, zone, revision,
                   status, requests, latency_p50_ms, latency_p99_ms, features_drift, features_scored, last_event_at)
               values ($1, $2, 'predict', $3, $4, $5, 'UTC', 0, 'provisional', $6, 40, 400, $7, 5, $3)""",
            project, model, start, start.date(), start + timedelta(days=1), 100 - age, drifted,
        )  # fmt: skip
        for feature, value in (("age", psi), ("city", psi / 2), ("text", None)):
            door.sql(
                """insert into ml_guard.feature_day (project_id, model_id, endpoint, day_start, day, day_end, zone, revision,
                       status, feature, kind, n, missing, exact, verdict, psi)
                   values ($1, $2, 'predict', $3, $4, $5, 'UTC', 0, 'provisional', $6, 'numeric', 9,
                       0, true, 'drift', $7)""",
                project, model, start, start.date(), start + timedelta(days=1), feature, value,
            )  # fmt: skip


def by(family: Metric, *labels: str) -> dict[tuple[str, ...], float]:
    return {tuple(sample.labels[label] for label in labels): sample.value for sample in family.samples}


def test_models_are_shown_to_a_key_the_worst_first_and_what_is_left_out_is_counted(door: Door) -> None:
    mine, other = door.project(), door.project()
    plant(door, mine, "calm", 0, 0.01)
    plant(door, mine, "bad", 2, 0.9)
    plant(door, mine, "worse", 3, 0.8)
    plant(door, other, "foreign", 5, 2.0)
    key = door.key(["read"], [mine])
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        found = scraped(door, **headers)
        assert by(found["ml_guard_model_features_drift"], "project", "model", "endpoint") == {
            (mine, "worse", "predict"): 3, (mine, "bad", "predict"): 2,
        }  # fmt: skip
        assert by(found["ml_guard_model_requests"], "model") == {("worse",): 100, ("bad",): 100}
        assert by(found["ml_guard_model_latency_seconds"], "model", "quantile")["bad", "0.99"] == 0.4
        assert by(found["ml_guard_feature_psi"], "model", "feature") == {
            ("bad", "age"): 0.9, ("worse", "age"): 0.8, ("bad", "city"): 0.45,
        }  # fmt: skip
        assert by(found["ml_guard_series_left_out"], "what") == {("models",): 1, ("features",): 3}
        last = by(found["ml_guard_model_last_event_timestamp_seconds"], "model")["bad",]
        assert last == TODAY.timestamp()


def test_without_a_key_no_project_is_named_and_a_wrong_key_is_refused(door: Door) -> None:
    plant(door, door.project(), "secret-model", 1, 0.5)
    text = httpx.get(f"{door.address}/metrics").text
    assert "secret-model" not in text
    assert "ml_guard_model_requests" not in text
    assert httpx.get(f"{door.address}/metrics", headers={"X-API-Key": "wrong"}).status_code == 401
    ingest = door.key(["ingest"])
    refused = httpx.get(f"{door.address}/metrics", headers={"Authorization": f"Bearer {ingest}"})
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")


def test_what_waits_and_what_is_open_is_counted(door: Door) -> None:
    project = door.project()
    before = scraped(door)
    door.sql(
        """insert into ml_guard.alert (alert_id, opened_at, project_id, model_id, endpoint, policy, condition, severity,
               state, headline, since, zone, details, found_at, notified_at)
           values ($1, now(), $1, 'm', 'e', 'p', 'drift', 'critical', 'open', 'h', now(), 'UTC', '{}', now(), now())""",
        project,
    )
    door.sql(
        """insert into ml_guard.alert_delivery (message_id, channel, project_id, model_id, endpoint, alert_ids, subject,
               message, created_at, next_attempt_at) values ($1, 'slack', $1, '', '', '{}', '', '{}', now(), now())""",
        project,
    )
    door.sql(
        """insert into ml_guard.day_close (project_id, day_start, day, day_end, zone)
           values ($1, $2, $3, $4, 'UTC'), ($1, $4, $5, $6, 'UTC')""",
        project, TODAY - timedelta(days=1), (TODAY - timedelta(days=1)).date(), TODAY - timedelta(hours=1),
        TODAY.date(), TODAY + timedelta(days=2),
    )  # fmt: skip
    door.sql(
        """insert into ml_guard.day_change (project_id, model_id, endpoint, day_start, shard, next_offset, changed_at)
           values ($1, 'm', 'e', $2, 0, 1, now())""",
        project,
        TODAY,
    )
    with door.client() as client:
        client.get("/projects").raise_for_status()
    after = scraped(door)

    def risen(name: str, **labels: str) -> float:
        return sum(
            sign * sample.value
            for sign, found in ((1, after), (-1, before))
            for sample in found[name].samples
            if labels.items() <= sample.labels.items() and not sample.name.endswith("_created")
        )

    assert risen("ml_guard_alerts_open", severity="critical") == 1
    assert risen("ml_guard_alerts_open", severity="info") == 0
    assert risen("ml_guard_alert_messages", status="pending") == 1
    assert risen("ml_guard_days_waiting_to_close") == 1
    assert risen("ml_guard_rollup_waiting_model_days") == 1
    assert risen("ml_guard_api_requests", operation="list_projects", status="200") == 1
