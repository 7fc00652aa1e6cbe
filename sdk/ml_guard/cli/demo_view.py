"""What does the demo show at its end?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ml_guard.cli import tables
from ml_guard.cli.connection import Address
from ml_guard.client import MLGuardClient
from ml_guard.shapes import DriftDay, Ledger, LedgerDay, MetricDay

if TYPE_CHECKING:
    from ml_guard.replay.topic import Topic

SEVERITY = ("drift", "type_changed", "missing_feature", "warning", "new_feature", "insufficient_data")

_QUERY = "select day, model_id, feature, psi, verdict from ml_guard.daily_drift order by psi desc nulls last limit 5"


@dataclass(frozen=True)
class ProjectResult:
    """What a project's days came to."""

    project_id: str
    name: str
    zone: str
    metrics: Sequence[MetricDay]
    drift: Sequence[DriftDay]


@dataclass(frozen=True)
class Result:
    """Everything that the demo prints."""

    projects: Sequence[ProjectResult]
    ledger: Ledger
    ledger_days: Sequence[LedgerDay]
    sent_again: int

    def data(self) -> dict[str, Any]:
        """The same for `--json`."""
        return {
            "metrics": [row for one in self.projects for row in one.metrics],
            "drift": [row for one in self.projects for row in one.drift],
            "ledger": {"balanced": self.ledger.balanced, "days": self.ledger_days},
        }


def duplicates(api: MLGuardClient, project_ids: Sequence[str]) -> int:
    """Events of these projects that came again and were not counted."""
    return sum(row.duplicate for project_id in project_ids for row in api.ledger_days(project_id=project_id))


def read(api: MLGuardClient, topic: Topic, days: int, duplicates_before: int) -> Result:
    """Ask the API for everything that is shown."""
    projects, ledger_days = [], []
    for project in topic.projects:
        project_id = topic.project_id(project)
        shown = topic.scored_days(project)[-days:]
        metrics = api.metrics_daily(project_id=project_id, from_=shown[0], to=shown[-1], order="asc")
        drift = api.drift_daily(project_id=project_id, from_=shown[0], to=shown[-1], bins=True, order="asc")
        projects.append(ProjectResult(project_id, project.name, project.zone, metrics, drift))
        ledger_days += api.ledger_days(project_id=project_id)
    again = sum(row.duplicate for row in ledger_days) - duplicates_before
    return Result(projects, api.ledger(), ledger_days, again)


def draw(result: Result, where: Address, seconds: float) -> RenderableType:
    """The demo's end, for a terminal."""
    parts: list[RenderableType] = [Text()]
    for one in result.projects:
        parts += _project(one)
    parts += [_ledger(result), Text(), _where(result, where, seconds)]
    return Group(*parts)


def _project(one: ProjectResult) -> list[RenderableType]:
    heading = Text.from_markup(
        f"[name]{escape(one.name)}[/]  [key]{one.project_id}[/]  [quiet]days in {one.zone}[/]"
    )
    metrics = sorted(one.metrics, key=lambda row: (row.model_id, row.endpoint, row.day))
    notable = sorted(
        (row for row in one.drift if row.verdict in SEVERITY),
        key=lambda row: (row.model_id, row.endpoint, row.day, SEVERITY.index(row.verdict), -(row.psi or 0)),
    )
    quiet = sum(row.verdict == "ok" for row in one.drift)
    return [
        heading,
        Padding(tables.metrics(metrics, project=False), (0, 0, 0, 2)),
        Padding(tables.drift(notable, project=False), (0, 0, 0, 2)),
        Padding(
            Text(f"{quiet} other rows of features, predictions and latency are ok.", style="quiet"),
            (0, 0, 1, 2),
        ),
    ]


def _ledger(result: Result) -> RenderableType:
    decoded, merged, dead, duplicate, deleted = (
        sum(getattr(row, name) for row in result.ledger_days)
        for name in ("decoded", "merged", "dead", "duplicate", "deleted")
    )
    verdict = "[good]balanced[/]" if result.ledger.balanced else "[bad]NOT balanced[/]"
    line = (
        f"[name]Ledger[/]  {decoded:,} events decoded = {merged:,} merged + {dead:,} dead + {duplicate:,} duplicate "
        f"+ {deleted:,} deleted: {verdict}"
    )
    if result.sent_again:
        line += f"\n[quiet]        {result.sent_again:,} events were sent again in the same batches; none counted twice.[/]"
    return Text.from_markup(line)


def _where(result: Result, where: Address, seconds: float) -> RenderableType:
    first = result.projects[0].project_id
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="quiet", no_wrap=True)
    made.add_column(overflow="fold")
    made.add_row("API", f"{where.url}/docs   [quiet]key {escape(where.api_key or 'of your own')}[/]")
    if where.database_url:
        made.add_row("SQL", f"psql '{where.database_url}' -c '{_QUERY}'")
    made.add_row("why", f"ml-guard drift --project {first} --verdict drift --bins")
    made.add_row("live", f"curl -N -H 'X-API-Key: {where.api_key or '...'}' {where.url}/api/v1/live")
    made.add_row("proof", "./validation.sh   [quiet]compares all of it with an independent oracle[/]")
    made.add_row("end", "ml-guard down   [quiet]keeps the data; `make down` removes it[/]")
    title = f"It works. [quiet]{seconds:.0f} s[/]"
    return Panel(made, title=title, title_align="left", border_style="good", box=box.ROUNDED, padding=(1, 2))
