"""Does the live stream tell what becomes of an alert, in one order with the results of days?"""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg

from stream.alerting.episodes import open_episode, remind, resolve, update
from stream.alerting.findings import Finding
from stream.alerting.policies import Policy, Subject
from stream.store.alerts import write_changes
from stream.store.lease import CLOSER, fence, give_back, take
from tests.api.conftest import Door, door, make_settings, result_of
from tests.api.test_live import Stream, live, write

__all__ = ["door", "make_settings"]

NOW = datetime.now(UTC)


def finding(what: str = "1 feature in drift") -> Finding:
    return Finding(
        Policy("drift", "drift"), what, NOW, "UTC", day=date(2026, 1, 1), day_start=NOW, revision=1, n=10
    )


async def by_the_leader(url: str, *work: object) -> None:
    """Write changes as the closer does."""
    connection = await asyncpg.connect(url)
    try:
        while (lease := await take(connection, CLOSER, "test", timedelta(minutes=1))) is None:
            await asyncio.sleep(0.01)
        for change in work:
            async with connection.transaction():
                await fence(connection, lease)
                new = {change.episode.alert_id} if change.news == "opened" else set()  # type: ignore[attr-defined]
                await write_changes(connection, [change], new)  # type: ignore[list-item]
        await give_back(connection, lease)
    finally:
        await connection.close()


def heard(stream: Stream) -> tuple[str, str]:
    event = stream.next()
    assert event is not None
    assert event[0] == "alert"
    assert event[1] == str(event[2]["change_id"])
    return event[2]["news"], event[2]["state"]


def test_all_that_becomes_of_an_alert_is_told_as_it_happens(door: Door) -> None:
    project = door.project()
    url = door.settings.database_url
    opened = open_episode(finding(), Subject(project, "m", "predict"), NOW, project)
    with live(door, project_id=project) as stream, door.client() as client:
        result_of(by_the_leader(url, opened))
        event = stream.next()
        assert event is not None
        assert (event[0], event[2]["news"], event[2]["state"]) == ("alert", "opened", "open")
        assert (event[2]["alert_id"], event[2]["headline"], event[2]["n"]) == (
            project,
            "1 feature in drift",
            10,
        )
        result_of(by_the_leader(url, update(opened.episode, finding("2 features in drift"), NOW)))
        assert heard(stream) == ("updated", "open")
        reminded = remind(opened.episode, 1, NOW + timedelta(minutes=2))
        assert reminded is not None
        result_of(by_the_leader(url, reminded))
        assert heard(stream) == ("reminded", "open")
        client.post(f"/alerts/{project}/acknowledge").raise_for_status()
        assert heard(stream) == ("acknowledged", "acknowledged")
        client.post(f"/alerts/{project}/mute", json={"minutes": 5}).raise_for_status()
        assert heard(stream) == ("muted", "acknowledged")
        client.post(f"/alerts/{project}/mute", json={"minutes": 0}).raise_for_status()
        assert heard(stream) == ("unmuted", "acknowledged")
        result_of(by_the_leader(url, resolve(opened.episode, "within bounds", NOW)))
        assert heard(stream) == ("resolved", "resolved")
        assert client.get(f"/alerts/{project}").json()["news"] == "resolved"


def test_acknowledging_twice_tells_it_once(door: Door) -> None:
    project = door.project()
    opened = open_episode(finding(), Subject(project, "m", "predict"), NOW, project)
    result_of(by_the_leader(door.settings.database_url, opened))
    with live(door, project_id=project) as stream, door.client() as client:
        for _ in range(2):
            client.post(f"/alerts/{project}/acknowledge").raise_for_status()
        assert heard(stream) == ("acknowledged", "acknowledged")
        assert stream.is_silent()


def test_who_comes_back_hears_of_days_and_alerts_in_their_order(door: Door) -> None:
    project, other = door.project(), door.project()
    seen = write(door, project, 1)
    opened = open_episode(finding(), Subject(project, "m", "predict"), NOW, project)
    foreign = open_episode(finding(), Subject(other, "m", "predict"), NOW, other)
    result_of(by_the_leader(door.settings.database_url, opened, foreign))
    write(door, project, 2, day=1)
    with live(door, door.key(["read"], [project]), last=seen) as stream:
        assert [stream.next()[0] for _ in range(2)] == ["alert", "metric"]  # type: ignore[index]
        assert stream.is_silent()
