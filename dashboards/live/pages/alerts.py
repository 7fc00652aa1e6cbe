"""What is wrong, since when, and who has it in hand? Episodes: open, acknowledged, resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from panel.viewable import Viewable

from dashboards.live.markup import Part
from dashboards.live.view import Page
from ml_guard.alert_shapes import Alert
from ml_guard.shapes import LiveEvent, Project

SHOWN = 100
"""Resolved ones at most; older ones are for `ml-guard alerts list`."""
_BY_SEVERITY = {"critical": 0, "warning": 1}


@dataclass(frozen=True)
class AlertsData:
    """What the page shows."""

    rows: list[Alert]
    counts: dict[str, int]
    names: dict[str, str]
    is_cut: bool


class AlertsPage(Page):
    """`?page=alerts&state=..&project=..&model=..`"""

    title = "Alerts"

    def concerns(self, event: LiveEvent) -> bool:
        return False

    async def read(self) -> AlertsData:
        ask, client, place = self.source.ask, self.source.client, self.place
        where = {"project_id": place.project, "model_id": place.model}
        projects = await ask("projects", client.projects.list)
        going_on = await ask("alerts", client.alerts.list, state="open", **where)
        rows, is_cut = [one for one in going_on if one.state == place.state], False
        if place.state == "resolved":
            rows = await ask("resolved", client.alerts.list, state="resolved", limit=SHOWN + 1, **where)
            rows, is_cut = rows[:SHOWN], len(rows) > SHOWN
        counts = {name: sum(one.state == name for one in going_on) for name in ("open", "acknowledged")}
        return AlertsData(ordered(rows), counts, names_of(projects), is_cut)

    def lay_out(self) -> list[Viewable]:
        self._part = Part()
        return [self._part]

    def paint(self, data: AlertsData) -> None:
        self._part.show("alerts.html", data=data, place=self.place)


def names_of(projects: Sequence[Project]) -> dict[str, str]:
    """What people call each project."""
    return {one.project_id: one.name or one.project_id for one in projects}


def ordered(alerts: Sequence[Alert]) -> list[Alert]:
    """What goes on: the severest first; what is over: the newest end first."""
    return sorted(
        alerts,
        key=lambda one: (
            -one.resolved_at.timestamp() if one.resolved_at else 0.0,
            _BY_SEVERITY.get(one.severity, 2),
            -one.opened_at.timestamp(),
        ),
    )
