"""What does the demo show at its end?"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ml_guard.cli import tables
from ml_guard.cli import wording as w
from ml_guard.cli.connection import Address
from ml_guard.client import MLGuardClient
from ml_guard.shapes import DriftDay, Ledger, LedgerDay, MetricDay

if TYPE_CHECKING:
    from ml_guard.replay.topic import Topic

NOTABLE = ("drift", "type_changed", "missing_feature", "warning", "new_feature")
_LEGEND = (
    "PSI is the size of a change, E0 what chance alone would give, q the test's corrected p-value. By counters: every "
    "event was counted against the baseline's frozen bins."
)

_QUERY = "select day, model_id, feature, verdict, psi from ml_guard.daily_drift where psi > 0.1"

Row = TypeVar("Row", MetricDay, DriftDay)


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
    planted: int
    found: int
    early: int

    def data(self) -> dict[str, Any]:
        """The same for `--json`."""
        return {
            "metrics": [row for one in self.projects for row in one.metrics],
            "drift": [row for one in self.projects for row in one.drift],
            "planted": {"changes": self.planted, "found": self.found, "too_early": self.early},
            "ledger": {"balanced": self.ledger.balanced, "days": self.ledger_days},
        }


def duplicates(api: MLGuardClient, project_ids: Sequence[str]) -> int:
    """Events of these projects that came again and were not counted."""
    return sum(row.duplicate for project_id in project_ids for row in api.ledger_days(project_id=project_id))


def read(api: MLGuardClient, topic: Topic, days: int, duplicates_before: int) -> Result:
    """Ask the API for everything that is shown."""
    projects, ledger_days = [], []
    plants: Counter[str] = Counter()
    for project in topic.projects:
        project_id = topic.project_id(project)
        shown = topic.scored_days(project)[-days:]
        metrics = api.metrics_daily(project_id=project_id, from_=shown[0], to=shown[-1], order="asc")
        drift = api.drift_daily(project_id=project_id, from_=shown[0], to=shown[-1], bins=True, order="asc")
        projects.append(ProjectResult(project_id, project.name, project.zone, metrics, drift))
        ledger_days += api.ledger_days(project_id=project_id)
        for endpoint in project.endpoints:
            for day in shown:
                rows = [
                    one
                    for one in drift
                    if (one.model_id, one.endpoint, one.day) == (endpoint.model_id, endpoint.endpoint, day)
                ]
                for plant in topic.plants(project, endpoint, day) if rows else ():
                    plants[
                        _found({row.verdict for row in rows if row.feature == plant.feature}, plant.verdict)
                    ] += 1
    again = sum(row.duplicate for row in ledger_days) - duplicates_before
    return Result(
        projects, api.ledger(), ledger_days, again, plants.total(), plants["found"], plants["early"]
    )


def _found(verdicts: set[str], planted: str) -> str:
    if planted in verdicts:
        return "found"
    return "early" if "insufficient_data" in verdicts else "missed"


def draw(result: Result, where: Address, seconds: float) -> RenderableType:
    """The demo's end, for a terminal."""
    parts: list[RenderableType] = [Text()]
    for one in result.projects:
        parts += _project(one)
    parts += [Text(_LEGEND, style="quiet"), Text(), _planted(result), _ledger(result), Text()]
    parts.append(_where(result, where, seconds))
    return Group(*parts)


def _project(one: ProjectResult) -> list[RenderableType]:
    heading = f"[name]{escape(one.name)}[/]  [key]{one.project_id}[/]  [quiet]days in {one.zone}[/]"
    quiet = sum(row.verdict == "ok" for row in one.drift)
    early = sum(row.verdict == "insufficient_data" for row in one.drift)
    told = f"{quiet} other rows of features, predictions and latency are ok"
    told += f", {early} have too few events yet." if early else "."
    return [
        Text.from_markup(heading),
        Padding(_metrics(one), (0, 0, 0, 1)),
        Padding(_drift(one), (0, 0, 0, 1)),
        Padding(Text(told, style="quiet"), (0, 0, 1, 1)),
    ]


