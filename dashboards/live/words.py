"""How is a number, an instant, a verdict or a name written on a page?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ml_guard.cli import wording as w

SIGNS = {
    "ok": "✓",
    "warning": "△",
    "drift": "▲",
    "insufficient_data": "…",
    "missing_baseline": "–",
    "ignored": "×",
    "type_changed": "≠",
    "missing_feature": "∅",
    "new_feature": "+",
}
"""A sign beside each colour, so that a page can be read without colours."""
SEVERITY = (
    "drift",
    "type_changed",
    "missing_feature",
    "warning",
    "new_feature",
    "insufficient_data",
    "ok",
    "missing_baseline",
    "ignored",
)
TONES = {
    "ok": "good",
    "warning": "warn",
    "drift": "bad",
    "type_changed": "bad",
    "missing_feature": "bad",
    "new_feature": "warn",
}
_SAID = {
    "ok": "no drift",
    "warning": "warning",
    "drift": "drift",
    "insufficient_data": "too few events yet",
    "missing_baseline": "no baseline",
    "ignored": "ignored",
    "type_changed": "type changed",
    "missing_feature": "vanished",
    "new_feature": "new",
}
_BUILT_IN = {"@latency_ms": "latency", "@y_pred": "prediction", "@y_proba": "probability"}


def sign(verdict: str) -> str:
    """The sign of a verdict."""
    return SIGNS.get(verdict, "?")


def tone(verdict: str) -> str:
    """The colour's name of a verdict."""
    return TONES.get(verdict, "quiet")


def said(verdict: str) -> str:
    """A verdict as a person would say it."""
    return _SAID.get(verdict, verdict)


def severity(verdict: str) -> int:
    """Smaller is worse."""
    return SEVERITY.index(verdict) if verdict in SEVERITY else len(SEVERITY)


def feature_name(feature: str) -> str:
    """A feature's name; the built-in ones by what they are.

    >>> feature_name("@y_pred"), feature_name("age")
    ('prediction', 'age')
    """
    return _BUILT_IN.get(feature, feature)


def is_built_in(feature: str) -> bool:
    return feature in _BUILT_IN


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """How long ago, coarsely.

    >>> ago(datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, 0, 5, tzinfo=UTC))
    '5 min ago'
    """
    if at is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if seconds < -60:
        return "in the future"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"


def clock(at: datetime | None, zone: str = "UTC") -> str:
    """An instant on the project's own clock."""
    return w.ABSENT if at is None else f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"


def milliseconds(value: float | None) -> str:
    """A latency, three figures."""
    return w.number(value, 3)


def ledger_total(rows: Any, name: str) -> int:
    return sum(getattr(row, name) for row in rows)


def weekday(day: date) -> str:
    return f"{day:%a}"


def points(value: float | None) -> str:
    """Percentage points with their sign."""
    if value is None:
        return w.ABSENT
    return f"{value:+.1f}".replace("-", "−")


def for_templates() -> dict[str, Callable[..., Any]]:
    """The words that templates use."""
    own = (
        sign,
        tone,
        said,
        feature_name,
        is_built_in,
        ago,
        clock,
        milliseconds,
        ledger_total,
        weekday,
        points,
    )
    shared = (w.count, w.number, w.fixed, w.share, w.chance, w.short_day, w.what_moved, w.bin_name)
    return {word.__name__: word for word in (*own, *shared)}
