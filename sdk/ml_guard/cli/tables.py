"""What do the answers of the API look like as tables?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ml_guard import shapes as s
from ml_guard.cli import wording as w
from ml_guard.cli.fitting import FittingTable, Short
from ml_guard.weekdays import named

UNBROKEN = frozenset(("", "day", "state", "kind", "verdict", "by", "weekdays", "captured"))
"""Columns of single words, which nobody can read in pieces."""


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table; a column whose name begins with `>` holds numbers, one with `?` can be spared in a narrow terminal."""
    made = FittingTable(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="heading", pad_edge=False
    )
    for column in columns:
        name = column.lstrip(">?")
        number = ">" in column[: len(column) - len(name)]
        made.add_column(
            name,
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=number or name in UNBROKEN,
        )
    made.spared = frozenset(name.lstrip(">?") for name in columns if name.lstrip(">").startswith("?"))
    return made


def rows_or(text: str, made: Table) -> RenderableType:
    """The table; if it has no rows, a sentence that says so."""
    return made if made.row_count else Text(text, style="quiet")


def model_name(row: s.Day | s.Model | s.Baseline) -> str:
    """A model's endpoint in one word."""
    return f"{escape(row.model_id)}[quiet]/{escape(row.endpoint)}[/]"


def state(row: s.Day) -> str:
    """Whether a day is open or closed, and how often it was restated."""
    return "[warn]open[/]" if row.status == "provisional" else f"final [quiet]r{row.revision}[/]"


def projects(rows: Iterable[s.Project]) -> RenderableType:
    """Projects with their zones."""
    made = table("project", "name", "zone", "next zone", "dedupe by event_id", "labels")
    for row in rows:
        coming = [
            period for period in row.zones if period.zone != row.zone and period.effective_from is not None
        ]
        later = f"{coming[-1].zone} from {w.instant(coming[-1].effective_from)}" if coming else ""
        made.add_row(
            escape(row.project_id),
            escape(row.name),
            row.zone,
            later,
            "yes" if row.dedupe_by_event_id else "",
            row.labels,
        )
    return rows_or("No projects yet: `ml-guard project create` makes one.", made)


def deletion(receipt: s.DeletionReceipt) -> RenderableType:
    """What was removed with a project, and what stays in Kafka."""
    return Group(
        Text(
            f"{receipt.project_id} was deleted at {w.instant(receipt.deleted_at)}; receipt {receipt.receipt_id}."
        ),
        *_removed(receipt.rows, receipt.kafka),
        Text("Events that still arrive for it become dead letters (unknown_project).", style="quiet"),
    )


def purge(receipt: s.PurgeReceipt) -> RenderableType:
    """What was removed of a day, and what stays in Kafka."""
    name = receipt.model_id + ("" if receipt.endpoint is None else f"/{receipt.endpoint}")
    said = [
        Text(
            f"{receipt.day} of {name} in {receipt.project_id} was purged at {w.instant(receipt.purged_at)}: "
            f"{w.count(receipt.events)} events, deleted in the ledger; receipt {receipt.receipt_id}."
        ),
        *_removed(receipt.rows, receipt.kafka),
    ]
    for held in receipt.baselines:
        said.append(
            Text(
                f"Baseline {held.version} of {receipt.model_id}/{held.endpoint} was captured from this day among others "
                "and stays: capture another without it.",
                style="warn",
            )
        )
    said.append(Text("Events of that day that arrive from now on count, as any late ones do.", style="quiet"))
    return Group(*said)


def _removed(rows: Sequence[s.RowsRemoved], kafka: Sequence[s.TopicKept]) -> list[RenderableType]:
    removed = table("table", ">rows removed")
    for row in rows:
        removed.add_row(row.table, w.count(row.rows))
    kept = table("topic", "may hold its events until")
    for topic in kafka:
        until = "somebody deletes them" if topic.until is None else w.instant(topic.until)
        kept.add_row(escape(topic.topic), until)
    return [removed, kept]


def keys(rows: Iterable[s.Key]) -> RenderableType:
    """Keys without their secrets."""
    made = table("key", "name", "scopes", "projects", "created", "revoked")
    for row in rows:
        bound = "all" if row.project_ids is None else ", ".join(row.project_ids)
        revoked = w.instant(row.revoked_at) if row.revoked_at else ""
        made.add_row(
            row.key_id, escape(row.name), " ".join(row.scopes), bound, w.instant(row.created_at), revoked
        )
    return rows_or("No keys.", made)


