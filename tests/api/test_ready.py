"""Do `health`, `ready` and `/metrics` tell the truth, and does production refuse the demo's credentials?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.readiness import BELIEVED_S
from embedded.process import HOST, free_port
from stream.settings import Settings
from tests.api.conftest import Door, served


def fence(door: Door, partition: int, **columns: Any) -> None:
    """A partition as its worker left it."""
    door.sql('delete from ml_guard.stream_fence where "partition" = $1', partition)
    door.sql(
        """insert into ml_guard.stream_fence (topic, "partition", next_offset, records_decoded, owner, heartbeat_at,
            stopped_reason, catalog_generation)
        values ($1, $2, $3, $4, $5, now() - make_interval(secs => $6), $7, 1)""",
        door.settings.topic,
        partition,
        columns.get("next_offset", 0),
        columns.get("decoded", columns.get("next_offset", 0)),
        columns.get("owner", "worker-1"),
        columns.get("silent_s", 0),
        columns.get("stopped"),
    )


def ready(door: Door) -> tuple[int, dict[str, Any]]:
    time.sleep(BELIEVED_S)
    with door.client(None) as client:
        answer = client.get("/ready")
    return answer.status_code, answer.json()


def test_health_is_exactly_this_body_without_a_key(door: Door) -> None:
    with door.client(None) as client:
        answer = client.get("/health")
    assert (answer.status_code, answer.content) == (200, b'{"status":"ok"}')
    assert answer.headers["content-type"] == "application/json"


def test_ready_when_every_partition_has_a_worker(door: Door) -> None:
    for partition in range(4):
        fence(door, partition, owner=f"worker-{partition % 2}")
    status, body = ready(door)
    assert (status, body["status"], body["reasons"]) == (200, "ready", [])
    assert (body["broker"], body["database"], body["lag"], body["workers"]) == (
        {"ok": True},
        {"ok": True, "schema": "current"},
        0,
        2,
    )


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"silent_s": 60}, r"Partition 2 has heard no worker for \d+ s\."),
        ({"stopped": "the topic was made anew"}, r"Partition 2 stands still: the topic was made anew"),
    ],
)
def test_not_ready_says_which_partition_and_why(door: Door, columns: dict[str, Any], said: str) -> None:
    for partition in range(4):
        fence(door, partition)
    fence(door, 2, **columns)
    status, body = ready(door)
    assert (status, body["status"], len(body["reasons"])) == (503, "not_ready", 1)
    assert re.fullmatch(said, body["reasons"][0])


def test_a_database_of_another_topic_is_not_ready_and_says_what_to_do(door: Door) -> None:
    door.sql("update ml_guard.stream_fence set topic = 'renamed'")
    try:
        status, body = ready(door)
        assert (status, len(body["reasons"])) == (503, 1)
        assert re.match(
            r"The database holds what was read from the topic renamed \(4 partitions", body["reasons"][0]
        )
        assert "Set ML_GUARD_TOPIC=renamed, or give" in body["reasons"][0]
    finally:
        door.sql("delete from ml_guard.stream_fence where topic = 'renamed'")


def test_a_lag_is_said_and_a_great_one_makes_it_not_ready(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(ready_lag=3)
    with served(settings) as address:
        door = Door(address, settings)
        project = door.project()
        for partition in range(4):
            fence(door, partition)
        with door.client() as client:
            for _ in range(40):  # more than 3 on some partition, wherever they go
                client.post("/events", json={"project_id": project, "model_id": "m"}).raise_for_status()
        _, body = ready(door)
        lags = [state["lag"] for state in body["partitions"]]
        assert sum(lags) == body["lag"]
        assert len(body["reasons"]) == sum(lag > 3 for lag in lags)
        assert body["reasons"]


def test_a_schema_that_is_behind_is_not_ready(door: Door) -> None:
    for partition in range(4):
        fence(door, partition)
    (row,) = door.sql(
        "delete from ml_guard.migration where number = (select max(number) from ml_guard.migration) returning *"
    )
    try:
        status, body = ready(door)
    finally:
        door.sql("insert into ml_guard.migration values ($1, $2, $3, $4, $5)", *row.values())
    assert (status, body["database"]["schema"]) == (503, "behind")
    assert len(body["reasons"]) == 1
    assert "ml-guard migrate" in body["reasons"][0]
    assert [state["owner"] for state in body["partitions"]] == [
        "worker-1"
    ] * 4  # who reads is told all the same
    assert body["workers"] == 1


def test_a_schema_that_is_newer_than_the_api_is_fine(door: Door) -> None:
    for partition in range(4):
        fence(door, partition)
    door.sql("insert into ml_guard.migration (number, name, sha256, seconds) values (999, 'later', '', 0)")
    try:
        status, body = ready(door)
    finally:
        door.sql("delete from ml_guard.migration where number = 999")
    assert (status, body["database"]["schema"], body["reasons"]) == (200, "ahead", [])


def test_an_empty_database_is_a_schema_that_is_behind(
    door: Door, make_settings: Callable[..., Settings]
) -> None:
    door.sql("alter schema ml_guard rename to put_aside")
    try:
        status, body = ready(door)
    finally:
        door.sql("alter schema put_aside rename to ml_guard")
    assert (status, body["database"]) == (503, {"ok": True, "schema": "behind"})
    assert "ml-guard migrate" in body["reasons"][0]
    assert [(state["owner"], state["end_offset"] is None) for state in body["partitions"]] == [
        (None, False)
    ] * 4


def test_without_a_broker_ready_says_so(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(kafka=f"{HOST}:{free_port()}")
    with served(settings) as address:
        status, body = ready(Door(address, settings))
        assert (status, body["broker"]["ok"]) == (503, False)
        assert any("Kafka does not answer" in reason for reason in body["reasons"])
        assert "ml_guard_broker_up 0.0" in httpx.get(f"{address}/metrics").text


def test_metrics_show_lag_and_a_ledger_that_does_not_balance(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    with served(settings) as address:
        door = Door(address, settings)
        for partition in range(4):
            fence(door, partition)
        fence(door, 1, next_offset=5, decoded=3)
        text = httpx.get(f"{address}/metrics").text
    assert 'ml_guard_ledger_difference_records{partition="1"} 2.0' in text
    assert 'ml_guard_ledger_difference_records{partition="0"} 0.0' in text
    assert "ml_guard_database_up 1.0" in text


def test_series_do_not_grow_with_paths_and_names(door: Door) -> None:
    def series() -> int:
        text = httpx.get(f"{door.address}/metrics").text
        return sum(not line.startswith("#") for line in text.splitlines())

    with door.client() as client:
        client.get("/projects/a")
        client.get("/nothing/a")
        before = series()
        for index in range(50):
            client.get(f"/projects/{index}")
            client.get(f"/nothing/{index}")
            client.get("/models", params={"project_id": str(index)})
        after = series()
    assert after - before < 40  # one operation more, whose histogram has its own series


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ML_GUARD_DEMO_KEY": "demo-key"}, "ML_GUARD_DEMO_KEY"),
        ({"ML_GUARD_DATABASE_URL": "postgresql://ml_guard:ml_guard@127.0.0.1:1/ml_guard"}, "password"),
        ({}, "password"),  # the default is the demo's
    ],
)
def test_production_refuses_to_start_on_a_demo_credential(variables: dict[str, str], said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "api"],
        env={**os.environ, "ML_GUARD_ENV": "production", "ML_GUARD_API_PORT": str(free_port()), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_demo_key_is_warned_of_and_no_key_is_logged(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    port = free_port()
    variables = {
        "ML_GUARD_KAFKA": settings.kafka,
        "ML_GUARD_DATABASE_URL": settings.database_url,
        "ML_GUARD_TOPIC": settings.topic,
        "ML_GUARD_DEMO_KEY": "demo-key",
        "ML_GUARD_API_PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "api"],
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        client = httpx.Client(
            base_url=f"http://{HOST}:{port}/api/v1", transport=httpx.HTTPTransport(retries=6), timeout=20
        )
        made = client.post(
            "/keys",
            json={"name": "k", "scopes": ["read"], "project_ids": None},
            headers={"X-API-Key": "demo-key"},
        ).json()["key"]
        assert client.get("/models", headers={"X-API-Key": made}).status_code == 200
        assert client.get("/models", headers={"X-API-Key": made[:-1]}).status_code == 401
    finally:
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert process.returncode in (0, -15)
    assert "DEMO" in err
    assert "demo-key" not in out + err
    assert made[:-1] not in out + err
