"""Is an event that the bridge answered `ok` in Kafka, as it came, and is what it refuses refused with a reason?"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.bridge import bridge, turns
from api.bridge.parts import split
from api.bridge.verdicts import judge
from ml_guard.decoding import EventDecoder
from ml_guard.event import EventBatch
from stream.settings import Settings
from tests.api.conftest import Door, served

MIB = 1_048_576


@pytest.fixture
def client(door: Door) -> Iterator[httpx.Client]:
    with door.client() as client:
        yield client


@pytest.fixture
def project(door: Door) -> str:
    return door.project()


def event(project: str, **more: Any) -> dict[str, Any]:
    return {"project_id": project, "model_id": "m", "timestamp": "2026-01-01T00:00:00Z", **more}


def batches(door: Door, project: str) -> list[EventBatch]:
    """The records of a project, as a worker decodes them."""
    decoder = EventDecoder()
    found = [decoder.record(value) for value in door.records()]
    assert all(isinstance(record, EventBatch) for record in found)
    return [record for record in found if record.project_id == project]


def events_of(door: Door, project: str) -> list[bytes]:
    return [bytes(raw) for batch in batches(door, project) for raw in batch.events]


def test_one_event_is_in_kafka_byte_by_byte(door: Door, client: httpx.Client, project: str) -> None:
    raw = (
        b'{ "project_id": "%b", "model_id":"m",  "timestamp":1767225600.25, "x":1.50, "features":{"a": 1e2} }'
    )
    raw %= project.encode()
    answer = client.post("/events", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert answer.json() == {"accepted": 1, "rejected": 0, "results": [{"index": 0, "status": "ok"}]}
    assert events_of(door, project) == [raw]


def test_an_array_gets_a_verdict_an_event(door: Door, client: httpx.Client, project: str) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    body = [
        event(project, features={"a": 1}),
        event(project, y_proba=1.5),
        event("nowhere"),
        event(project, timestamp="2026-01-01T00:00:00"),
        event(project, timestamp=ahead),
        event(project, features={f"f{i}": i for i in range(501)}),
        event(project, features={"b": 2}),
    ]
    answer = client.post("/events", json=body).json()
    assert (answer["accepted"], answer["rejected"]) == (2, 5)
    assert [result.get("reason") for result in answer["results"]] == [
        None,
        "invalid_event",
        "unknown_project",
        "naive_timestamp",
        "future_timestamp",
        "too_many_features",
        None,
    ]
    assert [json.loads(raw)["features"] for raw in events_of(door, project)] == [{"a": 1}, {"b": 2}]


def test_lines_of_events_are_taken_and_a_bad_line_spares_the_rest(
    door: Door, client: httpx.Client, project: str
) -> None:
    lines = b"\n".join(
        [json.dumps(event(project)).encode(), b"{not json", b"", json.dumps(event(project)).encode()]
    )
    answer = client.post("/events", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert [result.get("reason") for result in answer.json()["results"]] == [None, "invalid_json", None]
    assert len(events_of(door, project)) == 2


def test_gzip_is_unpacked_also_in_several_members(door: Door, client: httpx.Client, project: str) -> None:
    line = json.dumps(event(project)).encode() + b"\n"
    packed = gzip.compress(line * 300) + gzip.compress(line * 200)
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    assert client.post("/events", content=packed, headers=headers).json()["accepted"] == 500
    assert len(events_of(door, project)) == 500


def test_an_event_without_a_timestamp_gets_the_time_of_its_arrival(
    door: Door, client: httpx.Client, project: str
) -> None:
    before = datetime.now(UTC)
    for stamp in ({}, {"timestamp": None}):
        client.post("/events", json={"project_id": project, "model_id": "m", **stamp}).raise_for_status()
    decoder = EventDecoder()
    for raw in events_of(door, project):
        stamped = datetime.fromisoformat(str(decoder.event(raw).timestamp))
        assert before <= stamped <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {}, 422, "invalid_request"),
        (b"[1, 2", {}, 400, "invalid_json"),
        (b"\xff\xfe", {}, 422, "invalid_request"),
        (b"{}", {"Content-Type": "text/csv"}, 415, "unsupported_media_type"),
        (b"{}", {"Content-Encoding": "br"}, 415, "unsupported_media_type"),
        (b"no gzip", {"Content-Encoding": "gzip"}, 400, "invalid_encoding"),
        (gzip.compress(b"[]" * 5000, mtime=0)[:-9], {"Content-Encoding": "gzip"}, 400, "invalid_encoding"),
        (gzip.compress(b"", mtime=0) * 500, {"Content-Encoding": "gzip"}, 400, "invalid_encoding"),
        (gzip.compress(b" " * 50 * MIB, mtime=0), {"Content-Encoding": "gzip"}, 413, "payload_too_large"),
        (b" " * (8 * MIB + 1), {}, 413, "payload_too_large"),
        (b"{}", {"Idempotency-Key": "x" * 201}, 422, "invalid_request"),
        (b"{}", {"Idempotency-Key": "a b"}, 422, "invalid_request"),
    ],
)
def test_a_body_that_is_not_what_it_should_be_is_refused(
    client: httpx.Client, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = client.post("/events", content=content, headers={"Content-Type": "application/json"} | headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_body_without_a_length_is_held_to_the_limit_too(client: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(200):
            yield b" " * 65_536

    answer = client.post("/events", content=pieces(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_an_empty_array_is_nothing_and_fine(client: httpx.Client) -> None:
    assert client.post("/events", json=[]).json() == {"accepted": 0, "rejected": 0, "results": []}


def test_one_unknown_project_is_a_404(client: httpx.Client, project: str) -> None:
    for body in (event("nowhere"), [event("nowhere"), event("nowhere")]):
        answer = client.post("/events", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_project")
        assert "nowhere" in answer.json()["detail"]
    assert client.post("/events", json=[event("nowhere"), event(project)]).status_code == 200


def test_a_project_takes_events_from_the_moment_that_it_is_made(door: Door, client: httpx.Client) -> None:
    name = f"soon-{time.time_ns()}"
    assert client.post("/events", json=event(name)).status_code == 404
    client.post("/projects", json={"project_id": name, "zone": "UTC"}).raise_for_status()
    assert client.post("/events", json=event(name)).status_code == 200


def test_no_valid_event_is_a_422_with_the_verdicts_beside(client: httpx.Client, project: str) -> None:
    answer = client.post("/events", json=event(project, latency_ms=-1))
    assert answer.status_code == 422
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (0, 1)
    assert answer.json()["results"][0]["reason"] == "invalid_event"


def test_a_batch_record_has_the_idempotency_key_and_a_retry_makes_the_same(
    door: Door, client: httpx.Client, project: str
) -> None:
    body = [event(project, features={"a": i}) for i in range(3)]
    for _ in range(2):
        answer = client.post("/events", json=body, headers={"Idempotency-Key": "batch-7"})
        assert answer.json()["accepted"] == 3
    first, second = batches(door, project)
    assert (first.batch_id, first.part, first.project_id) == ("batch-7", 0, project)
    assert first == second


def test_a_large_body_goes_in_parts_that_a_retry_repeats(
    door: Door, client: httpx.Client, project: str
) -> None:
    body = [event(project, features={"text": "x" * 9_000, "i": i}) for i in range(300)]
    body[5]["y_proba"] = 7  # refused, and yet the parts are cut as if it were there
    for _ in range(2):
        answer = client.post("/events", json=body, headers={"Idempotency-Key": "large"})
        assert (answer.json()["accepted"], answer.json()["rejected"]) == (299, 1)
    records = sorted(batches(door, project), key=lambda batch: batch.part)
    assert [batch.part for batch in records] == [0, 0, 1, 1, 2, 2]
    assert all(records[i] == records[i + 1] for i in (0, 2, 4))
    found = [json.loads(bytes(raw))["features"]["i"] for batch in records[::2] for raw in batch.events]
    assert found == [i for i in range(300) if i != 5]


def test_the_rule_of_parts_is_frozen() -> None:
    sizes = [400_000, 400_000, 400_000, 999_952, 999_953, 10, 10]
    parts = [list(part) for part in split([b"x" * size for size in sizes])]
    assert parts == [[0, 1], [2], [3], [4], [5, 6]]


def test_projects_of_one_keyed_body_get_records_of_their_own(door: Door, client: httpx.Client) -> None:
    one, two = door.project(), door.project()
    body = [event(one), event(two), event(one)]
    assert client.post("/events", json=body, headers={"Idempotency-Key": "mixed"}).json()["accepted"] == 3
    assert [(b.batch_id, b.part, len(b.events)) for b in batches(door, one)] == [("mixed", 0, 2)]
    assert [(b.batch_id, b.part, len(b.events)) for b in batches(door, two)] == [("mixed", 0, 1)]


def test_many_small_requests_become_few_records(door: Door, project: str) -> None:
    with door.client(limits=httpx.Limits(max_connections=40)) as client, ThreadPoolExecutor(40) as pool:
        answers = list(
            pool.map(lambda i: client.post("/events", json=event(project, event_id=str(i))), range(400))
        )
    assert all(answer.status_code == 200 for answer in answers)
    records = batches(door, project)
    assert {record.batch_id for record in records} == {None}
    ids = [json.loads(bytes(raw))["event_id"] for record in records for raw in record.events]
    assert sorted(ids, key=int) == [str(i) for i in range(400)]
    assert len(records) < 200


def test_an_event_too_large_for_a_record_is_refused_alone(
    door: Door, client: httpx.Client, project: str
) -> None:
    body = [event(project, features={"text": "x" * MIB}), event(project)]
    answer = client.post("/events", json=body).json()
    assert [result.get("reason") for result in answer["results"]] == ["record_too_large", None]
    assert len(events_of(door, project)) == 1


def test_a_key_beyond_its_rate_is_told_when_to_come_again(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(key_events_per_s=100)
    with served(settings) as address:
        door = Door(address, settings)
        project = door.project()
        with door.client() as client:
            assert client.post("/events", json=[event(project)] * 350).status_code == 200
            refused = client.post("/events", json=event(project))
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
            assert 1 <= int(refused.headers["Retry-After"]) <= 3
        with door.client(door.key(["ingest"], [project])) as other:
            assert other.post("/events", json=event(project)).status_code == 200


def test_requests_beyond_what_is_judged_in_time_are_refused_and_those_answered_ok_are_there(
    door: Door, client: httpx.Client, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(*arguments: Any) -> Any:
        time.sleep(0.15)  # the work of a large request, which holds the loop
        return await judge(*arguments)

    def send(number: int) -> httpx.Response:
        time.sleep(number * 0.05)  # three times as fast as they are judged
        events = turns.LARGE if number < 30 else 1
        return client.post("/events", json=[event(project, event_id=str(number))] * events)

    with monkeypatch.context() as patch:
        patch.setattr(bridge, "judge", slowly)
        patch.setattr(turns, "LONGEST_S", 0.3)
        with ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(send, range(32)))
    assert [answer.status_code for answer in answers[30:]] == [200, 200], "small ones need no turn"
    assert {answer.status_code for answer in answers} == {200, 503}
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.json()["code"] for answer in refused} == {"overloaded"}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert client.post("/events", json=event(project, event_id="after")).status_code == 200
    taken = {str(i) for i, answer in enumerate(answers) if answer.status_code == 200}
    assert {json.loads(raw)["event_id"] for raw in events_of(door, project)} == {*taken, "after"}


def test_a_project_that_floods_with_large_requests_is_refused_and_another_is_taken_soon(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    flooding, other = door.project(), door.project()
    judged: list[str] = []
    came: list[int] = []
    turn = turns.Lines.turn

    async def slowly(raws: Sequence[bytes], *arguments: Any) -> Any:
        time.sleep(0.05)
        judged.append(json.loads(raws[0])["project_id"])
        return await judge(raws, *arguments)

    def noted(lines: turns.Lines, events: int, holder: str) -> Any:
        if other in holder:
            came.append(len(judged))
        return turn(lines, events, holder)

    def send(client: httpx.Client, project: str) -> int:
        return client.post("/events", json=[event(project)] * turns.LARGE).status_code

    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(monkeypatch.context())
        patch.setattr(bridge, "judge", slowly)
        patch.setattr(turns.Lines, "turn", noted)
        patch.setattr(turns, "LONGEST_S", 0.3)
        one, two = (
            stack.enter_context(door.client(door.key(["ingest"], [name]))) for name in (flooding, other)
        )
        pool = stack.enter_context(ThreadPoolExecutor(20))
        flood = [pool.submit(send, one, flooding) for _ in range(20)]
        while len(came) < 5:
            flood += [pool.submit(send, one, flooding) for found in flood[-20:] if found.done()]
            assert send(two, other) == 200
        statuses = {found.result() for found in flood}
    assert statuses == {200, 503}
    assert len(events_of(door, other)) == 5 * turns.LARGE
    at = [place for place, project in enumerate(judged) if project == other]
    waits = [place - before for place, before in zip(at, came, strict=True)]
    assert max(waits) <= 2, "the one that is judged already, and the next"


def test_a_bound_key_cannot_send_into_another_project(door: Door, project: str) -> None:
    mine = door.project()
    with door.client(door.key(["ingest"], [mine])) as client:
        answer = client.post("/events", json=[event(mine), event(project)]).json()
    assert [result.get("reason") for result in answer["results"]] == [None, "unknown_project"]
    assert events_of(door, project) == []


def test_the_bridge_counts_what_it_took_and_refused(door: Door, client: httpx.Client, project: str) -> None:
    client.post("/events", json=[event(project), event(project, y_proba=2)])
    text = httpx.get(f"{door.address}/metrics").text
    taken = re.search(r'ml_guard_bridge_events_total\{outcome="accepted"\} ([\d.]+)', text)
    refused = re.search(r'ml_guard_bridge_events_total\{outcome="invalid_event"\} ([\d.]+)', text)
    assert taken
    assert refused
    assert float(taken[1]) >= 1
    assert float(refused[1]) >= 1
    assert project not in text
