"""Which reference are a model's days compared with, how do versions differ, and how is a new one captured?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import panel as pn
from panel.viewable import Viewable

from dashboards.live.address import Place
from dashboards.live.markup import Part
from dashboards.live.view import Page
from ml_guard.errors import MLGuardError
from ml_guard.shapes import Baseline, BaselineDetail, BaselineFeature, LiveEvent, MetricDay, Model, Project

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
    def compared(self) -> list[Compared]:
        return compared(self.against, self.shown)


class BaselinesPage(Page):
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
        self._head, self._capture, self._versions = Part(), Part(act=self._act), Part(act=self._act)
        self._said: tuple[str, str] | None = None
        self._preview: BaselineDetail | None = None
        self._data: BaselineData | None = None
        return [self._head, self._versions, self._capture]

    def paint(self, data: BaselineData) -> None:
        self._data = data
        values = {"data": data, "place": _place_of(data, self.place), "may_operate": self.visitor.may_operate}
        self._head.show("baselines_head.html", **values)
        self._capture.show("capture.html", **values, said=self._said, preview=self._preview)
        self._versions.show("versions.html", **values)

    def _act(self, action: str, fields: Mapping[str, Any]) -> None:
        pn.state.execute(partial(self._do, action, fields))

    async def _do(self, action: str, fields: Mapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(30):
                self._said = await self._done(action, fields)
        except TimeoutError:
            self._said = ("bad", "The API took too long; look at the versions before you try again.")
        except (MLGuardError, ValueError) as error:
            self._said = ("bad", str(error))
        self.source.forget()
        try:
            self.paint(await self.read())
        except MLGuardError:
            if self._data is not None:
                self.paint(self._data)

    async def _done(self, action: str, fields: Mapping[str, Any]) -> tuple[str, str] | None:
        baselines = self.source.client.baselines
        if action.startswith("activate-"):
            made = await baselines.activate(int(action.removeprefix("activate-")), **self.where)
            return "good", f"Version {made.version} is active: days are compared with it from now on."
        if action not in ("capture", "preview"):
            return None
        days = sorted(date.fromisoformat(str(day)) for day in fields.get("days", []))
        if not days:
            return "bad", "Pick at least one closed day."
        note = str((fields.get("note") or [""])[0])[:LONGEST_NOTE]
        if action == "preview":
            self._preview = await baselines.preview(days=days, **self.where)
            return None
        captured = await baselines.capture(days=days, note=note or None, **self.where)
        self._preview = None
        return (
            "good",
            f"Version {captured.version} is captured and active, by the key “{captured.captured_by}”.",
        )


def calendar(days: Sequence[MetricDay], versions: Sequence[Baseline]) -> list[CalendarDay]:
    """The days with events, each once."""
    active = next((set(one.days) for one in versions if one.active), set())
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
