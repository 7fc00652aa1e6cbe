"""What do models, their latency and their features' settings look like as tables?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.markup import escape

from ml_guard import shapes as s
from ml_guard.cli import wording as w
from ml_guard.cli.tables import model_name, rows_or, table

_UNSET = "[quiet]–[/]"


def models(rows: Iterable[s.Model]) -> RenderableType:
    """Models and their endpoints."""
    made = table("project", "model", "first seen", "newest event", ">baseline")
    for row in rows:
        version = _UNSET if row.baseline_version is None else str(row.baseline_version)
        made.add_row(
            escape(row.project_id),
            model_name(row),
            w.instant(row.first_seen_at),
            w.instant(row.last_event_at),
            version,
        )
    return rows_or("No models yet: they register themselves with their first event.", made)


def latency(rows: Sequence[s.LatencyRow]) -> RenderableType:
    """Latency, a row a step."""
    shares = list(rows[0].percentiles) if rows else []
    made = table("from", "to", ">requests", ">mean ms", *(f">p{100 * float(share):g} ms" for share in shares))
    for row in rows:
        values = (row.mean_ms, *(row.percentiles.get(share) for share in shares))
        made.add_row(w.instant(row.start), w.instant(row.end), w.count(row.requests), *map(w.number, values))
    return rows_or("No requests in that time.", made)


def feature_settings(rows: Iterable[s.FeatureSetting]) -> RenderableType:
    """How features are binned and judged where it is not the default."""
    made = table("project", "model", "endpoint", "feature", "kind", ">bins", ">warning", ">drift", "ignored")
    for row in rows:
        ignored = _UNSET if row.ignored is None else "yes" if row.ignored else "no"
        numbers = (row.bins, row.warning, row.drift)
        made.add_row(
            *(escape(name) for name in (row.project_id, row.model_id, row.endpoint, row.feature)),
            row.kind or _UNSET,
            *(_UNSET if value is None else f"{value:g}" for value in numbers),
            ignored,
        )
    return rows_or("Nothing is set: every feature has the defaults.", made)
