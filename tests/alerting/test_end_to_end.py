"""From a planted drift to a message at a real receiver: a worker process, Kafka, TimescaleDB, nothing in between."""

from __future__ import annotations

import asyncio
import json
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.events import make_projects, produce
from bench.fleet import Fleet
from stream.alerting.policies import Policy
from stream.closing.capture import capture
from stream.store.alerts import put_policy
from stream.store.pool import connect
from tests.alerting.conftest import Receiver
from tests.conftest import as_role

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

NOW = datetime.now(UTC)
OFFSET = 12 - NOW.hour
ZONE = f"Etc/GMT{-OFFSET:+d}" if OFFSET else "UTC"
"""Where it is noon: the test does not run over a midnight."""


def event(number: int, at: datetime, shift: float) -> bytes:
    values = random.Random(number)
    features = {"age": values.gauss(40 + shift, 10), "income": values.gauss(50, 5)}
    sent = {"project_id": "shop", "model_id": "churn", "timestamp": at.isoformat(), "features": features}
    return json.dumps(sent).encode()


async def test_a_planted_drift_is_a_message_within_ten_seconds_and_a_killed_worker_loses_none(
    kafka: str, database_url: str, topic: str, tmp_path: Path, receiver: Receiver
) -> None:
    settings = {"grace_s": "0.2", "settle_s": "0.2", "alert_slack_url": receiver.url}
    await make_projects(database_url, {"shop": ZONE})
    pool = await connect(database_url)
    yesterday, now = NOW - timedelta(days=1), datetime.now(UTC)
    with Fleet(kafka, as_role(database_url, "ml_guard_worker"), topic, tmp_path, settings) as fleet:
        worker = fleet.start()
        await produce(kafka, topic, range(4000), make=lambda n: event(n, yesterday, 0))
        async with asyncio.timeout(60):
            while not await pool.fetchval("select bool_or(status = 'closed') from ml_guard.day_close"):
                await asyncio.sleep(0.1)
            day = await pool.fetchval("select day from ml_guard.day_close")
            await capture(pool, "shop", "churn", "predict", [day], captured_by="test")
        async with pool.acquire() as connection:
            await put_policy(connection, Policy("drift", "drift", project_id="shop", open_day=True), "test")
        receiver.answers = [500, 500]
        began = time.monotonic()
        await produce(kafka, topic, range(4000, 6000), make=lambda n: event(n, now, 12))
        async with asyncio.timeout(30):
            await receiver.waits_for(1)
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.3)
        fleet.kill(worker)
        fleet.start()
        async with asyncio.timeout(50):
            await receiver.waits_for(3)
    assert len({headers["x-ml-guard-message-id"] for headers, _ in receiver.got}) == 1
    assert "shop · demo · churn/predict: 1 feature in drift since" in receiver.texts[-1]
    assert "- age: PSI" in receiver.texts[-1]
    pool.terminate()
