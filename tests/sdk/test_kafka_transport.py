"""Does a client reach Kafka by itself: durable, in order, once, and without a broker quietly?"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError, SaslAuthenticationFailed, TopicAuthorizationFailedError

from ml_guard import MLGuardClient
from ml_guard.decoding import EventDecoder
from ml_guard.errors import (
    ConnectionLostError,
    ForbiddenError,
    MissingExtraError,
    TooLargeError,
    UnauthorizedError,
)
from ml_guard.event import Event, EventBatch
from ml_guard.transports.base import Batch
from ml_guard.transports.kafka import KafkaTransport, _meaning

EVENT: dict[str, Any] = {"project_id": "p", "model_id": "m"}


@pytest.fixture
async def topic(kafka: str) -> AsyncIterator[str]:
    name = f"events-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1)])
    yield name
    await admin.delete_topics([name])
    await admin.close()


async def records(kafka: str, topic: str, count: int, timeout_s: float = 20) -> list[Any]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    got: list[Any] = []
    deadline = time.monotonic() + timeout_s
    while len(got) < count and time.monotonic() < deadline:
        for batch in (await consumer.getmany(timeout_ms=200)).values():
            got.extend(record for record in batch if record.value is not None)  # others are reports
    await consumer.stop()
    return got


def decoded(record: Any) -> list[Event]:
    decoder = EventDecoder()
    batch = decoder.record(record.value)
    assert isinstance(batch, EventBatch)
    assert batch.batch_id
    return [event for event in decoder.events(batch) if isinstance(event, Event)]


async def test_events_become_batch_records_that_a_worker_reads(kafka: str, topic: str) -> None:
    with MLGuardClient(kafka=kafka, kafka_options={"topic": topic}) as client:
        client.ingest_batch([{**EVENT, "y_pred": i} for i in range(1200)])
        client.ingest_event(**{**EVENT, "project_id": "other"})
        assert client.flush(20)
        stats = client.stats()
    assert (stats.sent, stats.retries, stats.dropped) == (1201, 0, {})
    got = await records(kafka, topic, 4)
    events = [event for record in got for event in decoded(record)]
    assert [event.y_pred for event in events[:-1]] == list(range(1200))
    assert all(record.key is None for record in got)
    assert all(len({event.project_id for event in decoded(record)}) == 1 for record in got)


async def test_what_is_left_is_sent_when_the_process_ends(kafka: str, topic: str) -> None:
    script = textwrap.dedent("""
    import sys
    from ml_guard import MLGuardClient
    client = MLGuardClient(kafka=sys.argv[1], kafka_options={"topic": sys.argv[2]})
    for i in range(700):
        client.ingest_event(project_id="p", model_id="m", y_pred=i)
    """)
    servers = kafka.replace("127.0.0.1", "localhost")  # a name, which asyncio looks up in its thread pool
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, servers, topic],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    events = [event for record in await records(kafka, topic, 2) for event in decoded(record)]
    assert [event.y_pred for event in events] == list(range(700))


async def test_a_forked_child_has_a_producer_of_its_own(kafka: str, topic: str) -> None:
    script = textwrap.dedent("""
    import os, sys
    from ml_guard import MLGuardClient
    client = MLGuardClient(kafka=sys.argv[1], kafka_options={"topic": sys.argv[2]})
    def send(endpoint):
        for i in range(10):
            client.ingest_event(project_id="p", model_id="m", endpoint=endpoint)
        return client.close(20)
    client.ingest_event(project_id="p", model_id="m", endpoint="parent")
    assert client.flush(20)
    if os.fork() == 0:
        sys.exit(0 if send("child") else 1)
    assert os.wait()[1] == 0
    assert send("parent") and client.stats().retries == 0
    """)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, kafka, topic],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    endpoints = [event.endpoint for record in await records(kafka, topic, 3) for event in decoded(record)]
    assert (endpoints.count("parent"), endpoints.count("child")) == (11, 10)


async def test_a_batch_that_is_tried_again_is_not_sent_twice(kafka: str, topic: str) -> None:
    transport = KafkaTransport(kafka, topic)
    transport.send(Batch("b-0", "p", (b"{}",)), 20)
    batch = Batch("b-1", "p", (b'{"project_id":"p","model_id":"m"}',))
    with pytest.raises(ConnectionLostError, match="did not answer within"):
        transport.send(batch, 0.0)
    transport.send(batch, 20)
    transport.close()
    assert len(await records(kafka, topic, 3, timeout_s=3)) <= 2


def test_a_missing_broker_is_retried_and_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    with MLGuardClient(kafka="127.0.0.1:9") as client:
        assert client.ingest_event(**EVENT)
        assert not client.flush(1.5)
        assert client.stats().retries >= 1
        start = time.monotonic()
    assert time.monotonic() - start < 4
    assert client.stats().dropped == {"unsent_at_close": 1}
    assert "Kafka at 127.0.0.1:9" in caplog.text


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (MessageSizeTooLargeError(), TooLargeError),
        (TopicAuthorizationFailedError(), ForbiddenError),
        (SaslAuthenticationFailed(), UnauthorizedError),
        (OSError("x"), ConnectionLostError),
    ],
)
def test_errors_of_kafka_mean(error: Exception, meaning: type) -> None:
    assert type(_meaning(error, "why")) is meaning


def test_a_missing_extra_is_said_when_the_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiokafka", None)
    with pytest.raises(MissingExtraError, match=r'pip install "ml-guard\[kafka\]"'):
        MLGuardClient(kafka="127.0.0.1:9092")
