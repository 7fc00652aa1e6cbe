"""What do alerts, their messages and their policies look like as tables?"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ml_guard import alert_shapes as s
from ml_guard.cli import wording as w
from ml_guard.cli.tables import rows_or, table

_SEVERITY = {"critical": "bad", "warning": "warn", "info": "quiet"}
_STATE = {"open": "bad", "acknowledged": "warn", "resolved": "good"}
_STATUS = {"pending": "warn", "sent": "good", "failed": "bad"}


def alerts(rows: Iterable[s.Alert]) -> RenderableType:
    """Alerts, a row each."""
    made = table("alert", "severity", "state", "project", "model", "what", "since", "by")
    for row in rows:
        made.add_row(
            row.alert_id,
            _coloured(row.severity, _SEVERITY),
            _coloured(row.state, _STATE),
            escape(row.project_id),
            _model(row.model_id, row.endpoint),
            escape(row.headline),
            w.instant(row.since),
            escape(row.acknowledged_by or ""),
        )
    return rows_or("No alerts.", made)


def alert(row: s.Alert) -> RenderableType:
    """One alert with its features."""
    features = table("feature", "measured", ">value", ">bound", ">n", ">days", "what moved")
    for feature in row.features:
        features.add_row(
            escape(feature.feature),
            feature.measure,
            w.number(feature.value),
            w.number(feature.bound),
            w.count(feature.n),
            str(feature.days),
            escape(feature.moved),
        )
    said = [f"Policy {row.policy}."]
    if row.day is not None:
        kind = "provisional" if row.provisional else f"final, revision {row.revision}"
        said.append(f"Day {row.day}, {kind}, {row.n:,} events.")
    if row.note:
        said.append(row.note)
    if row.resolution:
        said.append(f"Resolved: {row.resolution}.")
    if row.acknowledged_by:
        said.append(f"Acknowledged by {row.acknowledged_by}.")
    if row.muted_until is not None:
        said.append(f"Muted until {w.instant(row.muted_until)} by {row.muted_by}.")
    parts: list[RenderableType] = [alerts([row]), Text(" ".join(said))]
    return Group(*parts, *([features] if row.features else []))


def deliveries(rows: Iterable[s.AlertDelivery]) -> RenderableType:
    """Messages, a row each."""
    made = table("message", "channel", "status", ">attempts", "written", "sent", "next attempt", "error")
    for row in rows:
        made.add_row(
            row.message_id,
            escape(row.channel),
            _coloured(row.status, _STATUS),
            str(row.attempts),
            w.instant(row.created_at),
            w.instant(row.sent_at) if row.sent_at else "",
            w.instant(row.next_attempt_at) if row.status == "pending" else "",
            escape(row.last_error or ""),
        )
    return rows_or("No messages: no channel is set up, or the alert is muted.", made)


def policies(rows: Iterable[s.AlertPolicy]) -> RenderableType:
    """Policies, a row each."""
    made = table("policy", "condition", "project", "model", "feature", ">threshold", "window", "severity",
                 ">cooldown", "channels", "set by")  # fmt: skip
    for row in rows:
        made.add_row(
            escape(row.name) + ("" if row.enabled else " [quiet](off)[/]"),
            row.condition,
            escape(row.project_id),
            escape(row.model_id) if row.endpoint == "*" else _model(row.model_id, row.endpoint),
            escape(row.feature),
            w.number(row.threshold),
            _window(row),
            _coloured(row.severity, _SEVERITY),
            f"{row.cooldown_minutes:,} min",
            "all" if row.channels is None else escape(", ".join(row.channels)),
            "[quiet]default[/]" if row.is_default else escape(row.updated_by or ""),
        )
    return made


def tried(answer: s.TryOut) -> RenderableType:
    """What a try-out came to."""
    made = table("project", "model", "since", "until", "what")
    for row in answer.alerts:
        until = w.instant(row.until) if row.until else "now"
        made.add_row(
            escape(row.project_id),
            _model(row.model_id, row.endpoint),
            w.instant(row.since),
            until,
            escape(row.headline),
        )
    looked = f"It {answer.summary}"
    if answer.models:
        looked += f", on {answer.models} model{'' if answer.models == 1 else 's'}"
    parts: list[RenderableType] = [Text(f"{looked}.")]
    if answer.alerts:
        parts.append(made)
    if answer.models_left_out:
        parts.append(Text(f"{answer.models_left_out} more models were not tried.", style="quiet"))
    for one in answer.not_judged:
        model = f"{one.project_id} {one.model_id}/{one.endpoint}"
        parts.append(Text(f"Cannot judge {model}: {one.reason}.", style="quiet"))
    return Group(*parts)


def _coloured(text: str, styles: dict[str, str]) -> str:
    return f"[{styles.get(text, 'name')}]{text}[/]"


def _model(model_id: str, endpoint: str) -> str:
    return f"{escape(model_id)}[quiet]/{escape(endpoint)}[/]" if model_id else ""


def _window(row: s.AlertPolicy) -> str:
    if row.condition in ("drift", "prediction"):
        days = f"{row.days} day{'' if row.days == 1 else 's'}"
        return f"{days}, open day too" if row.open_day else days
    if row.condition == "silence":
        return f"{row.minutes} min"
    if row.condition == "cost":
        if row.rise_percent is None:
            return ""
        return f"+{row.rise_percent:g} %, {row.days} day{'' if row.days == 1 else 's'} before"
    if row.condition == "expected_by":
        return f"by {row.local_time}"
    return f"p{100 * row.percentile:.0f}, 1 day" if row.condition == "latency" else ""
