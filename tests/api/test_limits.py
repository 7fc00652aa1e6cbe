"""Can one key, project or address keep the others waiting? Limits over real HTTP, with keys of two projects."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from api.database import ASKER, Database
from api.problems import Problem
from stream.settings import Settings
from tests.api.conftest import Door, served
from tests.chaos.native import Native

MIB = 1_048_576
SHARE = MIB // 2
"""Of a buffer of 1 MiB; a body may have half of it."""


@pytest.fixture(scope="module")
def door(make_settings: Callable[..., Settings]) -> Iterator[Door]:
    """An API with low limits."""
    settings = make_settings(
        key_requests_per_s=10, wrong_keys_per_s=2, key_events_per_s=5, bridge_buffer_bytes=MIB
    )
    with served(settings) as address:
        yield Door(address, settings)


@pytest.fixture
def pair(door: Door) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Clients of two projects; each names its own in `project_id`."""
    names = [door.project(), door.project()]
    clients = [
        door.client(door.key(["ingest", "read"], [name]), params={"project_id": name}) for name in names
    ]
    with clients[0] as flooding, clients[1] as other:
        yield flooding, other


def counted(door: Door, code: str, limit: str) -> float:
    """Requests that this limit turned away, as `/metrics` has it."""
    text = httpx.get(f"{door.address}/metrics").text
    line = f'ml_guard_api_limited_total{{code="{code}",limit="{limit}"}} '
    return float(text.split(line)[1].split()[0]) if line in text else 0.0


def refused(answer: httpx.Response, status: int, limit: str) -> bool:
    """Whether the answer says which limit it was, and when to come again."""
    if answer.status_code != status:
        return False
    assert answer.json()["limit"] == limit
    assert int(answer.headers["Retry-After"]) >= 1
    return True


def event(client: httpx.Client, size: int = 0) -> bytes:
    project = client.params["project_id"]
    return json.dumps({"project_id": project, "model_id": "m", "features": {"text": "x" * size}}).encode()


