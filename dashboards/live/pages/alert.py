"""What exactly is wrong, which bins moved, who was told, and how is it taken on or muted?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from zoneinfo import ZoneInfo

from panel.viewable import Viewable

from dashboards.live.acting import ActingPage, Fields, Said, text_of
from dashboards.live.markup import Part
from dashboards.live.words import minute
from ml_guard.alert_shapes import Alert, AlertDelivery
from ml_guard.shapes import LiveEvent, Project

MUTES_MINUTES = (60, 480, 1440, 10_080)
LONGEST_MUTE = timedelta(days=366)


@dataclass(frozen=True)
class AlertData:
    """What the page shows."""

    alert: Alert
    project: Project
    deliveries: list[AlertDelivery]
    now: datetime

    @property
    def zone(self) -> str:
        """The zone of its days."""
        return self.alert.zone or self.project.zone

    @property
    def is_muted(self) -> bool:
        return self.alert.muted_until is not None and self.alert.muted_until > self.now


class AlertPage(ActingPage):
    """`?page=alert&alert=..`"""

    title = "Alert"

    def concerns(self, event: LiveEvent) -> bool:
        return False

    async def read(self) -> AlertData:
        ask, alerts = self.source.ask, self.source.client.alerts
        alert = await ask("alert", alerts.show, id=self.place.alert)
        project = await ask("project", self.source.client.projects.get, project_id=alert.project_id)
        deliveries = await ask("deliveries", alerts.deliveries, id=self.place.alert)
        return AlertData(alert, project, deliveries, datetime.now(UTC))

    def lay_out(self) -> list[Viewable]:
        self._what, self._hand, self._messages = Part(), Part(act=self.act), Part()
        return [self._what, self._hand, self._messages]

    def draw(self, data: AlertData) -> None:
        values = {"data": data, "alert": data.alert, "place": self.place, "visitor": self.visitor}
        self._zone = data.zone
        self._what.show("alert.html", **values)
        self._hand.show("alert_hand.html", **values, said=self.said, mutes=MUTES_MINUTES)
        self._messages.show("alert_messages.html", **values)

    async def done(self, action: str, fields: Fields) -> Said | None:
        alerts, id_ = self.source.client.alerts, self.place.alert or ""
        if action == "acknowledge":
            row = await alerts.acknowledge(id_)
            return "good", f"Acknowledged by the key “{row.acknowledged_by}”: there are no more reminders."
        if action == "unmute":
            await alerts.mute(id_, minutes=0)
            return "good", f"The key “{self.visitor.key.name}” ended the mute: messages are written again."
        if action.startswith("mute"):
            minutes = action.removeprefix("mute-")
            row = await alerts.mute(
                id_, minutes=int(minutes) if minutes.isdecimal() else self._until(text_of(fields, "until"))
            )
            until = minute(row.muted_until, self._zone)
            return "good", f"Muted until {until}, {self._zone}, by the key “{row.muted_by}”."
        return None

    def _until(self, text: str) -> int:
        """Minutes from now to a local time of the project."""
        if not text:
            raise ValueError("Say until when: choose a day and a time.")
        left = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(self._zone)) - datetime.now(UTC)
        if not timedelta() < left <= LONGEST_MUTE:
            raise ValueError("A mute ends in the future, within a year.")
        return ceil(left / timedelta(minutes=1))
