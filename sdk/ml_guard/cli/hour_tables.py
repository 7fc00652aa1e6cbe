"""What does a comparison of the same hours look like as a table?"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ml_guard.cli import tables
from ml_guard.cli import wording as w
from ml_guard.hour_shapes import SameHours
from ml_guard.weekdays import named


def same_hours(answer: SameHours, with_bins: bool) -> RenderableType:
    """The open day up to a full hour against the same hours before, and what could not be compared."""
    model = f"{answer.project_id} {answer.model_id}/{answer.endpoint}"
    compared = [day for day in answer.days if day.compared]
    until = "" if answer.hour is None else f" up to {answer.hour:02}:00"
    title = f"{model}, {answer.day}{until}"
    if compared:
        of = "" if answer.weekdays is None else f" ({named(answer.weekdays)})"
        title += f", against the same hours of {len(compared)} days before{of}"
    parts: list[RenderableType] = []
    if answer.reason is None:
        made = tables.table(
            "feature",
            ">n",
            ">mean",
            ">mean before",
            ">PSI",
            ">E0",
            ">q",
            "verdict",
            "what moved",
            title=title,
        )
        for row in answer.features:
            made.add_row(
                escape(row.feature),
                w.count(row.n),
                w.number(row.mean),
                w.number(row.mean_before),
                w.fixed(row.psi),
                w.fixed(row.psi_expected, 4),
                w.chance(row.q_value),
                w.verdict(row.verdict),
                escape(w.what_moved(row)),
            )
        before = None if answer.requests_before is None else round(answer.requests_before)
        made.caption = f"{w.count(answer.requests)} requests, {w.count(before)} on average before"
        parts.append(made)
    else:
        parts.append(Text(f"{title}: {answer.reason}."))
    left_out = tables.table("not compared", "why")
    for day in answer.days:
        if not day.compared:
            left_out.add_row(str(day.day), escape(day.reason or ""))
    if left_out.row_count:
        parts.append(left_out)
    if with_bins:
        parts += [
            tables.bins(f"{row.feature}: PSI {w.fixed(row.psi)}, {row.verdict}", "before", row.bins)
            for row in answer.features
            if row.bins
        ]
    return Group(*parts)