def baselines(rows: Iterable[s.Baseline]) -> RenderableType:
    """Baseline versions."""
    made = table("project", "model", ">version", "", "weekdays", "made of", ">events", "?captured", "?note")
    for row in rows:
        made.add_row(
            escape(row.project_id),
            model_name(row),
            "preview" if row.version is None else str(row.version),
            "[good]active[/]" if row.active else "",
            named(row.weekdays),
            _origin(row),
            w.count(row.events),
            w.instant(row.captured_at),
            escape(row.note or ""),
        )
    return rows_or("No baselines yet: `ml-guard baseline capture` makes one from closed days.", made)


def _origin(row: s.Baseline) -> str:
    """What a version was made of."""
    if row.copied_from:
        return f"[quiet]copy of[/] {escape(row.copied_from)}"
    if row.days:
        return f"{row.days[0]} to {row.days[-1]} ({len(row.days)})"
    return escape(row.data_name or "")


def baseline(row: s.BaselineDetail) -> RenderableType:
    """One baseline with its features."""
    made = table(
        "feature", "kind", ">values", ">missing", ">?bins", "edges or labels", ">?warning", ">drift", ""
    )
    for one in row.features:
        bounds = one.labels or [] if one.edges is None else [w.number(edge) for edge in one.edges]
        made.add_row(
            escape(one.feature),
            one.kind,
            w.count(one.n),
            w.count(one.missing),
            str(len(one.shares)),
            Short(bounds),
            w.number(one.warning),
            w.number(one.drift),
            "ignored" if one.ignored else "",
        )
    return Group(baselines([row]), made)


def metrics(rows: Iterable[s.MetricDay]) -> RenderableType:
    """Traffic, latency, predictions and the number of drifting features, a row a day."""
    made = table(
        "project",
        "model",
        "day",
        "state",
        ">requests",
        ">?p50 ms",
        ">p95 ms",
        ">p99 ms",
        ">?mean y",
        ">?mean p",
        "features",
    )
    for row in rows:
        made.add_row(
            escape(row.project_id),
            model_name(row),
            str(row.day),
            state(row),
            w.count(row.requests),
            w.number(row.latency_p50_ms),
            w.number(row.latency_p95_ms),
            w.number(row.latency_p99_ms),
            w.number(row.prediction_mean),
            w.fixed(row.proba_mean),
            summary(row),
        )
    return rows_or("No days yet: nothing was received for this choice.", made)


def summary(row: s.MetricDay) -> str:
    """How many features drift, or are ok."""
    if row.baseline_version is None:
        return "[quiet]no baseline[/]"
    parts = []
    if row.features_drift:
        parts.append(f"[bad]{row.features_drift} drift[/]")
    if row.features_warning:
        parts.append(f"[warn]{row.features_warning} warning[/]")
    return ", ".join(parts) or f"[good]{row.features_scored} ok[/]"


def features(rows: Iterable[s.FeatureDay]) -> RenderableType:
    """Statistics, a row a day and feature."""
    made = table(
        "project", "model", "day", "state", "feature", "?kind", ">n", ">missing", ">mean", ">?sd", ">?min", ">p50", ">?p95",
        ">?max", "most frequent",
    )  # fmt: skip
    for row in rows:
        labels = ", ".join(f"{one['label']} {w.count(one['count'])}" for one in (row.top or [])[:3])
        if row.not_kept:
            labels += f" (of at most {w.count(row.not_kept)} values the label is not kept)"
        numbers = (row.mean, row.stddev, row.minimum, row.p50, row.p95, row.maximum)
        made.add_row(
            escape(row.project_id),
            model_name(row),
            str(row.day),
            state(row),
            escape(row.feature),
            row.kind,
            w.count(row.n),
            w.share(row.missing_rate),
            *(w.number(value) for value in numbers),
            escape(labels),
        )
    return rows_or("No days yet: nothing was received for this choice.", made)


def drift(rows: Iterable[s.DriftDay]) -> RenderableType:
    """Drift, a row a day and feature, with what moved."""
    made = table(
        "project", "model", "day", "state", "feature", ">PSI", ">?E0", ">?q", "verdict", "?by", "what moved"
    )  # fmt: skip
    overlaps = False
    for row in rows:
        overlaps = overlaps or row.baseline_overlaps
        made.add_row(
            escape(row.project_id),
            model_name(row),
            str(row.day) + (" *" if row.baseline_overlaps else ""),
            state(row),
            escape(row.feature),
            w.fixed(row.psi),
            w.fixed(row.psi_expected, 4),
            w.chance(row.q_value),
            w.verdict(row.verdict),
            row.method or "",
            escape(w.what_moved(row)),
        )
    if overlaps:
        made.caption = "* the day is one of the baseline's own"
    return rows_or("No drift rows for this choice.", made)


