"""Do clients' counts reach people: once each, whatever is repeated, and only where the key reaches?"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from embedded.doctor import examine
from stream.closing.housekeeping import CLIENTS_REPORT_FOR, fold_old_client_counts
from stream.store import client_counts
from tests.api.conftest import Door, result_of

TODAY = datetime.now(UTC).date()


def count(project: str, events: int, reason: str = "queue_full", **more: Any) -> dict[str, Any]:
    outcome = "dropped" if reason else "sent"
    return {
        "project_id": project,
        "day": TODAY.isoformat(),
        "outcome": outcome,
        "reason": reason,
        "events": events,
        **more,
    }


def report(
    door: Door, *counts: dict[str, Any], client_id: str = "client-0001", key: str | None = None
) -> dict[str, Any]:
    with door.client(key) if key else door.client() as http:
        answer = http.post("/client-counts", json={"client_id": client_id, "counts": list(counts)})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def read(door: Door, project: str, key: str | None = None) -> dict[tuple[str, str, str], int]:
    with door.client(key) if key else door.client() as http:
        items = http.get("/client-counts", params={"project_id": project}).json()["items"]
    return {(row["day"], row["outcome"], row["reason"]): row["events"] for row in items}


def test_a_report_that_is_repeated_late_or_out_of_order_counts_once(door: Door) -> None:
    project = door.project()
    for events in (3, 10, 10, 7):
        report(door, count(project, events))
    report(door, count(project, 5), client_id="client-0002")
    assert read(door, project) == {(TODAY.isoformat(), "dropped", "queue_full"): 15}


def test_days_and_outcomes_are_kept_apart(door: Door) -> None:
    project = door.project()
    yesterday = (TODAY - timedelta(days=1)).isoformat()
    report(door, count(project, 4), count(project, 9, ""), count(project, 2, day=yesterday))
    assert read(door, project) == {
        (TODAY.isoformat(), "dropped", "queue_full"): 4,
        (TODAY.isoformat(), "sent", ""): 9,
        (yesterday, "dropped", "queue_full"): 2,
    }


def test_days_that_no_client_may_report_of_are_left_out(door: Door) -> None:
    project = door.project()
    old, ahead = (TODAY - timedelta(days=30)).isoformat(), (TODAY + timedelta(days=9)).isoformat()
    assert report(door, count(project, 1, day=old), count(project, 1, day=ahead))["counts"] == 0
    assert read(door, project) == {}


def test_a_reason_of_a_newer_client_is_counted_as_another(door: Door) -> None:
    project = door.project()
    report(door, count(project, 3, "gremlins"))
    assert read(door, project) == {(TODAY.isoformat(), "dropped", "other"): 3}


def test_a_key_reports_and_reads_its_own_projects_only(door: Door) -> None:
    mine, other = door.project(), door.project()
    key = door.key(["ingest", "read"], [mine])
    answer = report(door, count(mine, 1), count(other, 2), count("nobody-made-it", 3), key=key)
    assert answer == {"counts": 1, "unknown_projects": sorted(["nobody-made-it", other])}
    assert read(door, other) == {}
    with door.client(key) as http:
        assert http.get("/client-counts", params={"project_id": other}).status_code == 404
        seen = {row["project_id"] for row in http.get("/client-counts").json()["items"]}
    assert seen == {mine}


def test_events_that_name_no_project_are_for_keys_of_all_projects(door: Door) -> None:
    report(door, count("", 6), client_id=f"client-{uuid.uuid4()}")
    with door.client() as http:
        rows = http.get("/client-counts", params={"outcome": "dropped", "limit": 1000}).json()["items"]
    assert any(row["project_id"] == "" and row["events"] >= 6 for row in rows)


async def test_old_days_are_added_up_and_stay_what_they_were(door: Door) -> None:
    project = door.project()
    day = date(2020, 1, 1)
    connection = await asyncpg.connect(door.settings.database_url)
    try:
        for client, events in (("a" * 8, 3), ("b" * 8, 4)):
            counted = client_counts.ClientCount(project, day, "dropped", "closed", events)
            await client_counts.merge(connection, client, [counted])
        now = datetime(2020, 1, 1, tzinfo=UTC) + CLIENTS_REPORT_FOR
        await fold_old_client_counts(connection, now)
        assert len(await rows(connection, project)) == 2
        for _ in range(2):
            await fold_old_client_counts(connection, now + timedelta(days=1))
            assert await rows(connection, project) == [("", 7)]
    finally:
        await connection.close()


async def rows(connection: asyncpg.Connection, project: str) -> list[tuple[str, int]]:
    found = await connection.fetch(
        "select client_id, events from ml_guard.client_count where project_id = $1", project
    )
    return [(row["client_id"], row["events"]) for row in found]


def test_prometheus_and_the_doctor_tell_of_losses(door: Door) -> None:
    report(door, count(door.project(), 12, "unauthorized"))
    with door.client() as http:
        page = http.get(f"{door.address}/metrics").text
    assert 'ml_guard_client_lost_events{reason="unauthorized"}' in page
    (finding,) = (f for f in result_of(examine(door.settings)) if f.what == "clients")
    assert not finding.ok
    assert "events lost: unauthorized" in finding.seen


@pytest.mark.parametrize(
    "bad",
    [{"events": -1}, {"outcome": "eaten"}, {"day": "yesterday"}, {"surprise": 1}, {"project_id": "x" * 257}],
)
def test_a_report_that_makes_no_sense_is_refused(door: Door, bad: dict[str, Any]) -> None:
    body = {"client_id": "client-0001", "counts": [{**count("p", 1), **bad}]}
    with door.client() as http:
        assert http.post("/client-counts", json=body).status_code == 422


def test_counts_beyond_all_measure_fail_no_reader_no_gauge_and_no_sum(door: Door) -> None:
    """Any client may say anything of its own project, and the gauges are everybody's."""
    project, most = door.project(), 2**63 - 1
    door.sql(
        """insert into ml_guard.client_count (project_id, day, client_id, outcome, reason, events)
        select $1, $2, 'client-' || n, 'dropped', 'shutdown', 1e15 from generate_series(1, 10000) as n""",
        project,
        TODAY,
    )
    try:
        assert read(door, project) == {(TODAY.isoformat(), "dropped", "shutdown"): most}
        gauge, page = f'ml_guard_client_lost_events{{reason="shutdown"}} {float(most)}', ""
        with door.client() as http:
            while gauge not in page:  # gauges are believed for a moment
                page = http.get(f"{door.address}/metrics").text
                time.sleep(0.1)
        result_of(fold(door, datetime.now(UTC) + CLIENTS_REPORT_FOR + timedelta(days=1)))
        assert door.sql(
            "select client_id, events from ml_guard.client_count where project_id = $1", project
        ) == [("", most)]
    finally:
        door.sql("delete from ml_guard.client_count where project_id = $1", project)


async def fold(door: Door, now: datetime) -> None:
    connection = await asyncpg.connect(door.settings.database_url)
    try:
        for _ in range(2):
            await fold_old_client_counts(connection, now)
    finally:
        await connection.close()
