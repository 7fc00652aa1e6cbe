"""How is a number, an instant, a verdict or a name written on a page?"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
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
    "not_counted": "·",
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
    "not_counted",
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
    "not_counted": "not counted",
}
SEVERITIES = {"critical": ("bad", "▲"), "warning": ("warn", "△"), "info": ("quiet", "•")}
STATES = {"open": ("bad", "●"), "acknowledged": ("warn", "◐"), "resolved": ("good", "✓")}
STATUSES = {"pending": ("warn", "…"), "sent": ("good", "✓"), "failed": ("bad", "✕")}
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


def mark(name: str) -> tuple[str, str]:
    """The tone and the sign of a severity, a state or a delivery's status."""
    return {**SEVERITIES, **STATES, **STATUSES}.get(name, ("quiet", "•"))


def begun(text: str) -> str:
    """With a capital at its begin, and signs as they are printed.

    >>> begun("missing +32.4, US -6.8 points")
    'Missing +32.4, US −6.8 points'
    """
    return printed(f"{text[:1].upper()}{text[1:]}")


def printed(text: str) -> str:
    """With a minus where a hyphen stands before a number."""
    return re.sub(r"(?<=\s)-(?=\d)", "−", text)


def minute(at: datetime | None, zone: str) -> str:
    """An instant on the project's own clock, to the minute, without the year.

    >>> minute(datetime(2025, 1, 1, 3, 4, tzinfo=UTC), "America/Toronto")
    'Dec 31 22:04'
    """
    if at is None:
        return w.ABSENT
    local = at.astimezone(ZoneInfo(zone))
    return f"{w.short_day(local.date())} {local:%H:%M}"


def money(amount: Decimal | None) -> str:
    """An amount without its currency: cents, and what is less than a cent with its first figures.

    >>> money(Decimal("1234.5")), money(Decimal("0.00012345")), money(Decimal("-3.2")), money(None)
    ('1,234.50', '0.00012', '−3.20', '–')
    """
    if amount is None:
        return w.ABSENT
    size = abs(amount)
    text = (
        f"{size:,.2f}" if size == 0 or size >= Decimal("0.1") else f"{float(f'{size:.2g}'):.12f}".rstrip("0")
    )
    return f"−{text}" if amount < 0 else text


def largest(parts: Mapping[str, Decimal]) -> list[tuple[str, Decimal]]:
    """The two largest parts of an amount."""
    return sorted(parts.items(), key=lambda part: -part[1])[:2]


def duration(minutes: int) -> str:
    """Minutes in the largest unit that they fill.

    >>> duration(4320), duration(240), duration(90)
    ('3 days', '4 h', '90 min')
    """
    if minutes and minutes % 1440 == 0:
        days = minutes // 1440
        return f"{days} day{'' if days == 1 else 's'}"
    return f"{minutes // 60} h" if minutes and minutes % 60 == 0 else f"{minutes} min"


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
        mark,
        begun,
        printed,
        money,
        largest,
        minute,
        duration,
    )
    shared = (w.count, w.number, w.fixed, w.share, w.chance, w.short_day, w.what_moved, w.bin_name)
    return {word.__name__: word for word in (*own, *shared)}
