"""What do people see and do through the API: alerts, policies, try-outs?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.alerting.world import World
from tests.api.conftest import Door, door, make_settings, result_of

__all__ = ["door", "make_settings"]


def planted(door: Door, days: int = 3, minutes: int = 0) -> str:
    """A project with a model in drift on the last closed days, and an open alert about it."""
    project = door.project("UTC")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    async def plant() -> None:
        import asyncpg

        connection = await asyncpg.connect(door.settings.database_url)
        try:
            world = World(connection, lambda: today, None, project=project)  # type: ignore[arg-type]
            world.calendar = world.calendar.of("UTC")
            await connection.execute(
                "insert into ml_guard.model (project_id, model_id, endpoint) values ($1, 'churn', 'predict')",
                project,
            )
            for age in range(20, 0, -1):
                day = (today - timedelta(days=age)).date()
                await world.result(day, {"age": "drift"} if age <= days else {})
            if minutes:
                await world.requests(today - timedelta(days=12), today - timedelta(minutes=minutes), 2)
            await connection.execute(
                """insert into ml_guard.alert (alert_id, opened_at, project_id, model_id, endpoint, policy, condition,
                       severity, state, headline, since, zone, details, found_at, notified_at)
                   values ($1, now(), $1, 'churn', 'predict', 'drift', 'drift', 'warning', 'open',
                       '1 feature in drift', now(), 'UTC', $2::text::jsonb, now(), now())""",
                project,
                '{"n": 1000, "features": [{"feature": "age", "kind": "numeric", "measure": "PSI", "value": 0.3}]}',
            )
        finally:
            await connection.close()

    result_of(plant())
    return project


def test_alerts_are_listed_acknowledged_and_muted_with_the_keys_name(door: Door) -> None:
    project = planted(door)
    key = door.key(["operate"], [project])
    with door.client(key) as client:
        (alert,) = client.get("/alerts", params={"state": "open"}).json()["items"]
        assert (alert["alert_id"], alert["n"], alert["features"][0]["feature"]) == (project, 1000, "age")
        done = client.post(f"/alerts/{project}/acknowledge").json()
        assert (done["state"], done["acknowledged_by"]) == ("acknowledged", "test")
        muted = client.post(f"/alerts/{project}/mute", json={"minutes": 60}).json()
        assert muted["muted_by"] == "test"
        left = datetime.fromisoformat(muted["muted_until"]) - datetime.now(UTC)
        assert timedelta(minutes=59) < left <= timedelta(minutes=60)
        assert client.post(f"/alerts/{project}/mute", json={"minutes": 0}).json()["muted_until"] is None
        assert client.get(f"/alerts/{project}/deliveries").json() == {"items": []}
        assert client.get("/alerts", params={"state": "resolved"}).json()["items"] == []


def test_reading_is_not_operating_and_another_projects_alert_is_unknown(door: Door) -> None:
    project, other = planted(door), door.project()
    with door.client(door.key(["read"], [project])) as client:
        assert client.post(f"/alerts/{project}/acknowledge").json()["code"] == "missing_scope"
        assert client.put("/alert-policies", json={"condition": "drift"}).json()["code"] == "missing_scope"
    with door.client(door.key(["operate"], [other])) as client:
        assert client.get("/alerts").json()["items"] == []
        assert client.post(f"/alerts/{project}/acknowledge").json()["code"] == "unknown_alert"
        refused = client.put("/alert-policies", json={"condition": "drift", "project_id": project})
        assert refused.json()["code"] == "unknown_project"
        assert client.put("/alert-policies", json={"condition": "drift"}).json()["code"] == "missing_scope"


def test_a_policy_replaces_a_default_and_gives_way_to_it_again(door: Door) -> None:
    project = door.project()
    with door.client() as client:
        made = client.put(
            "/alert-policies", json={"condition": "drift", "project_id": project, "open_day": True}
        ).json()
        assert (made["name"], made["days"], made["threshold"], made["is_default"]) == ("drift", 2, 0.1, False)
        assert made["updated_by"] == "demo"
        listed = client.get("/alert-policies", params={"project_id": project}).json()["items"]
        assert [row["project_id"] for row in listed if row["name"] == "drift"] == ["*", project]
        assert sum(row["is_default"] for row in listed) == 8
        first = client.get("/alert-policies", params={"project_id": project, "limit": 5}).json()
        rest = client.get(
            "/alert-policies", params={"project_id": project, "limit": 5, "cursor": first["next_cursor"]}
        ).json()
        assert first["items"] + rest["items"] == listed
        where = {"name": "drift", "project_id": project}
        assert client.delete("/alert-policies", params=where).status_code == 204
        assert client.delete("/alert-policies", params=where).json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"condition": "expected_by"}, "needs `local_time`"),
        ({"condition": "silence", "open_day": True}, "does not look at the open day"),
        ({"condition": "latency", "feature": "age"}, "is not about a feature"),
        ({"condition": "latency", "percentile": 0.42}, "`percentile` is one of"),
        ({"condition": "latency", "name": "drift"}, "default for another condition"),
        ({"condition": "drift", "channels": ["nowhere"]}, "no such channel is set up: nowhere"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(door: Door, policy: dict[str, Any], said: str) -> None:
    with door.client() as client:
        answer = client.put("/alert-policies", json=policy)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_a_policy_is_tried_over_the_stored_past(door: Door) -> None:
    project = planted(door, days=3, minutes=180)
    with door.client(door.key(["read"], [project])) as client:

        def tried(**policy: Any) -> Any:
            return client.post("/alert-policies/try", json={"project_id": project, **policy}).json()

        drift = tried(condition="drift")
        assert drift["summary"] == "would have fired 1 time in 30 days"
        assert (drift["alerts"][0]["headline"], drift["alerts"][0]["until"]) == ("1 feature in drift", None)
        assert tried(condition="drift", days=4)["fired"] == 0
        assert tried(condition="drift", past_days=1)["fired"] == 1
        assert tried(condition="drift", feature="income")["fired"] == 0
        assert tried(condition="type_change")["fired"] == 0
        silence = tried(condition="silence", past_days=2)
        assert silence["fired"] == 1
        assert (
            silence["alerts"][0]["headline"]
            == "no request for 30 minutes, 60 in the same minutes a week before"
        )
        young = tried(condition="silence", model_id="nothing")
        assert (young["models"], young["fired"]) == (0, 0)
    assert door.sql("select count(*) from ml_guard.alert_policy where project_id = $1", project)[0][0] == 0


def test_a_try_out_says_of_which_models_it_cannot_judge(door: Door) -> None:
    project = planted(door)
    with door.client() as client:
        answer = client.post(
            "/alert-policies/try", json={"condition": "silence", "project_id": project}
        ).json()
    assert answer["not_judged"] == [
        {
            "project_id": project,
            "model_id": "churn",
            "endpoint": "predict",
            "reason": "the model had no request",
        }
    ]
