"""What does a reference data set look like as a baseline, and what is to be said of its columns?"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ml_guard import shapes as s
from ml_guard.cli import tables
from ml_guard.cli import wording as w


def from_data(answer: s.BaselineFromData) -> RenderableType:
    """The version, its features, and what to look at before it counts."""
    baseline = answer.baseline
    parts: list[RenderableType] = [tables.baseline(baseline)]
    if baseline.data_rows is not None:
        name = escape(baseline.data_name or "the data set")
        parts.append(
            Text.from_markup(
                f"{name}: {w.count(baseline.data_rows)} rows, SHA-256 {(baseline.data_sha256 or '')[:16]}…",
                style="quiet",
            )
        )
    if answer.ignore:
        made = tables.table("feature", "why it had better be ignored", title="Propose to ignore")
        for one in answer.ignore:
            made.add_row(escape(one.feature), escape(one.reason))
        parts += [made, Text("`ml-guard feature set --feature NAME --ignore`, then capture.", style="quiet")]
    if answer.not_in_events is None:
        parts.append(Text("The model has had no event yet: names cannot be compared.", style="quiet"))
    for names, says in (
        (answer.not_in_events, "Only in the data, in no event of the last 7 days"),
        (answer.not_in_data, "Only in events, not in the data"),
    ):
        if names:
            parts.append(Text.from_markup(f"[warn]{says}:[/] {escape(', '.join(names))}"))
    return Group(*parts)
