"""Are projects what they were made to be, and do their days change zone without gap or overlap?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from stream.store import projects
from tests.api.conftest import Door, result_of

TORONTO = ZoneInfo("America/Toronto")


def test_a_made_project_shows_its_zone_from_the_beginning_of_time(door: Door) -> None:
    with door.client() as client:
        made = client.post(
            "/projects", json={"project_id": "churn", "zone": "America/Toronto", "name": "Churn"}
        )
        assert made.status_code == 201
        assert made.json() == client.get("/projects/churn").json()
        assert made.json() | {"created_at": None} == {
            "project_id": "churn",
            "name": "Churn",
            "zone": "America/Toronto",
            "zones": [{"zone": "America/Toronto", "effective_from": None}],
            "dedupe_by_event_id": False,
            "labels": "plain",
            "created_at": None,
        }
        again = client.post("/projects", json={"project_id": "churn", "zone": "UTC"})
        assert (again.status_code, again.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize("zone", ["EST5", "Mars/Olympus", "+02:00", "", "america/toronto", "../UTC"])
def test_a_zone_that_is_none_is_refused_with_a_way_on(door: Door, zone: str) -> None:
    with door.client() as client:
        answer = client.post("/projects", json={"project_id": "zoned", "zone": zone})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "zone"
    assert "America/Toronto" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "ü", "x" * 129])
def test_a_name_that_no_address_could_hold_is_refused(door: Door, name: str) -> None:
    with door.client() as client:
        assert client.post("/projects", json={"project_id": name, "zone": "UTC"}).status_code == 422


def test_a_change_of_nothing_is_refused(door: Door) -> None:
    project = door.project()
    with door.client() as client:
        assert client.patch(f"/projects/{project}", json={}).status_code == 422
        assert client.patch(f"/projects/{project}", json={"zon": "UTC"}).status_code == 422


def test_a_changed_zone_holds_from_its_next_midnight(door: Door) -> None:
    project = door.project("Asia/Tokyo")
    with door.client() as client:
        changed = client.patch(f"/projects/{project}", json={"zone": "America/Toronto"}).json()
    first, second = changed["zones"]
    assert (changed["zone"], first["effective_from"], second["zone"]) == (
        "Asia/Tokyo",
        None,
        "America/Toronto",
    )
    begins = datetime.fromisoformat(second["effective_from"]).astimezone(TORONTO)
    assert (begins.hour, begins.minute, begins.second) == (0, 0, 0)
    assert timedelta(0) < begins - datetime.now(UTC) <= timedelta(days=1, hours=1, minutes=1)


def test_a_change_that_lies_ahead_is_replaced_not_added_to(door: Door) -> None:
    project = door.project("Asia/Tokyo")
    with door.client() as client:
        client.patch(f"/projects/{project}", json={"zone": "America/Toronto"})
        client.patch(f"/projects/{project}", json={"zone": "Europe/Berlin"})
        assert [z["zone"] for z in client.get(f"/projects/{project}").json()["zones"]] == [
            "Asia/Tokyo",
            "Europe/Berlin",
        ]
        back = client.patch(f"/projects/{project}", json={"zone": "Asia/Tokyo"}).json()
    assert [z["zone"] for z in back["zones"]] == ["Asia/Tokyo"]


def test_the_open_day_is_cut_where_the_new_zone_begins(door: Door) -> None:
    project = door.project("Asia/Tokyo")
    now = datetime(2025, 5, 10, 16, 30, tzinfo=UTC)  # 01:30 of the 11th in Tokyo
    start, end = datetime(2025, 5, 10, 15, tzinfo=UTC), datetime(2025, 5, 11, 15, tzinfo=UTC)
    door.sql(
        """insert into ml_guard.day_close (project_id, day_start, day, day_end, zone)
        values ($1, $2, '2025-05-11', $3, 'Asia/Tokyo')""",
        project,
        start,
        end,
    )
    _change(door, project, "UTC", now)
    (row,) = door.sql("select day_end from ml_guard.day_close where project_id = $1", project)
    assert row["day_end"] == datetime(2025, 5, 11, tzinfo=UTC)
    _change(door, project, "Asia/Tokyo", now)
    (row,) = door.sql("select day_end from ml_guard.day_close where project_id = $1", project)
    assert row["day_end"] == end


def test_a_zone_does_not_change_under_events_that_are_there_already(door: Door) -> None:
    project = door.project("Asia/Tokyo")
    now = datetime(2025, 5, 10, 16, 30, tzinfo=UTC)
    door.sql(
        """insert into ml_guard.day_sketch (project_id, model_id, endpoint, feature, kind, day_start, shard, day,
            day_end, zone, n, last_event_at)
        values ($1, 'm', 'predict', '@events', 'events', $2, 0, '2025-05-11', $3, 'Asia/Tokyo', 1, $4)""",
        project,
        datetime(2025, 5, 10, 15, tzinfo=UTC),
        datetime(2025, 5, 11, 15, tzinfo=UTC),
        datetime(2025, 5, 11, 9, tzinfo=UTC),
    )
    changed = _change(door, project, "UTC", now)
    assert changed.zones[-1].effective_from == datetime(2025, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "zone", ["America/Toronto", "Pacific/Chatham", "Asia/Kathmandu", "Australia/Lord_Howe"]
)
def test_days_around_a_change_of_zone_have_neither_gap_nor_overlap(door: Door, zone: str) -> None:
    project = door.project("Asia/Tokyo")
    now = datetime(2025, 10, 4, 12, tzinfo=UTC)
    calendar = _change(door, project, zone, now).calendar()
    second = 1_000_000
    at = int(now.timestamp()) * second - 3 * 86_400 * second
    days = list(calendar.days_between(at, at + 6 * 86_400 * second))
    assert all(day.end_us == following.start_us for day, following in pairwise(days))
    assert {day.zone for day in days} == {"Asia/Tokyo", zone}


def test_the_list_goes_on_by_cursor(door: Door) -> None:
    names = sorted(door.project() for _ in range(7))
    with door.client(door.key(["read"], names)) as client:
        found, cursor = [], None
        while True:
            page = client.get(
                "/projects", params={"limit": 3} | ({"cursor": cursor} if cursor else {})
            ).json()
            found += [row["project_id"] for row in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    assert found == names


def _change(door: Door, project: str, zone: str, now: datetime) -> projects.Project:
    async def change() -> projects.Project | None:
        connection = await asyncpg.connect(door.settings.database_url)
        try:
            return await projects.change(connection, project, zone=zone, now=now)
        finally:
            await connection.close()

    return result_of(change())
