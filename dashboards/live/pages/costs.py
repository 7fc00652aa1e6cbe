"""What does a project cost on AWS by day, and what does a thousand predictions?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from panel.viewable import Viewable

from dashboards.live.charts import Chart
from dashboards.live.clocks import date_ms, date_ticks
from dashboards.live.markup import Part
from dashboards.live.view import EmptyPageError, Page
from ml_guard.cost_shapes import CostDay, CostFilter
from ml_guard.errors import NotFoundError
from ml_guard.shapes import LiveEvent, Project

SHOWN_DAYS = 30
HALF_DAY_MS = 43_200_000


@dataclass(frozen=True)
class CostData:
    """What the page shows. `series` are the days of one currency, the oldest first."""

    projects: list[Project]
    project: Project
    filter: CostFilter | None
    days: list[CostDay]
    series: list[CostDay]
    now: datetime

    @property
    def currency(self) -> str:
        return self.series[0].currency if self.series else ""

    @property
    def total(self) -> Decimal:
        return sum((day.amount for day in self.series), Decimal(0))

    @property
    def per_1000(self) -> Decimal | None:
        """Over the days that had requests."""
        busy = [day for day in self.series if day.requests]
        requests = sum(day.requests for day in busy)
        return sum((day.amount for day in busy), Decimal(0)) * 1000 / requests if requests else None


class CostsPage(Page):
    """`?page=costs&project=..`"""

    title = "Costs"

    def concerns(self, event: LiveEvent) -> bool:
        return False

    async def read(self) -> CostData:
        ask, client, now = self.source.ask, self.source.client, datetime.now(UTC)
        projects = await ask("projects", client.projects.list)
        wanted = self.place.project
        project = next((one for one in projects if wanted in (None, one.project_id)), None)
        if project is None:
            raise EmptyPageError(
                f"There is no project {wanted}, or your key may not see it."
                if wanted
                else "There is no project yet."
            )
        of = {"project_id": project.project_id}
        since = now.date() - timedelta(days=SHOWN_DAYS)
        days = await ask("costs", client.costs_daily, from_=since, order="asc", **of)
        try:
            chosen = await ask("filter", client.costs.filter, **of)
        except NotFoundError:
            chosen = None
        currency = main_currency(days, chosen)
        series = [day for day in days if day.currency == currency]
        return CostData(projects, project, chosen, days, series, now)

    def lay_out(self) -> list[Viewable]:
        colors = self.scheme
        self._head, self._table = Part(), Part()
        columns = ("day", "at", "amount", "final", "estimated", "requests", "per_1000")
        self._cost = Chart("costs", "Cost by day", columns, colors, height=230, file="costs")
        self._traffic = self._cost.second_axis("requests")
        bars = {"source": self._cost.source, "width": HALF_DAY_MS * 1.2, "line_color": None}
        figure = self._cost.figure
        figure.vbar("at", top="final", fill_color=colors.accent, fill_alpha=0.75, **bars)
        figure.vbar(
            "at", top="estimated", fill_color=colors.area, hatch_pattern="/", hatch_color=colors.accent,
            hatch_alpha=0.6, hatch_weight=1, **bars,
        )  # fmt: skip
        figure.line(
            "at",
            "requests",
            source=self._cost.source,
            y_range_name="right",
            line_color=colors.third,
            line_width=1.6,
        )
        rows = (("day", "@day UTC"), ("cost", "@amount{0,0.00}"), ("requests", "@requests{0,0}"))
        self._cost.hover(*rows)
        self._rate = Chart(
            "per-1000", "Cost per 1,000 predictions", columns, colors, height=180, file="costs-per-1000"
        )
        self._rate.line("at", "per_1000", colors.second)
        self._rate.dots("at", "per_1000", colors.second)
        self._rate.hover(
            ("day", "@day UTC"), ("per 1,000", "@per_1000{0,0.0000}"), ("requests", "@requests{0,0}")
        )
        self._charts = [self._cost.card, self._rate.card]
        return [self._head, *self._charts, self._table]

    def paint(self, data: CostData) -> None:
        self._head.show("costs_head.html", data=data, place=self.place)
        self._table.show("costs.html", data=data)
        for card in self._charts:
            card.visible = bool(data.series)
        if data.series:
            self._paint_charts(data)

    def _paint_charts(self, data: CostData) -> None:
        days, colors = data.series, self.scheme
        first, last = days[0].day, days[-1].day
        for chart in (self._cost, self._rate):
            chart.data(
                day=[day.day.isoformat() for day in days],
                at=[date_ms(day.day) for day in days],
                amount=[float(day.amount) for day in days],
                final=[None if day.estimated else float(day.amount) for day in days],
                estimated=[float(day.amount) if day.estimated else None for day in days],
                requests=[day.requests for day in days],
                per_1000=[None if day.cost_per_1000 is None else float(day.cost_per_1000) for day in days],
            )
            chart.span_x(date_ms(first) - HALF_DAY_MS, date_ms(last) + HALF_DAY_MS)
            chart.ticks(date_ticks(first, last))
        self._cost.span_y(
            max(float(day.amount) for day in days), min(0.0, *(float(day.amount) for day in days), 0.0)
        )
        self._traffic.end = max(day.requests for day in days) * 1.3 or 1
        self._rate.span_y(
            max((float(day.cost_per_1000) for day in days if day.cost_per_1000 is not None), default=1)
        )
        self._cost.show_head(
            title=f"Cost by day, {data.currency}",
            note="days of UTC, as AWS bills them",
            keys=[("cost", colors.accent), ("estimated", colors.area), ("requests", colors.third)],
        )
        self._rate.show_head(note=data.currency)


def main_currency(days: Sequence[CostDay], chosen: CostFilter | None) -> str | None:
    """The one to draw: the filter's where it has rows, else that of the most days."""
    seen = [day.currency for day in days]
    if chosen is not None and chosen.currency in seen:
        return chosen.currency
    return max(sorted(set(seen)), key=seen.count, default=None)
