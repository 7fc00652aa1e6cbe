"""The API before the run's database, and costs written there as a pull leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.api.conftest import Door, door, make_settings

__all__ = ["door", "make_settings"]


class Bill:
    """Writes costs and traffic of a project."""

    def __init__(self, door: Door, project: str) -> None:
        self._door, self.project = door, project

    def costs(
        self,
        day: date,
        amount: str,
        currency: str = "USD",
        services: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        row = {"estimated": False, "pulled_at": datetime.now().astimezone()} | more
        self._door.sql(
            """insert into ml_guard.cost_day (project_id, day, currency, amount, services, estimated, pulled_at)
               values ($1, $2, $3, $4, $5::text::jsonb, $6, $7)""",
            self.project,
            day,
            currency,
            Decimal(amount),
            json.dumps(services or {}),
            row["estimated"],
            row["pulled_at"],
        )

    def traffic(self, at: datetime, requests: int, model: str = "churn") -> None:
        self._door.sql(
            """insert into ml_guard.traffic_minute (project_id, model_id, endpoint, minute, shard, requests)
               values ($1, $2, 'predict', $3, 0, $4)""",
            self.project,
            model,
            at,
            requests,
        )


@pytest.fixture
def bill(door: Door) -> Bill:
    """A new project in Toronto, whose days are not AWS's."""
    return Bill(door, door.project("America/Toronto"))


def days_from(first: date, count: int) -> list[date]:
    """Dates in a row."""
    return [first + timedelta(days=n) for n in range(count)]
