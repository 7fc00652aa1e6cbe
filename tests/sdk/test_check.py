"""Does `check()` say whether events would arrive, and if not, which of the possible causes it is?"""

from __future__ import annotations

import email.utils
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ml_guard import AsyncMLGuardClient, MLGuardClient
from ml_guard.transports.recording import RecordingTransport
from stream.settings import Settings
from tests.api.conftest import DEMO, Door, served
from tests.conftest import RunningStack, _create_topics, run_apart


@pytest.fixture(scope="module")
def door(stack: RunningStack, module_database_url: str) -> Iterator[Door]:
    name = f"events-{uuid.uuid4().hex[:12]}"
    run_apart(_create_topics(stack.kafka, name, f"{name}.dead"))
    settings = Settings(
        kafka=stack.kafka,
        database_url=module_database_url,
        topic=name,
        dead_topic=f"{name}.dead",
        demo_key=DEMO,
    )
    with served(settings) as address:
        yield Door(address, settings)


def failed(client: MLGuardClient, **options: Any) -> dict[str, str]:
    with client:
        check = client.check(**options)
    assert bool(check) == check.ok == (not check.problems)
    return {step.name: step.seen + "; " + step.cure for step in check.steps if not step.ok}


def test_a_good_setup_is_told_step_by_step(door: Door) -> None:
    project = door.project()
    key = door.key(["ingest"], [project])
    with MLGuardClient(door.address, key, project_id=project) as client:
        check = client.check()
    seen = {step.name: step for step in check.steps}
    assert list(seen) == ["address", "clock", "key", "scope", "project", "pipeline"]
    assert all(step.ok for name, step in seen.items() if name != "pipeline"), str(check)
    assert "no worker" in seen["pipeline"].seen.lower() or not seen["pipeline"].ok
    assert f"ok      project: {project} takes events of this key" in str(check)
    assert door.records() == []


def test_each_cause_is_named(door: Door) -> None:
    mine, other = door.project(), door.project()
    reader, bound = door.key(["read"], [mine]), door.key(["ingest"], [mine])
    assert "is the server running?" in failed(MLGuardClient("http://127.0.0.1:9"))["address"]
    assert "401" in failed(MLGuardClient(door.address, "wrong"))["key"]
    assert "401" in failed(MLGuardClient(door.address))["key"]
    assert "the key may only read" in failed(MLGuardClient(door.address, reader))["scope"]
    for project in (other, "nobody-made-it"):
        said = failed(MLGuardClient(door.address, bound, project_id=project))["project"]
        assert said.startswith(f"{project} is unknown, or the key is not for it; `ml-guard project create`")
    assert "project" in failed(MLGuardClient(door.address, bound), project_id=other)


def test_a_server_that_is_no_ml_guard_is_named(bridge: Any) -> None:
    bridge.always = bridge.answer(200)
    bridge.always.body = b"<html>a portal</html>"
    assert "not as ML Guard does" in failed(MLGuardClient(bridge.url))["address"]


@pytest.mark.parametrize(("skew_s", "said"), [(600, "behind"), (-600, "ahead of")])
def test_a_clock_that_is_off_is_told_by_how_much(bridge: Any, skew_s: float, said: str) -> None:
    health = bridge.answer(200, {"status": "ok"})
    bridge.date = email.utils.formatdate(time.time() + skew_s, usegmt=True)
    bridge.routes["GET", "/api/v1/health"] = [health]
    clock = failed(MLGuardClient(bridge.url))["clock"]
    assert said in clock
    assert "s the server" in clock.replace("ahead of", "s").replace("behind", "s")
    assert any(f"{seconds} s {said}" in clock for seconds in range(597, 604))


def test_kafka_and_its_topic_are_looked_at_without_making_one(kafka: str, door: Door) -> None:
    nowhere = f"nowhere-{uuid.uuid4().hex[:8]}"
    assert failed(MLGuardClient(kafka=kafka, kafka_options={"topic": door.settings.topic})) == {}
    for _ in range(2):  # the first look must not have made it
        said = failed(MLGuardClient(kafka=kafka, kafka_options={"topic": nowhere}))["topic"]
        assert f"there is no topic {nowhere}" in said
    assert "does not answer" in failed(MLGuardClient(kafka="127.0.0.1:9"), timeout_s=2)["broker"]


async def test_the_async_client_checks_too(kafka: str, door: Door) -> None:
    async with AsyncMLGuardClient(kafka=kafka, kafka_options={"topic": door.settings.topic}) as client:
        assert await client.check()


def test_a_transport_without_a_server_says_so() -> None:
    with MLGuardClient(transport=RecordingTransport()) as client:
        assert "no server that could be asked" in str(client.check())
