"""Do all that speak to Kafka get in by TLS, user and certificate, and does nobody else?"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bench.fleet import Fleet
from ml_guard import MLGuardClient
from ml_guard.errors import ForbiddenError
from ml_guard.replay.produce import produce
from ml_guard.replay.record import Record
from ml_guard.transports.base import Batch
from ml_guard.transports.kafka import KafkaTransport
from ml_guard.transports.kafka_security import options, options_of_environment
from stream.kafka import NoBrokerError
from stream.settings import Settings
from stream.topics import ensure_topics
from tests.api.conftest import DEMO, Door, served
from tests.conftest import as_role, run_apart
from tests.doors.secured import KEY_PASSWORD, PAGE, PASSWORD, SecuredBroker, variables

WAIT_S = 60
WORKER, API, SHOP = "ml_guard_worker", "ml_guard_api", "shop"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """With the topics, made by who may do all, and the rights that docs/security.md gives to everybody else."""
    with SecuredBroker(tmp_path_factory.mktemp("secured")) as broker:
        run_apart(prepared(broker))
        yield broker


async def prepared(broker: SecuredBroker) -> None:
    assert len(await ensure_topics(Settings(kafka=broker.at.plain))) == 2
    await broker.allow(PAGE.read_text())


def kafka_settings(given: dict[str, str]) -> dict[str, Any]:
    return {f"kafka_{name}": value for name, value in given.items()}


def settled(door: Door, project: str) -> dict[str, int]:
    with door.client() as api:
        rows = api.get("/metrics/daily", params={"project_id": project}).json()["items"]
    return {row["model_id"]: row["requests"] for row in rows}


def ml_guard(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "ml-guard"), *words]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def test_worker_bridge_sdk_dead_letters_and_doctor_work_by_tls_user_and_certificate(
    secured: SecuredBroker, module_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        kafka=secured.at.sasl,
        database_url=module_database_url,
        demo_key=DEMO,
        **kafka_settings(secured.as_user(API, "PLAIN")),
    )
    worker = kafka_settings(secured.as_user(WORKER)) | {"group": "ml_guard"}
    with (
        Fleet(
            secured.at.sasl, as_role(module_database_url, "ml_guard_worker"), settings.topic, tmp_path, worker
        ) as fleet,
        served(settings) as address,
    ):
        fleet.start()
        door = Door(address, settings)
        project = door.project()
        event = {"project_id": project, "features": {"age": 1}}
        with door.client() as api:
            answer = api.post("/events", json={**event, "model_id": "bridge"})
            assert answer.json()["accepted"] == 1, answer.text
        for name, value in variables(secured.as_user(SHOP, "SCRAM-SHA-256")).items():
            monkeypatch.setenv(name, value)
        with MLGuardClient(kafka=secured.at.sasl) as client:
            assert client.check().ok, client.check()
            client.ingest_event(**event, model_id="user")
            client.ingest_event(project_id="nobody", model_id="m")
            assert client.flush(20)
        value = json.dumps({**event, "model_id": "replay"}).encode()
        run_apart(replayed(Record(value, at_us=0, slot=0), secured.at.sasl))
        with MLGuardClient(kafka=secured.at.tls, kafka_options=options(secured.certified())) as client:
            client.ingest_event(**event, model_id="certificate")
            assert client.flush(20)
            assert client.stats().dropped == {}
        wanted = {"bridge": 1, "user": 1, "replay": 1, "certificate": 1}
        deadline = time.monotonic() + WAIT_S
        while settled(door, project) != wanted:
            assert time.monotonic() < deadline, (settled(door, project), fleet.logs())
            time.sleep(0.2)
        with door.client() as api:
            (letter,) = api.get("/dead-letters").json()["items"]
            shown = api.get(f"/dead-letters/{letter['id']}").json()
            assert "nobody" in json.dumps(shown)
            kept = api.delete(f"/projects/{project}", params={"confirm": project})
            assert [topic["topic"] for topic in kept.json()["kafka"]], kept.text
        done = ml_guard(
            "doctor",
            "--json",
            ML_GUARD_KAFKA=secured.at.sasl,
            ML_GUARD_DATABASE_URL=module_database_url,
            ML_GUARD_API_PORT=address.rpartition(":")[2],
            **variables(secured.as_user(API, "PLAIN")),
        )
        found = {finding["what"]: finding for finding in json.loads(done.stdout)["findings"]}
        assert found["broker"]["ok"], found
        assert found["topic ml_guard.events"]["ok"], found
        assert found["topic ml_guard.events.dead"]["ok"], found
        said = fleet.logs()
    assert PASSWORD not in said


async def replayed(record: Record, kafka: str) -> None:
    """As `ml-guard replay` sends, with the environment's settings."""
    assert len((await produce([record], kafka)).positions) == 1


