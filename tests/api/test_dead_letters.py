"""Can dead letters be found, looked at, and sent again, each once?"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from tests.api.conftest import Door, result_of

AT = datetime(2026, 1, 1, tzinfo=UTC)


def bury(
    door: Door, project: str | None, payloads: list[bytes], reason: str, first: int, **headers: bytes
) -> None:
    """Dead letters as a worker writes them: into the topic, and into the index."""

    async def send() -> list[Any]:
        producer = AIOKafkaProducer(bootstrap_servers=door.settings.kafka, acks="all")
        await producer.start()
        try:
            return [
                await producer.send_and_wait(door.settings.dead_topic, payload, headers=list(headers.items()))
                for payload in payloads
            ]
        finally:
            await producer.stop()

    for index, sent in enumerate(result_of(send())):
        door.sql(
            """insert into ml_guard.dead_letter (topic, "partition", "offset", event_index, project_id, reason, detail,
                appended_at, dead_partition, dead_offset) values ($1, 2, $2, 0, $3, $4, 'why', $5, $6, $7)""",
            door.settings.topic,
            first + index,
            project,
            reason,
            AT + timedelta(seconds=index),
            sent.partition,
            sent.offset,
        )


@pytest.fixture
def client(door: Door) -> Any:
    with door.client() as client:
        yield client


def test_letters_are_listed_newest_first_by_project_and_reason(door: Door, client: httpx.Client) -> None:
    project = door.project()
    bury(door, project, [b"{}"] * 3, "invalid_event", 100)
    bury(door, project, [b"{"] * 2, "invalid_json", 110)
    rows = client.get("/dead-letters", params={"project_id": project, "limit": 4}).json()
    assert [row["id"] for row in rows["items"]][:1] == ["2-102-0"]
    assert len(rows["items"]) == 4
    rest = client.get("/dead-letters", params={"project_id": project, "cursor": rows["next_cursor"]}).json()
    assert len(rest["items"]) == 1
    only = client.get("/dead-letters", params={"project_id": project, "reason": "invalid_json"}).json()[
        "items"
    ]
    assert {row["reason"] for row in only} == {"invalid_json"}
    assert len(only) == 2


def test_a_letter_shows_its_original_bytes(door: Door, client: httpx.Client) -> None:
    project = door.project()
    bury(door, project, [b'{"model_id": 3}', b"\xff\x00"], "invalid_event", 200)
    text = client.get("/dead-letters/2-200-0").json()
    assert (text["original_text"], text["detail"], text["truncated"]) == ('{"model_id": 3}', "why", False)
    raw = client.get("/dead-letters/2-201-0").json()
    assert raw["original_text"] is None
    assert base64.b64decode(raw["original_base64"]) == b"\xff\x00"
    for absent in ("2-999-0", "nonsense"):
        assert client.get(f"/dead-letters/{absent}").json()["code"] == "unknown_dead_letter"


def test_letters_of_a_reason_are_sent_again_once(door: Door, client: httpx.Client) -> None:
    project = door.project()
    events = [{"project_id": project, "model_id": "m", "features": {"i": i}} for i in range(5)]
    bury(door, project, [json.dumps(event).encode() for event in events], "cap_exceeded", 300)
    which = {"project_id": project, "reason": "cap_exceeded", "limit": 3}
    assert client.post("/dead-letters/replay", json=which).json() == {
        "replayed": 3,
        "skipped": 0,
        "remaining": 2,
    }
    assert client.post("/dead-letters/replay", json=which).json() == {
        "replayed": 2,
        "skipped": 0,
        "remaining": 0,
    }
    assert client.post("/dead-letters/replay", json=which).json() == {
        "replayed": 0,
        "skipped": 0,
        "remaining": 0,
    }
    sent = [json.loads(value) for value in door.records() if project.encode() in value]
    assert sorted(event["features"]["i"] for event in sent) == [0, 1, 2, 3, 4]
    assert {event["timestamp"][:10] for event in sent} == {"2026-01-01"}  # the time of the first attempt
    listed = client.get("/dead-letters", params={"project_id": project, "replayed": False}).json()["items"]
    assert listed == []


def test_letters_sent_again_by_id_are_skipped_the_second_time(door: Door, client: httpx.Client) -> None:
    project = door.project()
    bury(door, project, [b'{"project_id": 1}'], "invalid_event", 400)
    which = {"ids": ["2-400-0", "2-999-0"]}
    assert client.post("/dead-letters/replay", json=which).json() == {
        "replayed": 1,
        "skipped": 1,
        "remaining": 0,
    }
    assert client.post("/dead-letters/replay", json=which).json() == {
        "replayed": 0,
        "skipped": 2,
        "remaining": 0,
    }
    again = client.post("/dead-letters/replay", json={**which, "again": True}).json()
    assert again["replayed"] == 1
    assert door.records().count(b'{"project_id": 1}') == 2


def test_a_letter_that_was_cut_or_is_gone_is_not_sent(door: Door, client: httpx.Client) -> None:
    project = door.project()
    bury(door, project, [b"x" * 10], "record_too_large", 500, truncated=b"2000000")
    bury(door, project, [b"y"], "record_too_large", 501)
    door.sql('update ml_guard.dead_letter set dead_offset = 1000000 where "offset" = 501')
    which = {"project_id": project, "reason": "record_too_large"}
    assert client.post("/dead-letters/replay", json=which).json() == {
        "replayed": 0,
        "skipped": 2,
        "remaining": 2,
    }
    assert client.get("/dead-letters/2-501-0").json()["original_base64"] is None


def test_letters_of_others_and_of_nobody_are_out_of_reach(door: Door) -> None:
    mine, other = door.project(), door.project()
    bury(door, other, [b"{}"], "invalid_event", 600)
    bury(door, None, [b"{}"], "unknown_project", 601)
    with door.client(door.key(["operate"], [mine])) as client:
        assert client.get("/dead-letters").json()["items"] == []
        for letter in ("2-600-0", "2-601-0"):
            assert client.get(f"/dead-letters/{letter}").json()["code"] == "unknown_dead_letter"
        body = {"ids": ["2-600-0", "2-601-0"], "again": True}
        assert client.post("/dead-letters/replay", json=body).json() == {
            "replayed": 0,
            "skipped": 2,
            "remaining": 0,
        }


@pytest.mark.parametrize(
    "body", [{}, {"ids": []}, {"ids": ["1-2-3"], "reason": "invalid_json"}, {"reason": "bad"}]
)
def test_a_replay_of_nothing_in_particular_is_refused(client: httpx.Client, body: dict[str, Any]) -> None:
    assert client.post("/dead-letters/replay", json=body).status_code == 422
