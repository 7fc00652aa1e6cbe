"""Which reference are a model's days compared with, how do versions differ, and how is a new one captured?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from panel.viewable import Viewable

from dashboards.live.acting import ActingPage, Fields, Said, text_of
from dashboards.live.address import Place
from dashboards.live.markup import Part
from ml_guard.shapes import (
    Baseline,
    BaselineDetail,
    BaselineFeature,
    BaselinesByWeekday,
    LiveEvent,
    MetricDay,
    Model,
    Project,
)
from ml_guard.weekdays import COMMON, named

CALENDAR_DAYS = 42
LONGEST_NOTE = 200


@dataclass(frozen=True)
class CalendarDay:
    """A day that may be picked, or why not."""

    day: date
    requests: int
    closed: bool
    in_active: bool


@dataclass(frozen=True)
class Compared:
    """A feature in two versions."""

    feature: str
    one: BaselineFeature | None
    other: BaselineFeature | None

    @property
    def what(self) -> str:
        if self.one is None:
            return "new"
        if self.other is None:
            return "gone"
        return "type changed" if self.one.kind != self.other.kind else ""


@dataclass(frozen=True)
class BaselineData:
    """What the page shows."""

    models: list[Model]
    model: Model | None
    project: Project | None
    versions: list[Baseline]
    calendar: list[CalendarDay]
    shown: BaselineDetail | None
    against: BaselineDetail | None

    @property
    def actives(self) -> int:
        """How many are: several where weekdays have their own."""
        return sum(one.active for one in self.versions)

    @property
    def compared(self) -> list[Compared]:
        return compared(self.against, self.shown)


class BaselinesPage(ActingPage):
    """`?page=baselines&project=..&model=..&endpoint=..&version=..&against=..`"""

    title = "Baselines"

    def concerns(self, event: LiveEvent) -> bool:
        return self.is_model(event)

    async def read(self) -> BaselineData:
        ask, client, place = self.source.ask, self.source.client, self.place
        models = await ask("models", client.models)
        models = sorted(models, key=lambda one: (one.project_id, one.model_id, one.endpoint))
        model = next(
            (one for one in models if (one.project_id, one.model_id, one.endpoint) == place.model_key), None
        )
        if model is None and place.model is None and models:
            model = models[0]
        if model is None:
            return BaselineData(models, None, None, [], [], None, None)
        where = {"project_id": model.project_id, "model_id": model.model_id, "endpoint": model.endpoint}
        self.where: Mapping[str, str] = where
        project = await ask("project", client.projects.get, project_id=model.project_id)
        versions = await ask("baselines", client.baselines.list, **where)
        since = datetime.now(UTC).date() - timedelta(days=CALENDAR_DAYS)
        days = await ask("metrics", client.metrics_daily, from_=since, order="asc", **where)
        version, against = self._chosen(versions)
        shown = await self._detail(version, where)
        other = await self._detail(against, where)
        return BaselineData(models, model, project, versions, calendar(days, versions), shown, other)

    def _chosen(self, versions: Sequence[Baseline]) -> tuple[int | None, int | None]:
        numbers = [one.version for one in versions]
        active = next((one.version for one in versions if one.active), None)
        version = self.place.version if self.place.version in numbers else active
        against = self.place.against if self.place.against in numbers else None
        if against is None:
            against = next(
                (number for number in numbers if number is not None and number < (version or 0)), None
            )
        return version, against

    async def _detail(self, version: int | None, where: Mapping[str, str]) -> BaselineDetail | None:
        if version is None:
            return None
        return await self.source.ask("baseline", self.source.client.baselines.show, version=version, **where)

    def lay_out(self) -> list[Viewable]:
        self._head, self._capture, self._versions = Part(), Part(act=self.act), Part(act=self.act)
        self._preview: BaselinesByWeekday | None = None
        return [self._head, self._versions, self._capture]

    def draw(self, data: BaselineData) -> None:
        values = {"data": data, "place": _place_of(data, self.place), "visitor": self.visitor}
        self._head.show("baselines_head.html", **values)
        self._capture.show("capture.html", **values, said=self.said, preview=self._preview)
        self._versions.show("versions.html", **values)

    async def done(self, action: str, fields: Fields) -> Said | None:
        baselines = self.source.client.baselines
        if action.startswith("activate-"):
            made = await baselines.activate(int(action.removeprefix("activate-")), **self.where)
            return (
                "good",
                f"Version {made.version} is active: {whose(made.weekdays)} are compared with it from now on.",
            )
        if action not in ("capture", "preview"):
            return None
        days = sorted(date.fromisoformat(str(day)) for day in fields.get("days", []))
        if not days:
            return "bad", "Pick at least one closed day."
        note = text_of(fields, "note")[:LONGEST_NOTE]
        groups = COMMON.get(text_of(fields, "weekdays"))
        if action == "preview":
            if groups is None:
                self._preview = BaselinesByWeekday(items=[await baselines.preview(days=days, **self.where)])
            else:
                self._preview = await baselines.preview_by_weekday(days=days, weekdays=groups, **self.where)
            return None
        window: dict[str, Any] = {"days": days, "note": note or None, **self.where}
        if groups is None:
            captured = BaselinesByWeekday(items=[await baselines.capture(**window)])
        else:
            captured = await baselines.capture_by_weekday(weekdays=groups, **window)
        self._preview = None
        by = f"by the key “{captured.items[0].captured_by}”"
        if len(captured.items) == 1:
            return "good", f"Version {captured.items[0].version} is captured and active, {by}."
        versions = ", ".join(f"{one.version} ({named(one.weekdays)})" for one in captured.items)
        return "good", " ".join([f"Versions {versions} are captured and active, {by}.", *captured.warnings])


def whose(weekdays: Sequence[int] | None) -> str:
    """Which days a version stands for."""
    return "days" if weekdays is None else f"days of {named(weekdays)}"


def calendar(days: Sequence[MetricDay], versions: Sequence[Baseline]) -> list[CalendarDay]:
    """The days with events, each once."""
    active = {day for one in versions if one.active for day in one.days}
    return [CalendarDay(one.day, one.requests, one.status == "final", one.day in active) for one in days]


def compared(one: BaselineDetail | None, other: BaselineDetail | None) -> list[Compared]:
    """Every feature of either version, those that changed most first."""
    if one is None or other is None:
        return []
    old = {feature.feature: feature for feature in one.features}
    new = {feature.feature: feature for feature in other.features}
    return [Compared(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())]


def _place_of(data: BaselineData, place: Place) -> Place:
    if data.model is None:
        return place
    return Place(
        page="baselines",
        project=data.model.project_id,
        model=data.model.model_id,
        endpoint=data.model.endpoint,
        version=data.shown.version if data.shown else None,
        against=data.against.version if data.against else None,
    )
