"""How is a model today, and which of its features have moved, on which day?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from panel.viewable import Viewable

from dashboards.live import words
from dashboards.live.address import WINDOWS
from dashboards.live.charts import Chart
from dashboards.live.clocks import date_ms, date_ticks, hour_ticks, midnights, ms
from dashboards.live.markup import Part
from dashboards.live.view import EmptyPageError, Page
from ml_guard.hour_shapes import SameHours
from ml_guard.shapes import DriftDay, LatencyRow, LiveEvent, MetricDay, Model, Project

SHOWN_DAYS = 14
CHART_DAYS = 30
STEPS_S = {"1h": 60, "6h": 60, "24h": 300, "3d": 900}
"""How long a point of the chart is: a minute, or longer where a screen has fewer dots than the window minutes."""


@dataclass(frozen=True)
class HeatRow:
    """A feature in the heat map, with its days."""

    feature: str
    cells: Mapping[date, DriftDay]
    kinds: str


@dataclass(frozen=True)
class ModelData:
    """What the page shows."""

    model: Model
    project: Project
    days: list[MetricDay]
    heat: list[HeatRow]
    columns: list[MetricDay]
    minutes: list[LatencyRow]
    step_s: int
    start: datetime
    now: datetime
    alerts: int
    same: SameHours

    @property
    def today(self) -> MetricDay | None:
        return next((day for day in self.days if day.day_start <= self.now < day.day_end), None)


class ModelPage(Page):
    """`?page=model&project=..&model=..&endpoint=..&window=..`"""

    title = "Model"

    def concerns(self, event: LiveEvent) -> bool:
        return self.is_model(event)

    async def read(self) -> ModelData:
        ask, client, place, now = self.source.ask, self.source.client, self.place, datetime.now(UTC)
        where = {"project_id": place.project, "model_id": place.model, "endpoint": place.endpoint}
        models = await ask("models", client.models, project_id=place.project, model_id=place.model)
        model = next((one for one in models if one.endpoint == place.endpoint), None)
        if model is None:
            raise EmptyPageError(_absent(place.model, place.endpoint, [one.endpoint for one in models]))
        project = await ask("project", client.projects.get, project_id=place.project)
        today = now.date()
        days = await ask(
            "metrics", client.metrics_daily, from_=today - timedelta(days=CHART_DAYS), order="asc", **where
        )
        drift = await ask(
            "drift", client.drift_daily, from_=today - timedelta(days=SHOWN_DAYS), order="asc", **where
        )
        step_s = STEPS_S[place.window]
        start = datetime.fromtimestamp((now.timestamp() - WINDOWS[place.window]) // step_s * step_s, UTC)
        minutes = await ask(
            "latency",
            client.latency,
            from_=start,
            to=now,
            step_s=step_s,
            percentiles=[0.5, 0.95, 0.99],
            **where,
        )
        columns = days[-SHOWN_DAYS:]
        alerts = sum(
            (one.project_id, one.model_id, one.endpoint) == place.model_key
            for one in await self.source.open_alerts()
        )
        same = await ask("same hours", client.drift_same_hours, **where)
        return ModelData(
            model, project, days, heat_rows(drift), columns, minutes, step_s, start, now, alerts, same
        )

    def lay_out(self) -> list[Viewable]:
        colors = self.scheme
        name = f"{self.place.model}-{self.place.endpoint}"
        self._head, self._hours, self._heat = Part(), Part(), Part()
        self._minutes = Chart(
            "minutes", "Latency and traffic", ("time", "start_utc", "at", "requests", "top", "p50", "p95", "p99"), colors,
            height=250, file=f"{name}-minutes",
        )  # fmt: skip
        chart = self._minutes
        self._traffic = chart.second_axis("requests")
        bars = chart.figure.vbar(
            "at", top="requests", width=1, source=chart.source, y_range_name="right", fill_color=colors.area,
            line_color=None, fill_alpha=0.9,
        )  # fmt: skip
        self._bars = bars.glyph
        for column, color in (("p50", colors.accent), ("p95", colors.second), ("p99", colors.third)):
            chart.line("at", column, color, 1.3)
            chart.dots("at", column, color, 2.5)
        chart.hover(
            ("time", "@time"), ("requests", "@requests{0,0}"), ("p50", "@p50{0.0} ms"), ("p95", "@p95{0.0} ms"),
            ("p99", "@p99{0.0} ms"),
        )  # fmt: skip
        chart.figure.yaxis[0].axis_label = "latency, ms"
        self._percentiles = self._by_day("percentiles", "Latency by day", ("p50", "p95", "p99"), "ms")
        self._prediction = self._by_day(
            "prediction", "Prediction by day", ("prediction", "probability"), "mean"
        )
        pair = _pair(self._percentiles.card, self._prediction.card)
        return [self._head, chart.card, self._hours, self._heat, pair]

    def _by_day(self, name: str, title: str, columns: Sequence[str], unit: str) -> Chart:
        file = f"{self.place.model}-{self.place.endpoint}-{name}"
        made = Chart(name, title, ("day", "at", *columns, "requests"), self.scheme, height=190, file=file)
        colors = (self.scheme.accent, self.scheme.second, self.scheme.third)
        for column, color in zip(columns, colors, strict=False):
            made.line("at", column, color)
            made.dots("at", column, color)
        shown = [
            (column, f"@{column}{{0.000}}" if unit == "mean" else f"@{column}{{0.0}} ms")
            for column in columns
        ]
        made.hover(("day", "@day"), *shown, ("requests", "@requests{0,0}"))
        return made

    def paint(self, data: ModelData) -> None:
        self._head.show("model_head.html", data=data, place=self.place)
        self._hours.show("model_hours.html", same=data.same, place=self.place)
        self._heat.show("heat.html", data=data, place=self.place)
        self._paint_minutes(data)
        colors = self.scheme
        days = data.days
        self._paint_days(self._percentiles, data.days, {
            "p50": [day.latency_p50_ms for day in days],
            "p95": [day.latency_p95_ms for day in days],
            "p99": [day.latency_p99_ms for day in days],
        })  # fmt: skip
        self._percentiles.show_head(
            keys=[("p50", colors.accent), ("p95", colors.second), ("p99", colors.third)], note="ms"
        )
        self._paint_days(self._prediction, data.days, {
            "prediction": [day.prediction_mean for day in days],
            "probability": [day.proba_mean for day in days],
        })  # fmt: skip
        keys = [("mean y_pred", colors.accent), ("mean y_proba", colors.second)]
        text_only = data.days and all(day.prediction_mean is None for day in data.days)
        self._prediction.show_head(
            keys=keys, note="predictions are text: see the heat map" if text_only else ""
        )

    def _paint_minutes(self, data: ModelData) -> None:
        zone, rows, colors = data.project.zone, with_gaps(data.minutes, data.step_s), self.scheme
        width = data.step_s * 1000
        self._minutes.data(
            time=[words.clock(row.start, zone)[5:16] for row in rows],
            start_utc=[row.start.isoformat().replace("+00:00", "Z") for row in rows],
            at=[ms(row.start) + width / 2 for row in rows],
            requests=[row.requests for row in rows],
            top=[max((v for v in row.percentiles.values() if v is not None), default=None) for row in rows],
            p50=[row.percentiles.get("0.5") for row in rows],
            p95=[row.percentiles.get("0.95") for row in rows],
            p99=[row.percentiles.get("0.99") for row in rows],
        )
        self._bars.width = width * 0.9
        self._minutes.span_x(ms(data.start), ms(data.now))
        self._minutes.span_y(
            max((v for row in rows if (v := row.percentiles.get("0.99")) is not None), default=1)
        )
        self._traffic.end = max((row.requests for row in rows), default=1) * 2.6 or 1
        self._minutes.ticks(hour_ticks(data.start, data.now, zone))
        self._minutes.bounds([ms(at) for at in midnights(data.start, data.now, zone)])
        step = "minute" if data.step_s == 60 else f"{data.step_s // 60} minutes"
        self._minutes.show_head(
            title=f"Latency and traffic by {step}",
            note=f"days of {zone}",
            choices=[(name, self.place.link(window=name), name == self.place.window) for name in WINDOWS],
            keys=[
                ("p50", colors.accent),
                ("p95", colors.second),
                ("p99", colors.third),
                ("requests", colors.area),
            ],
        )

    @staticmethod
    def _paint_days(
        chart: Chart, days: Sequence[MetricDay], series: Mapping[str, list[float | None]]
    ) -> None:
        chart.data(
            day=[day.day.isoformat() for day in days],
            at=[date_ms(day.day) for day in days],
            requests=[day.requests for day in days],
            **series,
        )
        values = [value for column in series.values() for value in column if value is not None]
        chart.span_y(max(values, default=1), min(0.0, *values, 0.0))
        first, last = (days[0].day, days[-1].day) if days else (date.today(), date.today())  # noqa: DTZ011
        chart.span_x(date_ms(first) - 40e6, date_ms(last) + 40e6)
        chart.ticks(date_ticks(first, last, 6))


def with_gaps(rows: Sequence[LatencyRow], step_s: int) -> list[LatencyRow]:
    """The rows, and an empty one wherever nothing came, so that a line is not drawn across silence."""
    filled: list[LatencyRow] = []
    for row in rows:
        if filled and (row.start - filled[-1].start).total_seconds() > step_s:
            after = filled[-1].start + timedelta(seconds=step_s)
            filled.append(LatencyRow(start=after, end=after, requests=0))
        filled.append(row)
    return filled


def heat_rows(drift: Sequence[DriftDay]) -> list[HeatRow]:
    """Features with their days, the most troubled first; of two kinds on a day the worse one is shown."""
    cells: dict[str, dict[date, DriftDay]] = defaultdict(dict)
    kinds: dict[str, set[str]] = defaultdict(set)
    for row in drift:
        kinds[row.feature].add(row.kind)
        present = cells[row.feature].get(row.day)
        if present is None or words.severity(row.verdict) < words.severity(present.verdict):
            cells[row.feature][row.day] = row
    rows = [HeatRow(name, days, ", ".join(sorted(kinds[name]))) for name, days in cells.items()]
    return sorted(rows, key=_trouble)


def _trouble(row: HeatRow) -> tuple[int, float, str]:
    lately = [row.cells[day] for day in sorted(row.cells)[-3:]]
    worst = min(words.severity(cell.verdict) for cell in lately)
    return (worst, -max(cell.psi or 0 for cell in lately), row.feature)


def _absent(model: str | None, endpoint: str, others: Sequence[str]) -> str:
    if others:
        return f"The model {model} has no endpoint {endpoint}; it has {', '.join(others)}."
    return f"No event of a model {model} was seen in this project, or your key may not see it."


def _pair(left: Viewable, right: Viewable) -> Viewable:
    import panel as pn

    return pn.Row(
        left, right, sizing_mode="stretch_width", margin=0, css_classes=["pair"], stylesheets=[_PAIR]
    )


_PAIR = """
:host { display: grid !important; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 0 16px; }
"""
