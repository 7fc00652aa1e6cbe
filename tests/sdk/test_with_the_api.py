"""Do the SDK and the real API understand each other, over real HTTP, before a real broker and database?"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from ml_guard import AsyncMLGuardClient, MLGuardClient
from ml_guard.decoding import EventDecoder
from ml_guard.errors import ConflictError, InvalidError, NotFoundError, UnauthorizedError
from ml_guard.event import EventBatch
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


@pytest.fixture
def client(door: Door) -> Iterator[MLGuardClient]:
    with MLGuardClient(door.address, DEMO) as made:
        yield made


def batches(door: Door, project_id: str) -> list[EventBatch]:
    records = [EventDecoder().record(raw) for raw in door.records()]
    return [r for r in records if isinstance(r, EventBatch) and r.project_id == project_id]


def test_what_the_bridge_acknowledged_is_in_the_topic_under_the_clients_batch_id(
    door: Door, client: MLGuardClient
) -> None:
    project = door.project()
    client.ingest_batch([{"project_id": project, "model_id": "m", "y_pred": i} for i in range(1200)])
    assert client.flush(20)
    assert client.stats().sent == 1200
    written = batches(door, project)
    assert all(batch.batch_id for batch in written)
    assert sum(len(batch.events) for batch in written) == 1200


@pytest.mark.parametrize(
    ("key", "reason", "said"),
    [
        (lambda door, project: "wrong", "unauthorized", "the API key is missing, wrong or revoked"),
        (lambda door, project: door.key(["read"], [project]), "forbidden", "the key may not send events"),
        (lambda door, project: door.key(["ingest"], ["other"]), "not_found", "is unknown"),
    ],
    ids=["a wrong key", "too small a scope", "another project's key"],
)
def test_a_door_that_stays_shut_is_explained(
    door: Door, key: Callable[[Door, str], str], reason: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    project = door.project()
    door.project("UTC")
    with door.client() as http:
        http.post("/projects", json={"project_id": "other", "zone": "UTC"})
    with MLGuardClient(door.address, key(door, project)) as client:
        client.ingest_event(project_id=project, model_id="m")
        assert client.flush(20)
        assert client.stats().dropped == {reason: 1}
    assert said in caplog.text


def test_an_unknown_project_is_explained(client: MLGuardClient, caplog: pytest.LogCaptureFixture) -> None:
    client.ingest_event(project_id="nobody-made-it", model_id="m")
    assert client.flush(20)
    assert client.stats().dropped == {"not_found": 1}
    assert "project nobody-made-it is unknown" in caplog.text


def test_an_event_that_the_server_refuses_is_counted_by_its_reason(door: Door, client: MLGuardClient) -> None:
    project = door.project()
    for timestamp in ("2025-01-01T00:00:00Z", "2400-01-01T00:00:00Z"):
        client.ingest_event(project_id=project, model_id="m", timestamp=timestamp)
    assert client.flush(20)
    stats = client.stats()
    assert (stats.sent, stats.rejected) == (1, {"future_timestamp": 1})


def test_projects_and_keys_live_their_lives(client: MLGuardClient, door: Door) -> None:
    name = f"p-{uuid.uuid4().hex[:8]}"
    made = client.projects.create(name, zone="America/Toronto", name="Ours")
    assert (made.project_id, made.zone, made.name) == (name, "America/Toronto", "Ours")
    assert client.projects.get(name) == made
    assert name in [project.project_id for project in client.projects.list()]
    changed = client.projects.update(name, zone="Europe/Paris")
    assert [period.zone for period in changed.zones] == ["America/Toronto", "Europe/Paris"]
    assert changed.zones[1].effective_from is not None
    with pytest.raises(ConflictError):
        client.projects.create(name, zone="UTC")
    with pytest.raises(InvalidError, match="zone"):
        client.projects.create("another", zone="Mars/Olympus")
    with pytest.raises(NotFoundError):
        client.projects.get("nobody-made-it")

    key = client.keys.create("serving", scopes=["ingest"], project_ids=[name])
    with MLGuardClient(door.address, key.key) as other:
        assert other.keys.current().key_id == key.key_id
        client.keys.revoke(key.key_id)
        with pytest.raises(UnauthorizedError):
            other.keys.current()
    assert [k.revoked_at is not None for k in client.keys.list() if k.key_id == key.key_id] == [True]


async def test_every_reading_method_answers_on_an_empty_project(door: Door) -> None:
    project = door.project()
    async with AsyncMLGuardClient(door.address, DEMO) as client:
        assert (await client.health()).status == "ok"
        assert (await client.ready()).broker is not None
        assert await client.models(project_id=project) == []
        assert await client.metrics_daily(project_id=project, from_="2025-01-01", to="2025-01-31") == []
        assert await client.features_daily(project_id=project, feature="age") == []
        assert await client.drift_daily(project_id=project, verdict=["drift", "warning"], bins=True) == []
        assert await client.baselines.list(project_id=project) == []
        assert await client.dead_letters.list(project_id=project, replayed=False) == []
        assert (await client.ledger(project_id=project)).items == []
        assert await client.ledger_days(project_id=project) == []
        setting = await client.feature_settings.set(project_id=project, feature="id", ignored=True)
        assert await client.feature_settings.list(project_id=project) == [setting]
        await client.feature_settings.delete(project_id=project, feature="id")
        assert await client.feature_settings.list(project_id=project) == []
        async for event in client.live(project_id=project):
            assert event.event == "hello"
            break
