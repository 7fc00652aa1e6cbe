"""Are numbers and changes written so that a person reads them right?"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from ml_guard.cli import wording as w
from ml_guard.shapes import DriftDay


def row(verdict: str, bins: list[dict[str, Any]] | None = None, kind: str = "numeric") -> DriftDay:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return DriftDay(
        project_id="p", model_id="m", endpoint="e", day=date(2026, 1, 1), day_start=at, day_end=at, zone="UTC",
        revision=1, status="final", feature="f", kind=kind, n=1, missing=0, verdict=verdict, bins=bins,
    )  # fmt: skip


def span(lower: float | None, upper: float | None, points: float) -> dict[str, Any]:
    return {"bin": "range", "lower": lower, "upper": upper, "points": points}


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (span(None, 3.14159, 0), "<= 3.14"),
        (span(7521.4, None, 0), "> 7,521"),
        (span(0.58284, 0.68081, 0), "0.583 to 0.681"),
        (span(11.999999999999998, 12.0, 0), "= 12"),
        (span(None, None, 0), "any"),
        ({"bin": "label", "label": "CA"}, "CA"),
        ({"bin": "unseen"}, "unseen"),
    ],
)
def test_a_bin_has_a_name(one: dict[str, Any], name: str) -> None:
    assert w.bin_name(one) == name


def test_the_bins_that_moved_most_are_named_with_their_points() -> None:
    bins = [span(None, 1.0, -6.8), span(1.0, 2.0, 0.1), span(2.0, None, 6.7)]
    assert w.what_moved(row("drift", bins)) == "<= 1 -6.8, > 2 +6.7 points"


def test_small_moves_are_not_worth_a_word_unless_there_is_nothing_else() -> None:
    assert w.what_moved(row("warning", [span(None, 1.0, 9.0), span(1.0, None, -0.2)])) == "<= 1 +9.0 points"
    assert w.what_moved(row("warning", [span(None, 1.0, 0.3), span(1.0, None, -0.2)])) == "<= 1 +0.3 points"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("ok", ""),
        ("insufficient_data", ""),
        ("type_changed", "the values are numeric now"),
        ("missing_feature", "in no event of the day"),
        ("new_feature", "not in the baseline"),
        ("missing_baseline", "no baseline to compare with"),
    ],
)
def test_what_cannot_be_scored_is_said(verdict: str, said: str) -> None:
    assert w.what_moved(row(verdict)) == said


def test_every_verdict_has_a_style() -> None:
    from stream.drift import Status

    assert {status.value for status in Status} <= set(w.VERDICT_STYLES)
