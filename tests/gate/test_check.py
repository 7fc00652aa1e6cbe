"""Does the gate answer a pipeline with the right exit code, and say why?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import FakeApi, Type
from tests.cli.test_commands import BINS

WORDS = ("drift", "check", "--project", "shop", "--model", "churn", "--days", "3")


def of_day(ago: int, **more: Any) -> dict[str, Any]:
    """The key of a day in UTC, so many days ago."""
    now = datetime.now(timezone.utc)
    start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=ago)
    return {
        "project_id": "shop",
        "model_id": "churn",
        "endpoint": "predict",
        "day": str(start.date()),
        "day_start": start.isoformat(),
        "day_end": (start + timedelta(days=1)).isoformat(),
        "zone": "UTC",
        "revision": 1,
        "status": "final",
    } | more


def metric(ago: int, **more: Any) -> dict[str, Any]:
    return of_day(ago, requests=500, baseline_version=1) | more


def feature(ago: int, name: str, verdict: str, **more: Any) -> dict[str, Any]:
    figures = {"n": 500, "missing": 0, "psi": 0.31, "psi_expected": 0.005, "bins": BINS}
    return of_day(ago, feature=name, kind="numeric", verdict=verdict, **figures) | more


@pytest.mark.parametrize(
    ("rows", "fail_on", "code", "says"),
    [
        ([feature(1, "age", "ok")], "drift", 0, "1 verdicts, none of them drift"),
        ([feature(1, "age", "warning")], "drift", 0, "PASSED"),
        ([feature(1, "age", "warning")], "warning", 1, "age: warning"),
        ([feature(0, "age", "drift"), feature(1, "age", "ok")], "drift", 1, "age: drift"),
        ([feature(1, "age", "ok"), feature(1, "country", "missing_feature")], "drift", 1, "in no event"),
        ([feature(1, "age", "ok"), feature(1, "country", "type_changed")], "drift", 1, "country: values"),
        ([feature(1, "age", "insufficient_data")], "drift", 3, "too few events for a verdict (1,000)"),
        # Of a day on which nothing has a verdict, a feature may be missing by chance.
        ([feature(0, "age", "insufficient_data"), feature(0, "country", "missing_feature")], "drift", 3, "too few"),
        ([feature(1, "age", "ignored"), feature(1, "new", "new_feature")], "drift", 3, "no feature of the baseline"),
    ],
)  # fmt: skip
def test_the_exit_code_is_the_verdict(
    api: FakeApi, typed: Type, rows: list[dict[str, Any]], fail_on: str, code: int, says: str
) -> None:
    api.give_list("/metrics/daily", metric(0), metric(1))
    api.give_list("/drift/daily", *rows)
    seen = typed(*WORDS, "--fail-on", fail_on)
    assert seen.code == code
    assert says in " ".join(seen.out.split())
    told = typed(*WORDS, "--fail-on", fail_on, "--json")
    assert told.code == code
    assert told.json["outcome"] == {0: "passed", 1: "failed", 3: "not_enough_data"}[code]


def test_without_a_baseline_or_events_there_is_not_enough_data(api: FakeApi, typed: Type) -> None:
    api.give_list("/metrics/daily")
    seen = typed(*WORDS)
    assert (seen.code, "no event of this model" in seen.out) == (3, True)
    api.give_list("/metrics/daily", metric(1, baseline_version=None))
    api.give_list("/drift/daily", feature(1, "age", "missing_baseline"))
    seen = typed(*WORDS)
    assert (seen.code, "ml-guard baseline capture" in seen.out) == (3, True)


def test_older_days_do_not_count(api: FakeApi, typed: Type) -> None:
    api.give_list("/metrics/daily", metric(1), metric(3))
    api.give_list("/drift/daily", feature(1, "age", "ok"), feature(3, "age", "drift"))
    assert typed(*WORDS).code == 0
    assert typed(*WORDS[:-1], "5").code == 1


def test_an_error_is_2_whatever_it_is(
    api: FakeApi, typed: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.give("GET", "/metrics/daily", {"code": "invalid_key", "detail": "The key is not valid."}, 401)
    seen = typed(*WORDS)
    assert (seen.code, "not valid" in seen.err) == (2, True)
    assert typed(*WORDS, "--fail-on", "ok").code == 2
    assert typed("drift", "check").code == 2
    api.give_list("/metrics/daily")
    assert typed(*WORDS, "--junit", str(tmp_path / "none" / "drift.xml")).code == 2
    monkeypatch.setenv("ML_GUARD_URL", "http://127.0.0.1:9")
    assert typed(*WORDS).code == 2


def test_the_junit_report_has_a_case_a_day_and_feature(api: FakeApi, typed: Type, tmp_path: Path) -> None:
    file = tmp_path / "drift.xml"
    api.give_list("/metrics/daily", metric(0), metric(1))
    rows = [feature(0, "country", "drift"), feature(1, "age <1>", "ok"), feature(1, "id", "ignored")]
    api.give_list("/drift/daily", *rows)
    assert typed(*WORDS, "--junit", str(file)).code == 1
    suite = ElementTree.parse(file).getroot()
    assert {key: suite.get(key) for key in ("tests", "failures", "skipped", "errors")} == {
        "tests": "3",
        "failures": "1",
        "skipped": "1",
        "errors": "0",
    }
    assert [case.get("name") for case in suite] == ["country", "age <1>", "id"]
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "drift: US -10.0, CA +9.0 points"
    assert failure.text == "PSI 0.310, without drift 0.0050"
    api.give_list("/metrics/daily")
    assert typed(*WORDS, "--junit", str(file)).code == 3
    assert ElementTree.parse(file).getroot().get("errors") == "1"


def test_drift_itself_is_what_it_was(api: FakeApi, typed: Type) -> None:
    api.give_list("/drift/daily", feature(1, "age", "drift"))
    assert typed("drift", "--project", "shop", "--fail-on", "drift").code == 1
    assert "age" in typed("drift").out