async def test_a_user_writes_to_its_own_topic_and_no_other(secured: SecuredBroker) -> None:
    await ensure_topics(Settings(kafka=secured.at.plain, topic="shop.events", dead_topic="bank.events"))
    made = options(secured.as_user(SHOP))
    for topic, refused in (("shop.events", False), ("bank.events", True)):
        transport = KafkaTransport(secured.at.sasl, topic, **made)
        try:
            with pytest.raises(ForbiddenError) if refused else nullcontext():
                await asyncio.to_thread(transport.send, Batch("b", "shop", (b"{}",)), 20)
        finally:
            transport.close()


REFUSED = {
    "a wrong password": ({"password": PASSWORD + "nobody"}, "does not know the user shop with this password"),
    "another mechanism's user": (
        {"sasl_mechanism": "PLAIN"},
        "does not know the user shop with this password",
    ),
    "an authority that signed nothing": ({"ca_file": "stranger"}, "is not trusted"),
    "plain text": ({"security_protocol": "PLAINTEXT"}, "it may want TLS"),
    "a user in plain text": ({"security_protocol": "SASL_PLAINTEXT"}, "it may want TLS"),
    "a certificate where a user is wanted": ({"security_protocol": "SSL"}, "it may want a user"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_who_does_not_belong_is_refused_in_words_without_a_secret(
    secured: SecuredBroker, what: str
) -> None:
    changed, words = REFUSED[what]
    given = secured.as_user(SHOP) | changed
    if given["ca_file"] == "stranger":
        given["ca_file"] = str(secured.stranger.certificate)
    if "SASL" not in given["security_protocol"]:
        del given["user"], given["password"]
    if "SSL" not in given["security_protocol"]:
        del given["ca_file"]
    with pytest.raises(NoBrokerError) as refused:
        await ensure_topics(Settings(kafka=secured.at.sasl, **kafka_settings(given)))
    assert words in str(refused.value)
    assert PASSWORD not in str(refused.value)
    seen = MLGuardClient(kafka=secured.at.sasl, kafka_options=options(given)).check(timeout_s=10)
    assert words in str(seen)
    assert PASSWORD not in str(seen)


async def test_a_broker_that_asks_for_a_certificate_refuses_who_has_none(secured: SecuredBroker) -> None:
    given = {"security_protocol": "SSL", "ca_file": str(secured.authority.certificate)}
    with pytest.raises(NoBrokerError, match="it may want a certificate of ours"):
        await ensure_topics(Settings(kafka=secured.at.tls, **kafka_settings(given)))
    certificate, key = secured.stranger.signed("client", SHOP)
    given |= {"cert_file": str(certificate), "key_file": str(key)}
    with pytest.raises(NoBrokerError):
        await ensure_topics(Settings(kafka=secured.at.tls, **kafka_settings(given)))


def test_worker_doctor_client_and_migrate_say_why_and_no_secret(
    secured: SecuredBroker, module_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = variables(secured.as_user(SHOP) | {"password": PASSWORD + "nobody"})
    environment = {"ML_GUARD_KAFKA": secured.at.sasl, "ML_GUARD_DATABASE_URL": module_database_url, **wrong}
    words = "does not know the user shop with this password"
    worker = subprocess.run(
        [sys.executable, "-m", "stream"],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert worker.returncode == 1
    for said in (
        worker.stdout + worker.stderr,
        ml_guard("doctor", "--json", **environment).stdout,
        " ".join(ml_guard("migrate", "--topics", **environment).stderr.split()),
    ):
        assert words in said
        assert "Traceback" not in said
        assert PASSWORD not in said
    with MLGuardClient(
        kafka=secured.at.sasl, kafka_options=options_of_environment(wrong), project_id="p", model_id="m"
    ) as client:
        client.ingest_event(y_pred=1)
        client.flush(20)
        assert client.stats().dropped == {"unauthorized": 1}
    assert words in caplog.text
    assert PASSWORD not in caplog.text
    settings = Settings(
        kafka=secured.at.sasl,
        database_url=module_database_url,
        **kafka_settings(secured.as_user(API) | {"sasl_mechanism": "PLAIN", "password": PASSWORD}),
    )
    with served(settings) as address, Door(address, settings).client() as api:
        assert api.get("/ready").json()["broker"] == {"ok": False}
    assert "the bridge does not reach Kafka" in caplog.text
    assert "does not know the user ml_guard_api" in caplog.text
    assert KEY_PASSWORD not in caplog.text
    assert PASSWORD not in caplog.text
