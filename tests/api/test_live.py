"""Does the live stream tell each change to those who may see it, once, and without growing for those who do not read?"""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.database import Database
from api.feed import LISTENERS, LISTENERS_OF_ONE, QUEUE, Feed, Listener
from api.problems import Problem
from tests.api.conftest import Door

START = datetime(2026, 1, 1, tzinfo=UTC)


def write(door: Door, project: str, requests: int, model: str = "m", day: int = 0) -> int:
    """A rollup's write of a day; returns its change."""
    ((change,),) = door.sql(
        """insert into ml_guard.metric_day (project_id, model_id, endpoint, day_start, day, day_end, zone, revision,
            status, requests) values ($1, $2, 'predict', $3, $4, $5, 'UTC', 0, 'provisional', $6)
        on conflict (project_id, model_id, endpoint, day_start) do update set requests = excluded.requests,
            change_id = nextval('ml_guard.result_change') returning change_id""",
        project,
        model,
        START + timedelta(days=day),
        (START + timedelta(days=day)).date(),
        START + timedelta(days=day + 1),
        requests,
    )
    return int(change)


class Stream:
    """A live stream, read in a thread."""

    def __init__(self, door: Door, key: str, params: dict[str, Any], headers: dict[str, str]) -> None:
        self._events: queue.Queue[tuple[str, str | None, Any] | None] = queue.Queue()
        self._client = door.client(key)
        self._thread = threading.Thread(target=self._read, args=(params, headers), daemon=True)
        self._thread.start()
        self.hello = self.next()

    def _read(self, params: dict[str, Any], headers: dict[str, str]) -> None:
        try:
            with self._client.stream("GET", "/live", params=params, headers=headers) as answer:
                self._socket = answer.extensions["network_stream"].get_extra_info("socket")
                event: dict[str, str] = {}
                for line in answer.iter_lines():
                    if line == "" and "data" in event:
                        self._events.put((event["event"], event.get("id"), json.loads(event["data"])))
                        event = {}
                    elif not line.startswith(":") and line:
                        name, _, value = line.partition(": ")
                        event[name] = value
        except (httpx.HTTPError, OSError):
            pass
        finally:
            self._events.put(None)

    def next(self, timeout_s: float = 5) -> tuple[str, str | None, Any] | None:
        """The next event; None when the stream ended."""
        return self._events.get(timeout=timeout_s)

    def is_silent(self, for_s: float = 0.8) -> bool:
        try:
            self._events.get(timeout=for_s)
        except queue.Empty:
            return True
        return False

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the reader
        self._thread.join(5)
        self._client.close()


@contextmanager
def live(door: Door, key: str = "demo-key", last: int | None = None, **params: Any) -> Iterator[Stream]:
    stream = Stream(door, key, params, {} if last is None else {"Last-Event-ID": str(last)})
    yield stream
    stream.close()


def test_a_change_is_told_within_a_second(door: Door) -> None:
    project = door.project()
    with live(door, project_id=project) as stream:
        assert stream.hello is not None
        assert stream.hello[0] == "hello"
        began = time.monotonic()
        change = write(door, project, 7)
        event = stream.next()
        assert event is not None
        assert time.monotonic() - began < 1.0
        assert (event[0], event[1]) == ("metric", str(change))
        assert (event[2]["requests"], event[2]["day"], event[2]["status"]) == (7, "2026-01-01", "provisional")


def test_a_reader_hears_of_its_own_projects_only(door: Door) -> None:
    mine, other = door.project(), door.project()
    with live(door, door.key(["read"], [mine])) as stream:
        write(door, other, 1)
        write(door, mine, 2)
        event = stream.next()
        assert event is not None
        assert event[2]["project_id"] == mine
        assert stream.is_silent()


def test_a_reader_of_one_model_hears_of_that_one(door: Door) -> None:
    project = door.project()
    with live(door, project_id=project, model_id="b") as stream:
        write(door, project, 1, "a")
        write(door, project, 2, "b")
        event = stream.next()
        assert event is not None
        assert event[2]["model_id"] == "b"


def test_a_reader_that_comes_back_hears_what_it_missed_and_nothing_twice(door: Door) -> None:
    project = door.project()
    seen = write(door, project, 1)
    write(door, project, 2, "other", day=1)
    write(door, door.project(), 3)
    write(door, project, 4, day=2)
    with live(door, last=seen, project_id=project) as stream:
        assert [stream.next()[2]["requests"] for _ in range(2)] == [2, 4]  # type: ignore[index]
        write(door, project, 5, day=2)
        event = stream.next()
        assert event is not None
        assert event[2]["requests"] == 5
        assert stream.is_silent()


def test_a_reader_that_comes_back_from_another_database_reads_anew(door: Door) -> None:
    with live(door, last=10**12) as stream:
        event = stream.next()
        assert event is not None
        assert event[0] == "resync"


def test_a_revoked_key_ends_its_stream(door: Door) -> None:
    with door.client() as admin:
        made = admin.post("/keys", json={"name": "k", "scopes": ["read"], "project_ids": None}).json()
        with live(door, made["key"]) as stream:
            admin.delete(f"/keys/{made['key_id']}").raise_for_status()
            assert stream.next(10) is None


def test_nobody_listens_when_all_have_gone(door: Door) -> None:
    def listeners() -> str:
        text = httpx.get(f"{door.address}/metrics").text
        return next(line for line in text.splitlines() if line.startswith("ml_guard_api_live_listeners "))

    with live(door):
        assert listeners() != "ml_guard_api_live_listeners 0.0"
    for _ in range(50):
        if listeners() == "ml_guard_api_live_listeners 0.0":
            return
        time.sleep(0.1)
    raise AssertionError("a stream that was closed is still listened to")


async def test_a_slow_reader_is_told_to_read_anew_and_holds_no_more_than_its_queue() -> None:
    listener = Listener(lambda row: True)
    for change in range(QUEUE):
        listener.offer(("metric", {"change_id": change}))
    assert listener.lost is None
    for change in range(10_000):
        listener.offer(("metric", {"change_id": change}))
    assert listener.lost is not None
    assert await listener.take(0.1) == []


async def test_the_number_of_streams_is_bounded() -> None:
    feed = Feed(Database("postgresql://nowhere"))
    feed._listeners.update(Listener(lambda row: True) for _ in range(LISTENERS))
    with pytest.raises(Problem, match="too_many_streams"):
        await feed.join(lambda row: True, "a key")


async def test_one_key_cannot_have_all_streams() -> None:
    feed = Feed(Database("postgresql://nowhere"))
    feed._poller = asyncio.create_task(asyncio.sleep(60))
    for _ in range(LISTENERS_OF_ONE):
        await feed.join(lambda row: True, "a key")
    with pytest.raises(Problem, match="of this key"):
        await feed.join(lambda row: True, "a key")
    await feed.join(lambda row: True, "another")
    await feed.close()
