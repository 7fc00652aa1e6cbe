"""Do events flow, and is every one of them accounted for?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from panel.viewable import Viewable

from dashboards.live.markup import Part
from dashboards.live.view import Page
from ml_guard.shapes import DeadLetter, Ledger, LedgerDay, Ready

SHOWN_DAYS = 7
SHOWN_LETTERS = 20


@dataclass(frozen=True)
class HealthData:
    """What the page shows."""

    ready: Ready
    ledger: Ledger
    days: list[LedgerDay]
    letters: list[DeadLetter]
    now: datetime


class HealthPage(Page):
    """`?page=health`"""

    title = "Ledger and health"

    async def read(self) -> HealthData:
        ask, client, now = self.source.ask, self.source.client, datetime.now(UTC)
        ready = await ask("ready", client.ready)
        ledger = await ask("ledger", client.ledger)
        since = now.date() - timedelta(days=SHOWN_DAYS)
        days = await ask("days", client.ledger_days, from_=since)
        letters = await ask("letters", client.dead_letters.list, limit=SHOWN_LETTERS)
        ordered = sorted(
            days, key=lambda row: (row.day is None, row.day or now.date(), row.project_id), reverse=True
        )
        return HealthData(ready, ledger, ordered, letters, now)

    def lay_out(self) -> list[Viewable]:
        self._part = Part()
        return [self._part]

    def paint(self, data: HealthData) -> None:
        self._part.show("health.html", data=data)
