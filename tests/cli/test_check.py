"""Does `ml-guard check` say whether events would arrive, of the server and the key that a service would use?"""

from __future__ import annotations

import pytest

from tests.cli.conftest import FakeApi, Type

PROJECT = "/client-counts"


@pytest.fixture
def good(api: FakeApi) -> FakeApi:
    """A server that would take events of project shop."""
    api.give("GET", "/health", {"status": "ok"})
    api.give("GET", "/keys/current", {"name": "serving", "scopes": ["ingest"], "project_ids": ["shop"]})
    api.give("POST", PROJECT, {"unknown_projects": []})
    api.give("GET", "/ready", {"status": "ready", "reasons": []})
    return api


def test_events_that_would_arrive_are_0(good: FakeApi, typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_GUARD_PROJECT", "shop")
    seen = typed("check")
    assert (seen.code, seen.err) == (0, "")
    assert "shop takes events of this key" in seen.out
    assert {(where, key) for (_, where, _, _), key in zip(good.asked, good.keys, strict=True)} >= {
        ("/api/v1/keys/current", "a-key")
    }
    told = typed("check", "--json")
    assert (told.code, told.json["ok"]) == (0, True)
    assert [step["name"] for step in told.json["steps"]] == [
        "address", "clock", "key", "scope", "project", "pipeline"
    ]  # fmt: skip


def test_events_that_would_not_arrive_are_1_with_the_cause_and_the_cure(good: FakeApi, typed: Type) -> None:
    good.give("POST", PROJECT, {"code": "unknown_project", "detail": "no"}, 404)
    seen = typed("check", "--project", "shoop")
    assert seen.code == 1
    assert "FAILED" in seen.out
    assert "shoop is unknown" in seen.out
    assert "`ml-guard project create` makes it" in seen.out
    assert all(line.rstrip() for line in seen.out.splitlines())
    assert not typed("check", "--project", "shoop", "--json").json["ok"]
    assert typed("check").code == 0  # no project is named, so none is asked about
    away = typed("--url", "http://127.0.0.1:9", "check")
    assert (away.code, "is the server running?" in away.out) == (1, True)


def test_kafka_is_looked_at_where_a_service_would_use_it(
    good: FakeApi, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_GUARD_KAFKA", "127.0.0.1:9")
    seen = typed("check", "--timeout", "1", "--json")
    assert seen.code == 1
    assert [(step["name"], step["ok"]) for step in seen.json["steps"]] == [
        ("broker", False),
        ("counts", True),
    ]
    assert seen.json["steps"][1]["seen"] == "reach the server too"  # ML_GUARD_URL stands beside it
    monkeypatch.delenv("ML_GUARD_URL")
    told = typed("check", "--timeout", "1", "--json").json["steps"][1]
    assert told["seen"] == "reach the server through Kafka"
    assert not good.asked
    assert typed("--url", good.url, "check").code == 0  # a server that is named is the one that is meant


def test_a_switch_that_is_off_is_said(typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_GUARD_ENABLED", "0")
    seen = typed("check")
    assert (seen.code, "ML_GUARD_ENABLED=0" in seen.out) == (1, True)