def _metrics(one: ProjectResult) -> Table:
    made = _table(
        "model and day", "state", ">requests", ">p50 ms", ">p95 ms", ">p99 ms", ">mean y", ">mean p", "drift"
    )  # fmt: skip
    for model, rows in _by_model(one.metrics):
        made.add_row(model)
        for row in rows:
            made.add_row(
                f"  {w.short_day(row.day)}",
                tables.state(row),
                w.count(row.requests),
                w.number(row.latency_p50_ms, 3),
                w.number(row.latency_p95_ms, 3),
                w.number(row.latency_p99_ms, 3),
                w.number(row.prediction_mean, 3),
                w.fixed(row.proba_mean),
                tables.summary(row),
            )
    return made


def _drift(one: ProjectResult) -> Table:
    made = _table("model and feature", "day", ">PSI", ">E0", ">q", "verdict", "by", "what moved")
    for model, rows in _by_model(row for row in one.drift if row.verdict in NOTABLE):
        ordered = sorted(rows, key=lambda row: (row.day, NOTABLE.index(row.verdict), -(row.psi or 0)))
        made.add_row(model)
        for row in ordered:
            made.add_row(
                f"  {escape(row.feature)}",
                w.short_day(row.day),
                w.fixed(row.psi),
                w.fixed(row.psi_expected),
                w.chance(row.q_value),
                w.verdict(row.verdict),
                row.method or "",
                escape(w.what_moved(row)),
            )
    return made


def _table(*columns: str) -> Table:
    """A table of which only the last column may be broken into lines."""
    made = tables.table(*columns)
    made.padding = (0, 1, 0, 0)
    for column in made.columns[:-1]:
        column.no_wrap = True
    return made


def _by_model(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each model's endpoint, days in order, under its name."""
    ordered = sorted(rows, key=lambda row: (row.model_id, row.endpoint, row.day))
    for _, group in groupby(ordered, key=lambda row: (row.model_id, row.endpoint)):
        members = list(group)
        yield tables.model_name(members[0]), members


def _planted(result: Result) -> RenderableType:
    missed = result.planted - result.found - result.early
    style = "bad" if missed else "good"
    line = f"[name]Planted[/]  {result.planted} changes on these days, [{style}]{result.found} found[/]"
    if result.early:
        line += f", {result.early} in days with too few events yet"
    return Text.from_markup(line + ".")


def _ledger(result: Result) -> RenderableType:
    decoded, merged, dead, duplicate, deleted = (
        sum(getattr(row, name) for row in result.ledger_days)
        for name in ("decoded", "merged", "dead", "duplicate", "deleted")
    )
    verdict = "[good]balanced[/]" if result.ledger.balanced else "[bad]NOT balanced[/]"
    line = (
        f"[name]Ledger[/]   {decoded:,} events decoded = {merged:,} merged + {dead:,} dead + {duplicate:,} duplicate "
        f"+ {deleted:,} deleted: {verdict}"
    )
    if result.sent_again:
        line += f"\n[quiet]         {result.sent_again:,} events were sent again in the same batches; none counted twice.[/]"
    return Text.from_markup(line)


def _where(result: Result, where: Address, seconds: float) -> RenderableType:
    first = result.projects[0].project_id
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="quiet", no_wrap=True)
    made.add_column(overflow="fold")
    if where.dashboard_url:
        made.add_row(
            "look", f"{where.dashboard_url}   [quiet]key {escape(where.api_key or 'of your own')}[/]"
        )
    made.add_row("API", f"{where.url}/docs   [quiet]key {escape(where.api_key or 'of your own')}[/]")
    if where.database_url:
        made.add_row("SQL", f"psql '{where.database_url}' -c '{_QUERY}'")
    made.add_row("why", f"{_program()} drift --project {first} --verdict drift --bins")
    made.add_row("live", f"curl -N -H 'X-API-Key: {where.api_key or '...'}' {where.url}/api/v1/live")
    made.add_row("proof", "./validation.sh   [quiet]compares all of it with an independent oracle[/]")
    made.add_row("end", f"{_program()} down   [quiet]keeps the data; `make down` removes it[/]")
    title = f"It works. [quiet]{seconds:.0f} s[/]"
    return Panel(made, title=title, title_align="left", border_style="good", box=box.ROUNDED, padding=(1, 2))


def _program() -> str:
    """How this very command is typed: as it is where it lies on the PATH, else with its folder."""
    if shutil.which("ml-guard"):
        return "ml-guard"
    folder = Path(sys.executable).parent
    here = Path.cwd()
    return str((folder.relative_to(here) if folder.is_relative_to(here) else folder) / "ml-guard")