def bins_of_day(row: s.DriftDay) -> RenderableType:
    """The bins of one drift row: enough to compute it again."""
    title = f"{row.model_id}/{row.endpoint} {row.day} {row.feature}: PSI {w.fixed(row.psi)}, {row.verdict}"
    return bins(title, "baseline", row.bins or [])


def bins(title: str, against: str, rows: Iterable[Mapping[str, Any]]) -> RenderableType:
    """The bins of what was scored, against the shares of something."""
    made = table("bin", f">{against}", ">day", ">points", ">count", ">of PSI", title=title)
    for one in rows:
        made.add_row(
            escape(w.bin_name(one)),
            w.share(one["baseline_share"]),
            w.share(one["share"]),
            f"{one['points']:+.1f}",
            w.count(round(one["count"])),
            w.fixed(one["contribution"], 4),
        )
    return made


def ledger(
    answer: s.Ledger, days: Sequence[s.LedgerDay], clients: Sequence[s.ClientDay] = ()
) -> RenderableType:
    """Both ledgers, and what clients say."""
    by_day = table(
        "project",
        "day",
        ">decoded",
        ">merged",
        ">dead",
        ">duplicate",
        ">deleted",
        ">difference",
        title="events",
    )
    for day in days:
        name = escape(day.project_id) if day.project_id else "[quiet]unattributed[/]"
        numbers = (day.decoded, day.merged, day.dead, day.duplicate, day.deleted)
        by_day.add_row(name, str(day.day or ""), *(w.count(n) for n in numbers), _difference(day.difference))
    verdict = "[good]The ledgers balance.[/]" if answer.balanced else "[bad]The ledgers do not balance.[/]"
    parts: list[RenderableType] = [rows_or("No events yet.", by_day), Text.from_markup(verdict)]
    if answer.partitions is not None:
        by_partition = table(
            ">partition", ">next offset", ">decoded", ">dead", ">duplicate", ">lost", ">empty", ">difference", "stopped",
            title="records",
        )  # fmt: skip
        for one in answer.partitions:
            counts = (
                one.partition, one.next_offset, one.records_decoded, one.records_dead, one.records_duplicate,
                one.records_lost, one.records_empty,
            )  # fmt: skip
            reason = escape(one.stopped_reason or "")
            by_partition.add_row(*(w.count(n) for n in counts), _difference(one.difference), reason)
        parts.insert(0, by_partition)
    if clients:
        parts.append(_clients(clients))
    return Group(*parts)


def _clients(rows: Sequence[s.ClientDay]) -> RenderableType:
    """A row a project-day: sent, retried, and lost by reason."""
    made = table("project", "UTC day", ">sent", ">retries", "lost", title="clients")
    by_day: dict[tuple[date, str], list[s.ClientDay]] = {}
    for row in rows:
        by_day.setdefault((row.day, row.project_id), []).append(row)
    for (day, project_id), counts in sorted(by_day.items(), reverse=True):
        total = {name: sum(c.events for c in counts if c.outcome == name) for name in ("sent", "retried")}
        lost = ", ".join(f"{w.count(c.events)} {escape(c.reason)}" for c in counts if c.outcome == "dropped")
        name = escape(project_id) if project_id else "[quiet]unattributed[/]"
        shown = f"[bad]{lost}[/]" if lost else "[good]none[/]"
        made.add_row(name, str(day), w.count(total["sent"]), w.count(total["retried"]), shown)
    return made


def _difference(number: int) -> str:
    return "[good]0[/]" if number == 0 else f"[bad]{number:,}[/]"


def dead_letters(rows: Iterable[s.DeadLetter]) -> RenderableType:
    """What was refused."""
    made = table("id", "received", "project", "reason", "detail", "replayed")
    for row in rows:
        replayed = w.instant(row.replayed_at) if row.replayed_at else ""
        name = escape(row.project_id or "")
        made.add_row(
            row.id, w.instant(row.appended_at), name, f"[warn]{row.reason}[/]", escape(row.detail), replayed
        )
    return rows_or("No dead letters.", made)
