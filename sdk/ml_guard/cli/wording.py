"""How is a number, an instant or a verdict written for people, and what moved, in one sentence?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ml_guard.hour_shapes import HourlyFeature
from ml_guard.shapes import DriftDay

VERDICT_STYLES = {
    "ok": "good",
    "warning": "warn",
    "drift": "bad",
    "insufficient_data": "quiet",
    "missing_baseline": "quiet",
    "ignored": "quiet",
    "not_counted": "quiet",
    "type_changed": "bad",
    "missing_feature": "bad",
    "new_feature": "warn",
}
ABSENT = "–"
MOVED = 2
"""Bins that a sentence about what moved names at most."""
NOTICED_POINTS = 0.5
"""Percentage points; a bin that moved less is not worth a word."""

_WITHOUT_BINS = {
    "missing_baseline": "no baseline to compare with",
    "missing_feature": "in no event of the day",
    "new_feature": "not in the baseline",
    "ignored": "set to be ignored",
    "not_counted": "not counted in the baseline's bins from the day's beginning",
}

_DISGUISING = re.compile("[\u202a-\u202e\u2066-\u2069\u2028\u2029]")


def visible(text: str) -> str:
    """A name whose signs cannot turn or break the text around it: those that set a direction are written out.

    >>> visible("US\u202e -6.8"), visible("CA")
    ('US\\\\u202e -6.8', 'CA')
    """
    return _DISGUISING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def count(number: int | None) -> str:
    """A whole number with its thousands set apart."""
    return ABSENT if number is None else f"{number:,}"


def number(value: float | None, digits: int = 4) -> str:
    """A number, as short as its size allows.

    >>> number(1234567.0), number(12.3456), number(0.00012345), number(None)
    ('1,234,567', '12.35', '0.0001234', '–')
    """
    if value is None:
        return ABSENT
    if value == 0 or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def fixed(value: float | None, digits: int = 3) -> str:
    """A number with a fixed number of digits behind the point."""
    return ABSENT if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """A share as per cent."""
    return ABSENT if value is None else f"{100 * value:.1f} %"


def money(amount: Decimal) -> str:
    """An amount to the cent, or with two digits where that would show nothing of it.

    >>> money(Decimal("1234.5678")), money(Decimal("0.000000001234")), money(Decimal(0)), money(Decimal("-0.004"))
    ('1,234.57', '0.0000000012', '0.00', '-0.0040')
    """
    if amount == 0 or abs(amount) >= Decimal("0.01"):
        return f"{amount:,.2f}"
    return f"{amount:,.{1 - amount.adjusted()}f}"


def chance(value: float | None) -> str:
    """A p- or q-value: small ones as a bound, since their digits say nothing.

    >>> chance(0.0312), chance(1e-30), chance(None)
    ('0.031', '< 1e-6', '–')
    """
    if value is None:
        return ABSENT
    return "< 1e-6" if value < 1e-6 else f"{value:.2g}"


def instant(at: datetime | None) -> str:
    """An instant in UTC, to the second."""
    return ABSENT if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"


def short_day(day: date) -> str:
    """A day without its year, where the year is plain."""
    return f"{day:%b} {day.day}"


def verdict(name: str) -> str:
    """A verdict in its colour."""
    return f"[{VERDICT_STYLES.get(name, 'name')}]{name}[/]"


def what_moved(row: DriftDay | HourlyFeature) -> str:
    """What moved, in one sentence: the bins whose share changed most, in percentage points.

    With the day's bins (`bins=True`); without, or where nothing is scored, what can be said instead.
    """
    if row.verdict == "type_changed":
        return f"the values are {row.kind} now"
    if row.verdict in _WITHOUT_BINS:
        return _WITHOUT_BINS[row.verdict]
    if row.verdict not in ("warning", "drift"):
        return ""
    return (
        ", ".join(f"{bin_name(one)} {one['points']:+.1f}" for one in _most_moved(row.bins or [])) + " points"
    )


def _most_moved(bins: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    by_size = sorted(bins, key=lambda one: -abs(one["points"]))[:MOVED]
    return [one for one in by_size if abs(one["points"]) >= NOTICED_POINTS] or by_size[:1]


def bin_name(one: Mapping[str, Any]) -> str:
    """A bin as a person would call it.

    >>> bin_name({"bin": "range", "lower": 3.0, "upper": None}), bin_name({"bin": "label", "label": "CA"})
    ('> 3', 'CA')
    """
    if one["bin"] == "label":
        return str(one["label"])
    if one["bin"] != "range":
        return str(one["bin"])
    lower, upper = one["lower"], one["upper"]
    if lower is None:
        return "any" if upper is None else f"<= {number(upper, 3)}"
    if upper is None:
        return f"> {number(lower, 3)}"
    if f"{lower:.12g}" == f"{upper:.12g}":  # an atom alone in its bin, which is a hair wide
        return f"= {number(upper)}"
    return f"{number(lower, 3)} to {number(upper, 3)}"
