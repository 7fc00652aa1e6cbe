"""What do the answers about costs hold? As in `shapes`; amounts are `Decimal`, so that no digit of AWS's is lost."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import msgspec

from ml_guard.shapes import Shape


class CostDay(Shape, frozen=True, kw_only=True):
    """What a project cost on a day of AWS: [day_start, day_end) is a day of UTC, not of the project's zone."""

    project_id: str
    day: date
    day_start: datetime
    day_end: datetime
    zone: str = "UTC"
    currency: str
    amount: Decimal
    requests: int = 0
    cost_per_1000: Decimal | None = None
    services: dict[str, Decimal] = msgspec.field(default_factory=dict)
    estimated: bool
    pulled_at: datetime


class PulledCosts(Shape, frozen=True, kw_only=True):
    """What became of the days that a pull asked for; `unanswered`: AWS said nothing of them."""

    project_id: str
    first: date
    last: date
    pulled: list[date] = msgspec.field(default_factory=list)
    kept: list[date] = msgspec.field(default_factory=list)
    unanswered: list[date] = msgspec.field(default_factory=list)
    aws_requests: int = 0
    items: list[CostDay] = msgspec.field(default_factory=list)


class CostFilter(Shape, frozen=True, kw_only=True):
    """Which of AWS's costs are a project's, and how the schedule stands."""

    project_id: str
    tags: dict[str, list[str]] = msgspec.field(default_factory=dict)
    services: list[str] = msgspec.field(default_factory=list)
    accounts: list[str] = msgspec.field(default_factory=list)
    currency: str = "USD"
    updated_at: datetime | None = None
    updated_by: str = ""
    next_pull_at: datetime | None = None
    pulled_at: datetime | None = None
    failures: int = 0
    last_error: str | None = None
