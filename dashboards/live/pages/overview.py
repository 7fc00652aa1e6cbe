"""Which models are there, and which is in trouble? The fleet of a key, the worst first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from panel.viewable import Viewable

from dashboards.live.markup import Part
from dashboards.live.view import Page
from ml_guard.shapes import Ledger, MetricDay, Model, Project

SHOWN_DAYS = 14
WIDTH, HEIGHT = 120, 30


@dataclass(frozen=True)
class Spark:
    """Requests by day as a small picture: the line's points, and the days in trouble as dots."""

    line: str
    area: str
    dots: list[tuple[float, float, str]]
    label: str


@dataclass(frozen=True)
class Row:
    """A model's endpoint."""

    model: Model
    zone: str
    name: str
    today: MetricDay | None
    closed: MetricDay | None
    spark: Spark
    balanced: bool

    @property
    def tone(self) -> str:
        """How the row stands today."""
        if self.today is None:
            return "quiet"
        if self.today.features_drift:
            return "bad"
        return "warn" if self.today.features_warning else "good" if self.today.features_scored else "quiet"

    @property
    def trouble(self) -> tuple[Any, ...]:
        """Sorts the worst first: drift today, then drift lately, then warnings, then the size of the worst change."""
        days = [day for day in (self.today, self.closed) if day is not None]
        return (
            self.balanced,
            -sum(day.features_drift for day in days),
            -sum(day.features_warning for day in days),
            -max((day.worst_psi or 0 for day in days), default=0),
            self.model.project_id,
            self.model.model_id,
            self.model.endpoint,
        )


@dataclass(frozen=True)
class Fleet:
    """What the overview shows."""

    rows: list[Row]
    ledger: Ledger
    projects: list[Project]
    now: datetime
    alerts: int = 0

    @property
    def requests(self) -> int:
        return sum(row.today.requests for row in self.rows if row.today)

    @property
    def drifting(self) -> int:
        return sum(row.today.features_drift for row in self.rows if row.today)

    @property
    def last_event_at(self) -> datetime | None:
        return max((row.model.last_event_at for row in self.rows if row.model.last_event_at), default=None)


class OverviewPage(Page):
    """`?page=overview`"""

    title = "Models"

    async def read(self) -> Fleet:
        client, now = self.source.client, datetime.now(UTC)
        since = (now - timedelta(days=SHOWN_DAYS)).date()
        projects = await self.source.ask("projects", client.projects.list)
        models = await self.source.ask("models", client.models)
        metrics = await self.source.ask("metrics", client.metrics_daily, from_=since, order="asc")
        ledger = await self.source.ask("ledger", client.ledger)
        alerts = await self.source.open_alerts()
        return replace(fleet(projects, models, metrics, ledger, now), alerts=len(alerts))

    def lay_out(self) -> list[Viewable]:
        self._table = Part()
        return [self._table]

    def paint(self, data: Fleet) -> None:
        self._table.show("overview.html", fleet=data, place=self.place)


def fleet(
    projects: Sequence[Project],
    models: Sequence[Model],
    metrics: Sequence[MetricDay],
    ledger: Ledger,
    now: datetime,
) -> Fleet:
    """The rows, the worst first."""
    zones = {project.project_id: project for project in projects}
    unbalanced = {row.project_id for row in ledger.items if row.difference}
    days: dict[tuple[str, str, str], list[MetricDay]] = defaultdict(list)
    for row in metrics:
        days[row.project_id, row.model_id, row.endpoint].append(row)
    rows = []
    for model in models:
        own = days[model.project_id, model.model_id, model.endpoint]
        project = zones.get(model.project_id)
        today = next((row for row in own if row.day_start <= now < row.day_end), None)
        closed = next((row for row in reversed(own) if row.day_end <= now), None)
        rows.append(
            Row(
                model=model,
                zone=project.zone if project else "UTC",
                name=(project.name if project else "") or model.project_id,
                today=today,
                closed=closed,
                spark=spark(own),
                balanced=model.project_id not in unbalanced,
            )
        )
    return Fleet(sorted(rows, key=lambda row: row.trouble), ledger, list(projects), now)


def spark(days: Sequence[MetricDay]) -> Spark:
    """A line of the requests by day, with a dot where features drifted.

    >>> spark([]).line
    ''
    """
    if not days:
        return Spark("", "", [], "no events")
    top = max(day.requests for day in days) or 1
    step = (WIDTH - 8) / max(1, len(days) - 1)
    places = [
        (4 + index * step, HEIGHT - 4 - (HEIGHT - 9) * day.requests / top) for index, day in enumerate(days)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    area = f"{places[0][0]:.1f},{HEIGHT} {line} {places[-1][0]:.1f},{HEIGHT}"
    dots = [
        (round(x, 1), round(y, 1), "bad" if day.features_drift else "warn")
        for (x, y), day in zip(places, days, strict=True)
        if day.features_drift or day.features_warning
    ]
    drifted = sum(1 for day in days if day.features_drift)
    return Spark(line, area, dots, f"{len(days)} days, at most {top:,} requests a day, drift on {drifted}")
