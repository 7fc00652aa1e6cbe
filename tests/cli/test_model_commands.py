"""Do `models`, `latency` and `feature` ask the API for the right thing, and print what it answers?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from tests.cli.conftest import FakeApi, Type

MODEL = {
    "project_id": "shop", "model_id": "churn", "endpoint": "predict", "first_seen_at": "2026-11-01T08:00:00Z",
    "last_event_at": "2026-11-24T09:30:00Z", "baseline_version": 3,
}  # fmt: skip
STEP = {
    "start": "2026-11-24T08:00:00Z", "end": "2026-11-24T09:00:00Z", "requests": 12_345, "latency_n": 12_000,
    "mean_ms": 44.25, "percentiles": {"0.5": 41.2, "0.999": None},
}  # fmt: skip
SETTING = {
    "project_id": "shop", "model_id": "churn", "endpoint": "*", "feature": "[age]", "kind": None, "bins": 20,
    "warning": 0.15, "drift": None, "ignored": False, "updated_at": "2026-11-24T09:00:00Z",
}  # fmt: skip


def cells(out: str, first: str) -> list[str]:
    """The words of the row that begins with this one."""
    return next(line.split() for line in out.splitlines() if line.strip().startswith(first))


def test_models_shows_the_newest_event_and_the_baseline(api: FakeApi, typed: Type) -> None:
    api.give_list("/models", MODEL, MODEL | {"model_id": "fraud", "baseline_version": None})
    seen = typed("models", "--project", "shop")
    assert "churn/predict" in seen.out
    assert cells(seen.out, "shop")[-1] == "3"
    assert "2026-11-24 09:30:00Z" in seen.out
    assert api.asked[-1][2]["project_id"] == ["shop"]
    assert [row["model_id"] for row in typed("models", "--json").json] == ["churn", "fraud"]
    api.give_list("/models")
    assert "register themselves" in typed("models").out


def test_latency_asks_for_a_range_in_steps(api: FakeApi, typed: Type) -> None:
    api.give("GET", "/latency", {"items": [STEP]})
    of = ("latency", "--project", "shop", "--model", "churn")
    shares = ("--percentile", "0.5", "--percentile", "0.999")
    window = ("--from", "2026-11-24T08:00:00Z", "--to", "2026-11-24T12:00:00+02:00")
    seen = typed(*of, *window, "--step", "1h", *shares)
    assert seen.code == 0
    assert "p50 ms" in seen.out
    assert "p99.9 ms" in seen.out
    assert cells(seen.out, "2026-11-24")[-4:] == ["12,345", "44.25", "41.2", "–"]
    query = api.asked[-1][2]
    assert (query["step_s"], query["percentiles"]) == (["3600"], ["0.5", "0.999"])
    begin, end = (datetime.fromisoformat(query[name][0]) for name in ("from", "to"))
    assert (begin, end) == (
        datetime(2026, 11, 24, 8, tzinfo=timezone.utc),
        datetime(2026, 11, 24, 10, tzinfo=timezone.utc),
    )
    assert typed(*of, *window, "--json").json[0]["percentiles"] == STEP["percentiles"]


def test_latency_is_of_the_last_day_if_nothing_is_said(api: FakeApi, typed: Type) -> None:
    api.give("GET", "/latency", {"items": []})
    before = datetime.now(timezone.utc)
    assert "No requests" in typed("latency", "--project", "shop", "--model", "churn").out
    query = api.asked[-1][2]
    begin, end = (datetime.fromisoformat(query[name][0]) for name in ("from", "to"))
    assert end - begin == timedelta(days=1)
    assert before <= end <= datetime.now(timezone.utc)


def test_a_feature_is_set_listed_and_unset(api: FakeApi, typed: Type) -> None:
    api.give("PUT", "/feature-settings", SETTING)
    place = ("--project", "shop", "--model", "churn", "--feature", "[age]")
    seen = typed("feature", "set", *place, "--bins", "20", "--warning", "0.15", "--no-ignore")
    assert cells(seen.out, "shop") == ["shop", "churn", "*", "[age]", "–", "20", "0.15", "–", "no"]
    assert "baseline capture" in seen.err
    sent: dict[str, Any] = api.asked[-1][3]
    assert sent == {
        "project_id": "shop", "model_id": "churn", "endpoint": "*", "feature": "[age]", "bins": 20, "warning": 0.15,
        "ignored": False,
    }  # fmt: skip

    api.give_list("/feature-settings", SETTING)
    assert typed("feature", "list", "--project", "shop", "--model", "churn", "--json").json[0]["bins"] == 20
    assert api.asked[-1][2]["model_id"] == ["churn"]
    api.give_list("/feature-settings")
    assert "every feature has the defaults" in typed("feature", "list", "--project", "shop").out

    api.give("DELETE", "/feature-settings", None, 204)
    assert typed("feature", "unset", *place).out == "Unset [age] of shop churn/*.\n"
    assert api.asked[-1][2]["feature"] == ["[age]"]
