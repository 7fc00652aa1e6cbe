"""How does the open day compare with the same hours of the days before, in words?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dashboards.live import words
from ml_guard.cli import wording as w
from ml_guard.hour_shapes import HourlyFeature, SameHours
from ml_guard.weekdays import named

TROUBLED = ("bad", "warn")


def compared(same: SameHours) -> int:
    """With how many days."""
    return sum(day.compared for day in same.days)


def until(same: SameHours) -> str:
    """Up to when, and against what.

    >>> from datetime import date
    >>> from ml_guard.hour_shapes import ComparedDay
    >>> days = [ComparedDay(day=date(2025, 1, day), compared=day > 1) for day in (1, 2, 3)]
    >>> until(SameHours(project_id="p", model_id="m", endpoint="e", hour=11, days=days))
    'until 11:00, against the same hours of the 2 days before'
    """
    count = compared(same)
    days = f"the {count} days before" if count != 1 else "the one day before"
    of = "" if same.weekdays is None else f" ({named(same.weekdays)})"
    hour = "" if same.hour is None else f"until {same.hour:02}:00, "
    return f"{hour}against the same hours of {days}{of}"


def feature_of(same: SameHours | None, feature: str) -> HourlyFeature | None:
    """A feature in the comparison; of two kinds the worse one."""
    rows = [] if same is None else [row for row in same.features if row.feature == feature]
    return min(rows, key=lambda row: words.severity(row.verdict), default=None)


def troubled(same: SameHours) -> list[HourlyFeature]:
    """The features that are not as before, the worst first."""
    rows = [row for row in same.features if words.tone(row.verdict) in TROUBLED]
    return sorted(rows, key=lambda row: (words.severity(row.verdict), -(row.psi or 0.0)))


def unsure(same: SameHours) -> int:
    """How many features have no verdict of drift or none."""
    return sum(words.tone(row.verdict) == "quiet" for row in same.features)


def hour_sentence(row: HourlyFeature, same: SameHours) -> str:
    """What is other than at the same hours before."""
    moved = w.what_moved(row)
    if moved and row.verdict != "not_counted":
        return words.begun(moved)
    if row.verdict == "insufficient_data":
        return "Too few events yet to tell drift from chance."
    if row.verdict == "not_counted":
        return "It was not counted in the baseline's bins from the day's beginning."
    count = compared(same)
    return f"As on the {count} days before." if count != 1 else "As on the day before."


def for_templates() -> dict[str, Callable[..., Any]]:
    """The words that templates use."""
    return {word.__name__: word for word in (until, compared, feature_of, troubled, unsure, hour_sentence)}
