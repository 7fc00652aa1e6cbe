"""What moved in a feature on a day, by how much, and how sure is that?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from panel.viewable import Viewable

from dashboards.live import words
from dashboards.live.charts import Chart, plain
from dashboards.live.clocks import date_ms, date_ticks
from dashboards.live.markup import Part
from dashboards.live.view import EmptyPageError, Page
from ml_guard.cli import wording as w
from ml_guard.errors import NotFoundError
from ml_guard.hour_shapes import SameHours
from ml_guard.shapes import BaselineFeature, DriftDay, FeatureDay, LiveEvent, Project

HISTORY_DAYS = 30
BASELINE_QUANTILES = ("p01", "p05", "p25", "p50", "p75", "p95", "p99")
"""Those that a baseline keeps, in its order."""
LONG_LABEL = 5
MANY_BINS = 6


@dataclass(frozen=True)
class FeatureData:
    """What the page shows."""

    project: Project
    history: list[DriftDay]
    row: DriftDay
    statistics: FeatureDay | None
    baseline: BaselineFeature | None
    same: SameHours | None

    @property
    def bins(self) -> list[Mapping[str, Any]]:
        return self.row.bins or []

    @property
    def sentence(self) -> str:
        """What moved, in words."""
        return sentence(self.row)

    @property
    def quantiles(self) -> list[tuple[str, float | None, float | None]]:
        """Name, the baseline's, the day's."""
        if self.statistics is None or self.statistics.kind != "numeric":
            return []
        kept = (self.baseline.quantiles if self.baseline else None) or []
        theirs = dict(zip(BASELINE_QUANTILES, kept, strict=False))
        return [(name, theirs.get(name), getattr(self.statistics, name)) for name in BASELINE_QUANTILES]

    @property
    def baseline_missing(self) -> float | None:
        """The share of events without the feature in the baseline."""
        if self.baseline is None or not self.baseline.n + self.baseline.missing:
            return None
        return self.baseline.missing / (self.baseline.n + self.baseline.missing)

    @property
    def unseen(self) -> float | None:
        """The share of labels that the baseline has never seen."""
        return next((one["share"] for one in self.bins if one["bin"] == "unseen"), None)


class FeaturePage(Page):
    """`?page=feature&project=..&model=..&endpoint=..&feature=..&day=..`"""

    title = "Feature"

    def concerns(self, event: LiveEvent) -> bool:
        return self.is_model(event)

    async def read(self) -> FeatureData:
        ask, client, place = self.source.ask, self.source.client, self.place
        model = {"project_id": place.project, "model_id": place.model, "endpoint": place.endpoint}
        where = {**model, "feature": place.feature}
        project = await ask("project", client.projects.get, project_id=place.project)
        since = datetime.now(UTC).date() - timedelta(days=HISTORY_DAYS)
        history = one_a_day(await ask("history", client.drift_daily, from_=since, order="asc", **where))
        if not history:
            raise EmptyPageError(
                f"No event of the last {HISTORY_DAYS} days had a feature {place.feature} of {place.model}, endpoint "
                f"{place.endpoint}, or your key may not see it."
            )
        day = place.day if any(row.day == place.day for row in history) else history[-1].day
        rows = one_a_day(await ask("bins", client.drift_daily, day=day, bins=True, **where))
        statistics = await ask("statistics", client.features_daily, day=day, **where)
        row = rows[0] if rows else next(one for one in history if one.day == day)
        same = next((one for one in statistics if one.kind == row.kind), None)
        return FeatureData(
            project, history, row, same, await self._baseline(row, model), await self._same_hours(row, model)
        )

    async def _same_hours(self, row: DriftDay, model: Mapping[str, Any]) -> SameHours | None:
        """Of the open day only: a closed one has all its hours."""
        if row.status == "final":
            return None
        found = await self.source.ask("same hours", self.source.client.drift_same_hours, **model)
        return found if found.day in (None, row.day) else None

    async def _baseline(self, row: DriftDay, model: Mapping[str, Any]) -> BaselineFeature | None:
        if row.baseline_version is None:
            return None
        show = self.source.client.baselines.show
        try:
            detail = await self.source.ask("baseline", show, version=row.baseline_version, **model)
        except NotFoundError:
            return None
        return next((one for one in detail.features if one.feature == row.feature), None)

    def lay_out(self) -> list[Viewable]:
        self._head, self._hours, self._detail = Part(), Part(), Part()
        self._shares = self._make_shares()
        self._history = self._make_history()
        return [self._head, self._hours, self._shares.card, self._detail, self._history.card]

    def _make_shares(self) -> Chart:
        colors, file = self.scheme, f"{self.place.model}-{self.place.feature}-bins"
        columns = (
            "bin",
            "left",
            "right",
            "baseline",
            "day",
            "points",
            "contribution",
            "baseline_pc",
            "day_pc",
            "tone",
        )
        chart = Chart("shares", "Baseline against the day", columns, colors, height=270, file=file)
        bars = {"source": chart.source, "width": 0.36, "line_color": None}
        chart.figure.vbar("right", top="day_pc", fill_color="tone", **bars)
        chart.figure.vbar("left", top="baseline_pc", fill_color=colors.quiet, fill_alpha=0.45, **bars)
        chart.hover(
            ("bin", "@bin"), ("baseline", "@baseline_pc{0.0} %"), ("day", "@day_pc{0.0} %"), ("points", "@points{+0.0}"),
            ("part of PSI", "@contribution{0.0000}"), mode="mouse",
        )  # fmt: skip
        chart.figure.yaxis.axis_label = "share, %"
        return chart

    def _make_history(self) -> Chart:
        colors, file = self.scheme, f"{self.place.model}-{self.place.feature}-psi"
        columns = ("day", "at", "psi", "psi_expected", "q_value", "verdict", "tone")
        chart = Chart("history", "PSI by day", columns, colors, height=190, file=file)
        chart.line("at", "psi", colors.accent)
        chart.line("at", "psi_expected", colors.quiet, 1.2, "dotted")
        chart.dots("at", "psi", "tone", 8)
        chart.hover(
            ("day", "@day"), ("PSI", "@psi{0.000}"), ("E0", "@psi_expected{0.000}"), ("verdict", "@verdict")
        )
        self._warning = chart.level(0.1, colors.warn)
        self._drift = chart.level(0.25, colors.bad)
        return chart

    def paint(self, data: FeatureData) -> None:
        self._head.show("feature_head.html", data=data, place=self.place)
        self._hours.show("feature_hours.html", same=data.same, place=self.place)
        self._detail.show("feature_detail.html", data=data, place=self.place)
        self._paint_shares(data)
        self._paint_history(data)

    def _paint_shares(self, data: FeatureData) -> None:
        bins, colors = data.bins, self.scheme
        names = [w.bin_name(one) for one in bins]
        tones = {"bad": colors.bad, "warn": colors.warn}
        moved = tones.get(words.tone(data.row.verdict), colors.accent)
        most = max((abs(one["points"]) for one in bins), default=0)
        self._shares.data(
            bin=names,
            left=[index - 0.19 for index in range(len(bins))],
            right=[index + 0.19 for index in range(len(bins))],
            baseline=[one["baseline_share"] for one in bins],
            day=[one["share"] for one in bins],
            points=[one["points"] for one in bins],
            contribution=[one["contribution"] for one in bins],
            baseline_pc=[100 * one["baseline_share"] for one in bins],
            day_pc=[100 * one["share"] for one in bins],
            tone=[moved if most and abs(one["points"]) >= most / 2 else colors.accent for one in bins],
        )
        long = len(bins) > MANY_BINS or any(len(name) > 3 * LONG_LABEL for name in names)
        self._shares.ticks({float(index): _short(name) for index, name in enumerate(names)}, tilted=long)
        self._shares.span_x(-0.6, max(len(bins) - 0.4, 0.6))
        self._shares.span_y(max((100 * max(one["share"], one["baseline_share"]) for one in bins), default=1))
        what = "today so far" if data.row.status != "final" else w.short_day(data.row.day)
        keys = [("baseline", colors.quiet), (what, colors.accent), ("moved most", moved)]
        note = "" if bins else "no bins to compare on this day"
        self._shares.show_head(
            title=f"Baseline against {what}", keys=keys[: 3 if moved != colors.accent else 2], note=note
        )

    def _paint_history(self, data: FeatureData) -> None:
        rows, colors = data.history, self.scheme
        tones = {"good": colors.good, "warn": colors.warn, "bad": colors.bad, "quiet": colors.quiet}
        self._history.data(
            day=[row.day.isoformat() for row in rows],
            at=[date_ms(row.day) for row in rows],
            psi=[row.psi for row in rows],
            psi_expected=[row.psi_expected for row in rows],
            q_value=[row.q_value for row in rows],
            verdict=[f"{words.sign(row.verdict)} {words.said(row.verdict)}" for row in rows],
            tone=[tones[words.tone(row.verdict)] for row in rows],
        )
        self._warning.location, self._drift.location = data.row.warning or 0.1, data.row.drift or 0.25
        self._history.span_y(max([self._drift.location, *(row.psi for row in rows if row.psi is not None)]))
        self._history.span_x(date_ms(rows[0].day) - 40e6, date_ms(rows[-1].day) + 40e6)
        self._history.ticks(date_ticks(rows[0].day, rows[-1].day))
        self._history.show_head(
            keys=[
                ("PSI", colors.accent),
                ("E0", colors.quiet),
                ("warning", colors.warn),
                ("drift", colors.bad),
            ]
        )


def sentence(row: DriftDay) -> str:
    """What moved, in one sentence, or what can be said instead.

    >>> day = date(2025, 1, 1); at = datetime(2025, 1, 1, tzinfo=UTC)
    >>> sentence(DriftDay(project_id="p", model_id="m", endpoint="e", day=day, day_start=at, day_end=at, zone="UTC",
    ...     revision=1, status="final", feature="f", kind="numeric", n=9, missing=0, verdict="missing_feature"))
    'In no event of the day.'
    """
    moved = w.what_moved(row)
    if moved:
        return (
            f"{moved[0].upper()}{moved[1:]}."
            if row.verdict not in ("warning", "drift")
            else moved.replace("-", "−")
        )
    if row.verdict == "insufficient_data":
        return "Too few events yet to tell drift from chance."
    return "Nothing has moved beyond chance."


def one_a_day(rows: Sequence[DriftDay]) -> list[DriftDay]:
    """Where a feature had values of two kinds on a day, the worse row stands for it."""
    days: dict[date, DriftDay] = {}
    for row in rows:
        present = days.get(row.day)
        if present is None or words.severity(row.verdict) < words.severity(present.verdict):
            days[row.day] = row
    return [days[day] for day in sorted(days)]


def _short(label: str) -> str:
    return plain(label if len(label) <= 18 else f"{label[:17]}…")
