"""Does each command ask the API for the right thing, and print what it answers?"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import FakeApi, Type

DAY: dict[str, Any] = {
    "project_id": "shop",
    "model_id": "churn",
    "endpoint": "predict",
    "day": "2026-11-02",
    "day_start": "2026-11-02T04:00:00Z",
    "day_end": "2026-11-03T05:00:00Z",
    "zone": "America/Toronto",
    "revision": 2,
    "status": "final",
    "updated_at": "2026-11-03T06:00:00Z",
}
METRIC = DAY | {
    "requests": 12_345, "latency_p95_ms": 81.5, "baseline_version": 1, "features_scored": 9, "features_drift": 2,
}  # fmt: skip


def label(name: str, before: float, after: float, part: float) -> dict[str, Any]:
    points = 100 * (after - before)
    return {"bin": "label", "label": name, "baseline_share": before, "share": after, "points": points,
            "count": 1000 * after, "contribution": part}  # fmt: skip


BINS = [label("US", 0.30, 0.20, 0.04), label("CA", 0.60, 0.69, 0.01), label("GB", 0.10, 0.11, 0.001)]
DRIFT = DAY | {
    "feature": "country", "kind": "categorical", "n": 890, "missing": 110, "verdict": "drift", "method": "counters",
    "psi": 0.3124, "psi_expected": 0.0051, "q_value": 1e-30, "bins": BINS,
}  # fmt: skip
BASELINE = {
    "project_id": "shop", "model_id": "churn", "endpoint": "predict", "version": 3, "active": True,
    "days": ["2026-10-01", "2026-10-02"], "events": 5_000, "captured_at": "2026-10-03T00:00:00Z", "note": "autumn",
}  # fmt: skip
DETAIL = BASELINE | {
    "features": [
        {"feature": "age", "kind": "numeric", "n": 4_900, "missing": 100, "edges": [21.0, 35.5], "labels": None,
         "shares": [0.3, 0.3, 0.38, 0.02], "share_errors": [0.0] * 4, "warning": 0.1, "drift": 0.25, "ignored": False},
    ]
}  # fmt: skip
LETTER = {
    "id": "2-17-0", "topic": "ml_guard.events", "partition": 2, "offset": 17, "event_index": 0, "project_id": None,
    "reason": "unknown_project", "detail": "no project shoop", "appended_at": "2026-11-02T10:00:00Z",
}  # fmt: skip
PROJECT = {
    "project_id": "shop",
    "name": "Shop",
    "zone": "America/Toronto",
    "zones": [],
    "dedupe_by_event_id": False,
}


def asked(api: FakeApi) -> tuple[str, str, dict[str, list[str]], Any]:
    return api.asked[-1]


def test_metrics_prints_a_row_a_day(api: FakeApi, typed: Type) -> None:
    api.give_list("/metrics/daily", METRIC)
    seen = typed("metrics", "--project", "shop", "--from", "2026-11-01", "--to", "2026-11-02")
    assert seen.code == 0
    assert "12,345" in seen.out
    assert "2 drift" in seen.out
    assert "final r2" in seen.out
    query = asked(api)[2]
    assert (query["project_id"], query["from"], query["to"]) == (["shop"], ["2026-11-01"], ["2026-11-02"])
    assert api.keys == ["a-key"]


def test_drift_says_what_moved_in_one_sentence(api: FakeApi, typed: Type) -> None:
    api.give_list("/drift/daily", DRIFT)
    seen = typed("drift", "--project", "shop", "--verdict", "drift", "--verdict", "warning")
    assert "US -10.0, CA +9.0 points" in seen.out
    assert "0.312" in seen.out
    assert "< 1e-6" in seen.out
    assert asked(api)[2]["verdict"] == ["drift", "warning"]


def test_drift_shows_the_bins_when_asked(api: FakeApi, typed: Type) -> None:
    api.give_list("/drift/daily", DRIFT)
    assert "0.0400" in typed("drift", "--bins").out


@pytest.mark.parametrize(
    ("verdict", "tolerated", "code"), [("drift", "warning", 1), ("warning", "drift", 0), ("ok", "warning", 0)]
)
def test_drift_fails_a_pipeline_on_request(
    api: FakeApi, typed: Type, verdict: str, tolerated: str, code: int
) -> None:
    api.give_list("/drift/daily", DRIFT | {"verdict": verdict})
    assert typed("drift", "--fail-on", tolerated).code == code


def test_features_prints_the_most_frequent_labels(api: FakeApi, typed: Type) -> None:
    row = DAY | {"feature": "country", "kind": "categorical", "n": 9, "missing": 1, "missing_rate": 0.1}
    api.give_list(
        "/features/daily", row | {"top": [{"label": "CA", "count": 7}, {"label": "US", "count": 2}]}
    )
    assert "CA 7, US 2" in typed("features", "--feature", "country").out
    row |= {"top": [{"label": "CA", "count": 7}], "exact": False, "not_kept": 1_200, "label_error": 3}
    api.give_list("/features/daily", row)
    said = " ".join(typed("features").out.split())
    assert "of at most 1,200 values the label is not kept" in said
    assert typed("features", "--json").json[0]["label_error"] == 3


def test_an_empty_listing_is_a_sentence(api: FakeApi, typed: Type) -> None:
    api.give_list("/metrics/daily")
    assert "No days yet" in typed("metrics").out


@pytest.mark.parametrize(
    ("words", "path", "row"),
    [
        (("metrics",), "/metrics/daily", METRIC),
        (("drift",), "/drift/daily", DRIFT),
        (("project", "list"), "/projects", PROJECT),
        (("baseline", "list"), "/baselines", BASELINE),
        (("dead", "list"), "/dead-letters", LETTER),
    ],
)
def test_json_is_the_rows_and_nothing_else(
    api: FakeApi, typed: Type, words: tuple[str, ...], path: str, row: Any
) -> None:
    api.give_list(path, row)
    seen = typed(*words, "--json")
    assert len(seen.json) == 1
    assert {name: seen.json[0][name] for name in row} == row


def test_a_project_is_created_with_its_zone(api: FakeApi, typed: Type) -> None:
    api.give("POST", "/projects", PROJECT, 201)
    assert "America/Toronto" in typed("project", "create", "shop", "--zone", "America/Toronto").out
    assert asked(api)[3] == {"project_id": "shop", "zone": "America/Toronto"}


def test_a_zone_that_is_still_to_come_is_pointed_out(api: FakeApi, typed: Type) -> None:
    zones = [
        {"zone": "America/Toronto", "effective_from": None},
        {"zone": "Asia/Kathmandu", "effective_from": "2026-12-01T18:15:00Z"},
    ]
    api.give("PATCH", "/projects/shop", PROJECT | {"zones": zones})
    seen = typed("project", "zone", "shop", "Asia/Kathmandu")
    assert "Asia/Kathmandu from 2026-12-01 18:15:00Z" in seen.out
    assert "next midnight" in seen.err


def test_a_new_key_is_the_only_word_on_stdout(api: FakeApi, typed: Type) -> None:
    made = {"key_id": "k1", "name": "ci", "scopes": ["read"], "project_ids": ["shop"], "key": "mlg_secret"}
    api.give("POST", "/keys", made, 201)
    seen = typed("key", "create", "ci", "--scope", "read", "--project", "shop")
    assert seen.out == "mlg_secret\n"
    assert "cannot be shown again" in seen.err
    assert asked(api)[3] == {"name": "ci", "scopes": ["read"], "project_ids": ["shop"]}


def test_a_key_is_revoked(api: FakeApi, typed: Type) -> None:
    api.give("DELETE", "/keys/k1", None, 204)
    assert typed("key", "revoke", "k1").out == "Revoked k1.\n"


def test_a_baseline_is_captured_over_a_range_of_days(api: FakeApi, typed: Type) -> None:
    api.give("POST", "/baselines", DETAIL, 201)
    window = ("--from", "2026-10-01", "--to", "2026-10-02")
    seen = typed("baseline", "capture", "--project", "shop", "--model", "churn", *window)
    assert "2026-10-01 to 2026-10-02 (2)" in seen.out
    assert asked(api)[3]["days"] == ["2026-10-01", "2026-10-02"]


def test_a_preview_says_that_nothing_was_stored(api: FakeApi, typed: Type) -> None:
    api.give("POST", "/baselines/preview", DETAIL | {"version": None, "active": False})
    seen = typed("baseline", "preview", "--project", "shop", "--model", "churn", "--day", "2026-10-01")
    assert "preview" in seen.out
    assert "Nothing was stored" in seen.err


def test_show_takes_the_active_baseline_when_no_version_is_given(api: FakeApi, typed: Type) -> None:
    api.give_list("/baselines", BASELINE | {"version": 4, "active": False}, BASELINE)
    api.give("GET", "/baselines/3", DETAIL)
    assert "35.5" in typed("baseline", "show", "--project", "shop", "--model", "churn").out


def test_a_ledger_that_does_not_balance_ends_with_1(api: FakeApi, typed: Type) -> None:
    day = {
        "project_id": "",
        "day": None,
        "decoded": 5,
        "merged": 3,
        "dead": 1,
        "duplicate": 0,
        "deleted": 0,
        "difference": 1,
    }
    api.give_list("/client-counts")
    for balanced, code in ((True, 0), (False, 1)):
        api.give(
            "GET", "/ledger", {"balanced": balanced, "partitions": None, "items": [day], "next_cursor": None}
        )
        seen = typed("ledger")
        assert seen.code == code
        assert "unattributed" in seen.out


def test_a_dead_letter_is_shown_with_its_bytes(api: FakeApi, typed: Type) -> None:
    api.give(
        "GET",
        "/dead-letters/2-17-0",
        LETTER | {"original_text": '{"project_id": "shoop"}', "original_base64": "e30="},
    )
    assert '{"project_id": "shoop"}' in typed("dead", "show", "2-17-0").out


def test_dead_letters_are_replayed_by_reason(api: FakeApi, typed: Type) -> None:
    api.give("POST", "/dead-letters/replay", {"replayed": 3, "skipped": 1, "remaining": 0})
    assert "Sent again: 3. Skipped: 1." in typed("dead", "replay", "--reason", "unknown_project").out
    assert asked(api)[3] == {"reason": "unknown_project"}


def test_labels_are_hashed_after_a_question_or_a_yes(
    api: FakeApi, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.give("PATCH", "/projects/shop", PROJECT | {"labels": "hashed"})
    api.give("POST", "/projects", PROJECT | {"labels": "hashed"}, 201)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    seen = typed("project", "hash-labels", "shop")
    assert (seen.code, api.asked) == (130, [])
    assert "hashed" in typed("project", "hash-labels", "shop", "--yes").out
    assert asked(api)[3] == {"labels": "hashed"}
    typed("project", "create", "shop", "--zone", "UTC", "--hash-labels")
    assert asked(api)[3]["labels"] == "hashed"


def test_a_capture_from_a_file_sends_its_columns_and_shows_what_to_look_at(
    api: FakeApi, typed: Type, tmp_path: Path
) -> None:
    (tmp_path / "train.csv").write_text("age,country\n29,CA\n,US\n")
    detail = DETAIL | {"days": [], "data_name": "train.csv", "data_sha256": "ab" * 32, "data_rows": 2}
    answer = {"baseline": detail, "ignore": [{"feature": "id", "reason": "all different"}],
              "not_in_events": ["target"], "not_in_data": []}  # fmt: skip
    api.give("POST", "/baselines/from-data", answer, 201)
    file = str(tmp_path / "train.csv")
    seen = typed("baseline", "capture", "--project", "shop", "--model", "churn", "--from", file)
    assert (seen.code, seen.err) == (0, "")
    query, body = asked(api)[2:]
    assert (query["name"], query["model_id"], query["endpoint"]) == (["train.csv"], ["churn"], ["predict"])
    assert [json.loads(line) for line in body.splitlines()] == [
        {"feature": "age", "values": [29, None]},
        {"feature": "country", "values": ["CA", "US"]},
    ]
    assert "train.csv" in seen.out
    assert "Only in the data, in no event of the last 7 days: target" in seen.out
    assert "ml-guard feature set --project shop --model churn --feature id --ignore" in seen.out
    api.give(
        "POST", "/baselines/from-data/preview", answer | {"other_endpoints": ["score"], "not_in_events": None}
    )
    words = ("baseline", "capture", "--project", "shop", "--model", "churn", "--from", file)
    seen = typed(*words, "--preview", "--leave-out", "country")
    assert (seen.code, "Nothing was stored" in seen.err) == (0, True)
    assert [json.loads(line)["feature"] for line in asked(api)[3].splitlines()] == ["age"]
    assert "churn has had no event at endpoint predict, but at score: name it with --endpoint." in seen.out
    assert typed(*words[:-1], "2026-01-01", "--to", "2026-01-02", "--leave-out", "age").code == 2
    seen = typed(
        "baseline", "capture", "--project", "p", "--model", "m", "--from", file, "--to", "2026-01-01"
    )
    assert (seen.code, "no window of days" in seen.err) == (2, True)


def test_a_file_stands_for_one_group_of_weekdays(api: FakeApi, typed: Type, tmp_path: Path) -> None:
    (tmp_path / "weekend.csv").write_text("age\n29\n")
    detail = DETAIL | {"days": [], "weekdays": [6, 7], "data_name": "weekend.csv", "data_rows": 1}
    api.give("POST", "/baselines/from-data", {"baseline": detail, "ignore": []}, 201)
    capture = ("baseline", "capture", "--project", "shop", "--model", "churn", "--from")
    seen = typed(*capture, str(tmp_path / "weekend.csv"), "--by", "sat+sun")
    assert asked(api)[2]["weekdays"] == ["6", "7"]
    assert "Sat, Sun" in seen.out
    before = len(api.asked)
    seen = typed(*capture, str(tmp_path / "weekend.csv"), "--by", "workday-weekend")
    assert (seen.code, len(api.asked)) == (2, before)
    assert "a file is one baseline" in " ".join(seen.err.split())


def test_two_versions_are_shown_side_by_side(api: FakeApi, typed: Type) -> None:
    age = DETAIL["features"][0]
    other = age | {"shares": [0.35, 0.25, 0.38, 0.02], "mean": 31.5}
    later = DETAIL | {"version": 4, "features": [other, age | {"feature": "visits"}]}
    api.give("GET", "/baselines/3", DETAIL)
    api.give("GET", "/baselines/4", later)
    seen = typed("baseline", "compare", "3", "4", "--project", "shop", "--model", "churn")
    assert seen.code == 0
    assert "same, up to 5.0 points" in seen.out
    assert "only in one" in seen.out
    rows = typed("baseline", "compare", "3", "4", "--project", "shop", "--model", "churn", "--json").json
    assert [(row["feature"], row["same_bins"]) for row in rows] == [("age", True), ("visits", False)]
    assert rows[0]["largest_move"] == pytest.approx(0.05)


PURGED = {
    "receipt_id": "del_1", "project_id": "shop", "model_id": "churn", "endpoint": None, "day": "2026-11-02",
    "purged_at": "2026-11-03T06:00:00Z", "events": 1_200, "rows": [{"table": "day_sketch", "rows": 24}],
    "kafka": [{"topic": "ml_guard.events", "until": "2026-11-10T06:00:00Z"}, {"topic": "ml_guard.events.dead"}],
    "baselines": [{"endpoint": "predict", "version": 3}],
}  # fmt: skip


def test_a_day_is_purged_on_a_yes_only_and_the_receipt_is_shown(
    api: FakeApi, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.give("POST", "/purge", PURGED)
    words = ("purge", "--project", "shop", "--model", "churn", "--day", "2026-11-02")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    seen = typed(*words)
    assert (seen.code, api.asked) == (2, [])
    assert "nothing was purged" in seen.err
    seen = typed(*words, "--forget-batches", "--yes")
    assert seen.code == 0
    assert asked(api)[3] == {
        "project_id": "shop", "model_id": "churn", "day": "2026-11-02", "forget_batches": True,
    }  # fmt: skip
    for text in ("1,200 events", "del_1", "2026-11-10 06:00:00Z", "somebody deletes them", "Baseline 3"):
        assert text in seen.out
