"""Does a try-out count what the worker would have told, over the stored past?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.alerting.world import World
from tests.api.conftest import Door, door, make_settings, result_of

__all__ = ["door", "make_settings"]

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
AGES = (24, 16, 15, 5)
"""How many days ago there was drift: two days in a row are one episode."""


@pytest.fixture(scope="module")
def project(door: Door) -> str:
    """A model with drift on those days."""
    name = door.project("UTC")

    async def plant() -> None:
        connection = await asyncpg.connect(door.settings.database_url)
        try:
            world = World(connection, lambda: TODAY, None, project=name)  # type: ignore[arg-type]
            world.calendar = world.calendar.of("UTC")
            await connection.execute(
                "insert into ml_guard.model (project_id, model_id, endpoint) values ($1, 'churn', 'predict')",
                name,
            )
            for age in range(29, 0, -1):
                day = (TODAY - timedelta(days=age)).date()
                await world.result(day, {"age": "drift"} if age in AGES else {"age": "ok"})
        finally:
            await connection.close()

    result_of(plant())
    return name


@pytest.mark.parametrize(
    ("policy", "summary"),
    [
        ({"condition": "drift", "days": 1}, "would have fired 3 times in 30 days"),
        ({"condition": "drift"}, "would have fired 1 time in 30 days"),
        ({"condition": "drift", "days": 1, "past_days": 10}, "would have fired 1 time in 10 days"),
        ({"condition": "drift", "days": 3}, "would have fired 0 times in 30 days"),
        ({"condition": "prediction", "days": 1}, "would have fired 0 times in 30 days"),
    ],
)
def test_how_often_a_policy_would_have_fired(
    door: Door, project: str, policy: dict[str, Any], summary: str
) -> None:
    with door.client() as client:
        answer = client.post("/alert-policies/try", json={"project_id": project, **policy}).json()
    assert answer["summary"] == summary
    assert answer["fired"] == len(answer["alerts"])


def test_a_try_out_says_when_each_would_have_begun_and_ended(door: Door, project: str) -> None:
    with door.client() as client:
        asked = {"project_id": project, "condition": "drift", "days": 1}
        alerts = client.post("/alert-policies/try", json=asked).json()["alerts"]
    begun = sorted((TODAY - datetime.fromisoformat(one["since"])).days for one in alerts)
    assert begun == [5, 16, 24]
    assert all(one["until"] is not None for one in alerts)