def answered(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer, once no limit is in the way."""
    deadline = time.monotonic() + 60
    while (answer := ask()).status_code == 429:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)
    return answer


def test_a_key_that_floods_with_questions_waits_and_another_does_not(
    door: Door, pair: tuple[httpx.Client, httpx.Client]
) -> None:
    flooding, other = pair
    before = counted(door, "rate_limited", "key_requests_per_s")
    late = sum(refused(flooding.get("/models"), 429, "key_requests_per_s") for _ in range(80))
    assert late > 20
    assert other.get("/models").status_code == 200
    assert counted(door, "rate_limited", "key_requests_per_s") == before + late
    assert answered(lambda: flooding.get("/models")).status_code == 200


def test_a_key_that_floods_with_events_waits_and_another_does_not(
    door: Door, pair: tuple[httpx.Client, httpx.Client]
) -> None:
    flooding, other = pair
    answers = [flooding.post("/events", content=event(flooding)) for _ in range(40)]
    assert sum(refused(answer, 429, "key_events_per_s") for answer in answers) > 10
    assert other.post("/events", content=event(other)).json()["accepted"] == 1
    assert counted(door, "rate_limited", "key_events_per_s") > 10


def test_bodies_that_are_refused_count_as_requests(pair: tuple[httpx.Client, httpx.Client]) -> None:
    flooding, other = pair
    answers = [flooding.post("/events", content=b"[" * 1000) for _ in range(60)]
    assert {answer.status_code for answer in answers} == {400, 429}
    assert other.post("/events", content=event(other)).status_code == 200


def test_wrong_keys_of_an_address_are_looked_up_slowly_and_good_ones_at_once(door: Door) -> None:
    good, unused = door.key(["read"]), door.key(["read"])
    with door.client(good) as known:
        assert known.get("/keys/current").status_code == 200
        guesses = []
        for number in range(30):
            with door.client(f"mlg_{number:043}") as guessing:
                guesses.append(guessing.get("/keys/current"))
        assert guesses[0].status_code == 401
        assert sum(refused(answer, 429, "wrong_keys_per_s") for answer in guesses) > 10
        assert known.get("/keys/current").status_code == 200
    with door.client(unused) as late:
        assert answered(lambda: late.get("/keys/current")).status_code == 200
    assert counted(door, "rate_limited", "wrong_keys_per_s") > 10


@contextlib.contextmanager
def unfinished(door: Door, client: httpx.Client, size: int, to: str = "/events") -> Iterator[None]:
    """A body of which this much has arrived, and the rest never does."""
    where = urlsplit(door.address)
    head = (
        f"POST /api/v1{to} HTTP/1.1\r\nHost: {where.netloc}\r\nX-API-Key: {client.headers['X-API-Key']}\r\n"
        f"Content-Type: application/x-ndjson\r\nContent-Length: {size + 1}\r\n\r\n"
    )
    with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
        connection.sendall(head.encode() + b" " * size)
        yield


def held(door: Door) -> float:
    """Bytes that the bridge holds."""
    text = httpx.get(f"{door.address}/metrics").text
    return float(text.split("\nml_guard_bridge_buffer_bytes ")[1].split()[0])


def test_a_project_that_fills_its_share_of_the_buffer_leaves_the_rest_to_others(
    door: Door, pair: tuple[httpx.Client, httpx.Client]
) -> None:
    flooding, other = pair
    part = SHARE // 2 - 2_000
    with unfinished(door, flooding, part), unfinished(door, flooding, part):
        deadline = time.monotonic() + 30
        while held(door) < 2 * part:
            assert time.monotonic() < deadline
        assert refused(flooding.post("/events", content=event(flooding, 50_000)), 503, "bridge_project_share")
        taken = other.post("/events", content=event(other, 200_000))
        assert taken.json()["accepted"] == 1, taken.text
    assert counted(door, "buffer_full", "bridge_project_share") == 1
    while held(door):
        assert time.monotonic() < deadline + 30
    assert answered(lambda: flooding.post("/events", content=event(flooding, 50_000))).status_code == 200


def test_a_project_whose_data_set_does_not_end_leaves_a_turn_to_others(
    door: Door, pair: tuple[httpx.Client, httpx.Client]
) -> None:
    flooding, other = pair
    path = "/baselines/from-data/preview"
    column = b'{"feature": "age", "values": [1, 2, 3]}'

    def send(client: httpx.Client) -> httpx.Response:
        headers = {"Content-Type": "application/x-ndjson"}
        return client.post(path, params={**client.params, "model_id": "m"}, content=column, headers=headers)

    with unfinished(door, flooding, 100, f"{path}?project_id={flooding.params['project_id']}&model_id=m"):
        deadline = time.monotonic() + 30
        while send(flooding).status_code != 503:
            assert time.monotonic() < deadline
        assert send(flooding).json()["code"] == "buffer_full"
        assert send(other).status_code == 200


def test_a_body_that_can_never_fit_is_too_large_rather_than_to_be_sent_again(
    door: Door, pair: tuple[httpx.Client, httpx.Client]
) -> None:
    answer = pair[1].post("/events", content=event(pair[1], SHARE // 2))
    assert (answer.status_code, answer.json()["limit"]) == (413, "max_body_bytes")
    assert counted(door, "payload_too_large", "max_body_bytes") == 1


@pytest.fixture(scope="module")
def several_backends() -> Iterator[str]:
    """A database that can be asked two things at once, which the embedded one cannot."""
    with Native() as server:
        yield server.url("postgres")


async def test_a_question_that_takes_too_long_is_ended_with_advice(several_backends: str) -> None:
    database = Database(several_backends, statement_s=0.2)
    await database.open()
    with pytest.raises(Problem, match="fewer days") as problem:
        async with database.connection() as connection:
            await connection.execute("select pg_sleep(60)")
    assert (problem.value.status, problem.value.code) == (503, "query_too_long")
    async with database.connection() as connection:
        asleep = "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sl%'"
        assert await connection.fetchval(asleep) == 0
    await database.close()


async def test_a_key_with_many_long_questions_leaves_a_connection_to_another(
    several_backends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(several_backends)
    await database.open()
    done: list[str] = []

    async def ask(who: str, statement: str) -> None:
        ASKER.set(who)
        async with database.connection() as connection:
            await connection.execute(statement)
        done.append(who)

    flood = [asyncio.create_task(ask("one", "select pg_sleep(0.3)")) for _ in range(8)]
    await asyncio.sleep(0.1)
    await asyncio.create_task(ask("another", "select 1"))
    assert done.count("one") < 8, "it waited for all of them"
    await asyncio.gather(*flood)
    assert done.count("one") == 8
    monkeypatch.setattr("api.database.ACQUIRE_S", 0.2)
    flood = [asyncio.create_task(ask("one", "select pg_sleep(1)")) for _ in range(3)]
    ends = await asyncio.gather(*flood, return_exceptions=True)
    assert [end.code for end in ends if isinstance(end, Problem)] == ["rate_limited"]
    assert done.count("one") == 10
    await database.close()
