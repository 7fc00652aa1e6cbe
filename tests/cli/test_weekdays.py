"""Do people see which weekdays a baseline stands for, and how today compares with the same hours?"""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import FakeApi, Type
from tests.cli.test_commands import BASELINE, DETAIL, asked

WINDOW = ("--project", "shop", "--model", "churn", "--from", "2026-10-01", "--to", "2026-10-14")
WEEKDAYS = DETAIL | {"weekdays": [1, 2, 3, 4, 5], "version": 4}
WEEKEND = DETAIL | {"weekdays": [6, 7], "version": 5}
WARNING = "Sat, Sun: only 340 events; days as small as that are insufficient_data"

FEATURE: dict[str, Any] = {
    "feature": "country", "kind": "categorical", "n": 300, "missing": 0, "days": 2, "verdict": "drift", "mean": None,
    "mean_before": None, "p05": None, "p25": None, "p50": None, "p75": None, "p95": None, "p99": None, "psi": 0.41,
    "psi_expected": 0.02, "chi_square": 80.0, "degrees_of_freedom": 3, "p_value": 1e-9, "q_value": 2e-9,
    "js_distance": 0.2, "l_infinity": 0.2, "warning": 0.1, "drift": 0.25,
    "bins": [
        {"bin": "label", "label": "CA", "baseline_share": 0.7, "share": 0.5, "points": -20.0, "count": 150,
         "contribution": 0.2},
        {"bin": "label", "label": "US", "baseline_share": 0.3, "share": 0.5, "points": 20.0, "count": 150,
         "contribution": 0.21},
    ],
}  # fmt: skip
ANSWER: dict[str, Any] = {
    "project_id": "shop", "model_id": "churn", "endpoint": "predict", "day": "2026-10-20",
    "day_start": "2026-10-20T04:00:00Z", "zone": "America/Toronto", "hour": 9, "hour_at": "2026-10-20T13:00:00Z",
    "baseline_version": 4, "weekdays": [1, 2, 3, 4, 5], "requests": 300, "requests_before": 288.5, "reason": None,
    "days": [
        {"day": "2026-10-19", "compared": True, "requests": 290, "reason": None},
        {"day": "2026-10-16", "compared": True, "requests": 287, "reason": None},
        {"day": "2026-10-15", "compared": False, "requests": None, "reason": "no snapshot at 9:00: a backfill"},
    ],
    "features": [FEATURE],
}  # fmt: skip


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("weekday", [[1], [2], [3], [4], [5], [6], [7]]),
        ("workday-weekend", [[1, 2, 3, 4, 5], [6, 7]]),
        ("mon-thu,fri,sat+sun", [[1, 2, 3, 4], [5], [6, 7]]),
    ],
)
def test_a_capture_by_weekday_shows_a_version_a_group_and_what_is_thin(
    api: FakeApi, typed: Type, by: str, groups: list[list[int]]
) -> None:
    made = {"items": [WEEKDAYS, WEEKEND], "warnings": [WARNING]}
    api.give("POST", "/baselines/by-weekday", made, 201)
    seen = typed("baseline", "capture", *WINDOW, "--by", by)
    assert asked(api)[3]["weekdays"] == groups
    assert "Mon-Fri" in seen.out
    assert "Sat, Sun" in seen.out
    assert f"Note: {WARNING}." in " ".join(seen.err.split())


def test_a_preview_by_weekday_stores_nothing_and_json_is_the_answer(api: FakeApi, typed: Type) -> None:
    api.give("POST", "/baselines/by-weekday/preview", {"items": [WEEKDAYS], "warnings": []})
    seen = typed("baseline", "preview", *WINDOW, "--by", "workday-weekend", "--json")
    assert seen.json["items"][0]["weekdays"] == [1, 2, 3, 4, 5]
    assert "Nothing was stored" in seen.err


@pytest.mark.parametrize(
    ("by", "says"),
    [
        ("weekly", "'weekly' is not a weekday"),
        ("mon,mon-fri", "Mon is named twice"),
        ("sat-mon", "runs backwards"),
    ],
)
def test_groups_that_cannot_be_are_refused_before_anything_is_asked(
    api: FakeApi, typed: Type, by: str, says: str
) -> None:
    seen = typed("baseline", "capture", *WINDOW, "--by", by)
    assert seen.code == 2
    assert says in seen.err
    assert not api.asked


def test_the_list_shows_the_weekdays_and_show_wants_one_of_several(api: FakeApi, typed: Type) -> None:
    weekend = BASELINE | {"version": 5, "weekdays": [6, 7], "active": True}
    workdays = BASELINE | {"version": 4, "weekdays": [1, 2, 3, 4, 5], "active": True}
    api.give_list("/baselines", weekend, workdays)
    out = typed("baseline", "list").out
    assert "Mon-Fri" in out
    assert "Sat, Sun" in out
    seen = typed("baseline", "show", "--project", "shop", "--model", "churn")
    assert seen.code == 2
    assert "4 (Mon-Fri), 5 (Sat, Sun)" in " ".join(seen.err.split())


def test_several_versions_are_made_active_at_once(api: FakeApi, typed: Type) -> None:
    for row in (WEEKDAYS, WEEKEND):
        api.give("POST", f"/baselines/{row['version']}/activate", BASELINE | {"version": row["version"]})
    out = typed("baseline", "activate", "4", "5", "--project", "shop", "--model", "churn").out
    assert out.count("churn/predict") == 2


def test_the_same_hours_show_what_moved_and_what_was_not_compared(api: FakeApi, typed: Type) -> None:
    api.give("GET", "/drift/same-hours", ANSWER)
    seen = typed(
        "drift", "--same-hours", "--project", "shop", "--model", "churn", "--fail-on", "drift", "--bins"
    )
    assert seen.code == 1
    out = " ".join(seen.out.split())
    assert "2026-10-20 up to 09:00, against the same hours of 2 days before (Mon-Fri)" in out
    assert "CA -20.0, US +20.0 points" in out
    assert "300 requests, 288 on average before" in out
    assert "2026-10-15 no snapshot at 9:00: a backfill" in out
    assert "70.0 %" in out


def test_without_a_comparison_the_reason_is_said(api: FakeApi, typed: Type) -> None:
    api.give("GET", "/drift/same-hours", ANSWER | {"reason": "no full hour yet", "features": [], "days": []})
    seen = typed("drift", "--same-hours", "--project", "shop", "--model", "churn")
    assert (seen.code, "no full hour yet" in seen.out) == (0, True)


def test_the_same_hours_are_of_one_model_and_all_of_its_features(api: FakeApi, typed: Type) -> None:
    assert "of one model" in typed("drift", "--same-hours").err
    seen = typed("drift", "--same-hours", "--project", "p", "--model", "m", "--feature", "f")
    assert "all features" in seen.err
