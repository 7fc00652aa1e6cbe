"""The broker is killed, away, cut off, or its acknowledgements are lost: what was answered `ok` is counted once."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.events import PROJECTS, event_json, make_projects, produce
from bench.fleet import Fleet
from stream.settings import Settings
from tests.api.conftest import DEMO, Door, served
from tests.chaos.lasting import lasting
from tests.chaos.site import OwnBroker, check, until
from tests.conftest import run_apart

pytestmark = [pytest.mark.stack, pytest.mark.timeout(lasting(400, 1_500))]
ACK_S = 1.0


@asynccontextmanager
async def reading(own_broker: OwnBroker, database_url: str, folder: Path) -> AsyncIterator[Fleet]:
    """A worker of a new topic, behind the proxy, that has claimed its partitions."""
    await make_projects(database_url, PROJECTS)
    with Fleet(own_broker.kafka, database_url, await own_broker.topic(), folder / "workers") as fleet:
        fleet.start(ML_GUARD_KAFKA=own_broker.behind)
        await fleet.reading()
        yield fleet


@pytest.mark.chaos
async def test_a_broker_that_is_killed_and_away_for_minutes_loses_nothing(
    own_broker: OwnBroker, database_url: str, tmp_path: Path
) -> None:
    away_s = lasting(15, 300)
    async with reading(own_broker, database_url, tmp_path) as fleet:
        producing = asyncio.ensure_future(produce(fleet.kafka, fleet.topic, range(3_000), rate=1_000))
        await until(lambda: _moved(fleet), "some is written")
        await producing
        assert own_broker.kill() == -signal.SIGKILL
        await asyncio.sleep(away_s)
        own_broker.start()
        await produce(fleet.kafka, fleet.topic, range(3_000, 6_000))
        await fleet.drained(wait_s=180, meanwhile=lambda: supervise(fleet, own_broker))
        await check(database_url, range(6_000))


def supervise(fleet: Fleet, broker: OwnBroker) -> None:
    """Start the worker again if it has ended, as the supervisor does."""
    if fleet.processes[-1].poll() is not None:
        fleet.start(ML_GUARD_KAFKA=broker.behind)


async def _moved(fleet: Fleet) -> bool:
    return any((await fleet.fences()).values())


@pytest.mark.chaos
async def test_a_worker_whose_connections_to_kafka_are_cut_stalled_and_throttled_counts_exactly(
    own_broker: OwnBroker, database_url: str, tmp_path: Path
) -> None:
    proxy, cuts, stalls_s = own_broker.proxy, int(lasting(4, 30)), lasting(6, 60)
    events = int(cuts + stalls_s + 10) * 1_000  # to the end of all that happens, and beyond
    async with reading(own_broker, database_url, tmp_path) as fleet:
        producing = asyncio.ensure_future(produce(fleet.kafka, fleet.topic, range(events), rate=1_000))
        for _ in range(cuts):
            before = proxy.cuts
            proxy.cut()
            assert proxy.cuts > before
            await asyncio.sleep(1)
        proxy.half_open = True
        await asyncio.sleep(stalls_s)
        proxy.half_open = False
        assert proxy.swallowed > 0
        proxy.cut()  # whoever waits for a reply that was swallowed would wait for its timeout
        proxy.bytes_per_s = 500_000
        await producing
        await fleet.drained(wait_s=180, meanwhile=lambda: supervise(fleet, own_broker))
        assert proxy.throttled > proxy.bytes_per_s
        proxy.bytes_per_s = None
        await check(database_url, range(events))


@pytest.fixture
def bridge(own_broker: OwnBroker, database_url: str) -> Iterator[Door]:
    """The API, its producer behind the proxy."""
    run_apart(make_projects(database_url, PROJECTS))
    topics: list[str] = []

    async def make() -> None:
        topics.append(await own_broker.topic())

    run_apart(make())
    settings = Settings(
        kafka=own_broker.behind, database_url=database_url, topic=topics[0], demo_key=DEMO, bridge_ack_s=ACK_S
    )
    with served(settings) as address:
        yield Door(address, settings.model_copy(update={"kafka": own_broker.kafka}))


async def test_a_lost_acknowledgement_and_the_clients_retry_count_once(
    own_broker: OwnBroker, bridge: Door, tmp_path: Path
) -> None:
    """The record is in Kafka, the client hears 503 and sends the same batch again, which is then there twice."""
    body = b"[" + b",".join(event_json(number) for number in range(0, 20, 2)) + b"]"
    headers = {"Idempotency-Key": "once", "Content-Type": "application/json"}
    other = {"Idempotency-Key": "before", "Content-Type": "application/json"}
    with bridge.client() as client:
        client.post("/events", content=b"[" + event_json(20) + b"]", headers=other).raise_for_status()
        own_broker.proxy.half_open = True
        try:
            answer = client.post("/events", content=body, headers=headers)
            assert answer.status_code == 503
            assert own_broker.proxy.swallowed > 0
        finally:
            own_broker.proxy.half_open = False
            own_broker.proxy.cut()
        deadline = time.monotonic() + 60
        while client.post("/events", content=body, headers=headers).status_code != 200:
            assert time.monotonic() < deadline, "the bridge takes nothing any more"
            time.sleep(0.2)
    copies = [json.loads(record)["batch_id"] for record in bridge.records()].count("once")
    assert copies >= 2
    settings = bridge.settings
    with Fleet(settings.kafka, settings.database_url, settings.topic, tmp_path / "workers") as fleet:
        worker = fleet.start()
        await fleet.drained()
        assert fleet.terminate(worker) == 0
    await check(settings.database_url, range(0, 22, 2))
