"""Does every door hold? Each operation of the OpenAPI document is tried with keys that must not open it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from api.app import create_app
from stream.settings import Settings
from tests.api.conftest import Door

OPEN = {("get", "/api/v1/health"), ("get", "/api/v1/ready"), ("get", "/metrics")}
P = "the-project"
_RANGE = {"from": "2025-01-01T00:00:00Z", "to": "2025-01-02T00:00:00Z"}
_MODEL = {"project_id": P, "model_id": "m"}
_DAYS = {"from": "2025-01-01", "to": "2025-01-02"}
_PAIR = {"a_project_id": P, "a_model_id": "m", "b_project_id": P, "b_model_id": "m"}
_COUNTS = {
    "client_id": "client-0001",
    "counts": [{"project_id": P, "day": "2025-01-01", "outcome": "sent", "events": 1}],
}
_POLICY = {
    "condition": "drift", "name": "n", **_MODEL, "endpoint": "e", "feature": "f", "threshold": 0.2, "days": 3,
    "minutes": 5, "percentile": 0.9, "local_time": "06:00", "open_day": True, "severity": "info",
    "cooldown_minutes": 60, "channels": [], "enabled": True,
}  # fmt: skip

_COSTS = {
    "project_id": P, "tags": {"team": ["ml"]}, "services": ["AWS Lambda"], "accounts": ["123456789012"], "currency": "USD",
}  # fmt: skip


@dataclass(frozen=True)
class Try:
    """A request that its scope opens: how to make it, and whether it names the project `P`."""

    scope: str | None
    names_project: bool
    params: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    path: dict[str, str] = field(default_factory=dict)


DOORS = {
    ("post", "/events"): Try("ingest", True, body={**_MODEL}),
    ("get", "/projects"): Try("read", False),
    ("post", "/projects"): Try("admin", False, body={"project_id": P, "zone": "UTC"}),
    ("get", "/projects/{project_id}"): Try("read", True, path={"project_id": P}),
    ("patch", "/projects/{project_id}"): Try("admin", True, body={"name": "new"}, path={"project_id": P}),
    ("delete", "/projects/{project_id}"): Try(
        "admin", True, params={"confirm": f"not {P}"}, path={"project_id": P}
    ),
    ("get", "/keys"): Try("admin", False),
    ("post", "/keys"): Try("admin", True, body={"name": "k", "scopes": ["read"], "project_ids": [P]}),
    ("get", "/keys/current"): Try(None, False),
    ("delete", "/keys/{key_id}"): Try("admin", False, path={"key_id": "key_0"}),
    ("get", "/models"): Try("read", True, params={"project_id": P}),
    ("post", "/baselines"): Try("operate", True, body={**_MODEL, "days": ["2025-01-01"]}),
    ("post", "/baselines/preview"): Try("read", True, body={**_MODEL, "days": ["2025-01-01"]}),
    ("get", "/baselines"): Try("read", True, params={"project_id": P}),
    ("get", "/baselines/{version}"): Try("read", True, params=_MODEL, path={"version": "1"}),
    ("post", "/baselines/{version}/activate"): Try("operate", True, body=_MODEL, path={"version": "1"}),
    ("post", "/baselines/by-weekday"): Try("operate", True, body={**_MODEL, "days": ["2025-01-01"]}),
    ("post", "/baselines/by-weekday/preview"): Try("read", True, body={**_MODEL, "days": ["2025-01-01"]}),
    ("post", "/baselines/copy"): Try("operate", True, body={**_MODEL, "from_model_id": "other"}),
    ("post", "/baselines/from-data"): Try("operate", True, params=_MODEL, body={}),
    ("post", "/baselines/from-data/preview"): Try("read", True, params=_MODEL, body={}),
    ("get", "/compare"): Try("read", True, params=_PAIR),
    ("get", "/drift/against"): Try("read", True, params={**_MODEL, **_DAYS, "version": 1}),
    ("get", "/drift/same-hours"): Try("read", True, params=_MODEL),
    ("get", "/feature-settings"): Try("read", True, params={"project_id": P}),
    ("put", "/feature-settings"): Try("operate", True, body={"project_id": P, "bins": 20}),
    ("delete", "/feature-settings"): Try("operate", True, params={"project_id": P}),
    ("get", "/metrics/daily"): Try("read", True, params={"project_id": P}),
    ("get", "/features/daily"): Try("read", True, params={"project_id": P}),
    ("get", "/drift/daily"): Try("read", True, params={"project_id": P}),
    ("get", "/latency"): Try("read", True, params={**_MODEL, **_RANGE}),
    ("get", "/ledger"): Try("read", True, params={"project_id": P}),
    ("get", "/client-counts"): Try("read", True, params={"project_id": P}),
    ("post", "/client-counts"): Try("ingest", True, body=_COUNTS),
    ("get", "/dead-letters"): Try("read", True, params={"project_id": P}),
    ("get", "/dead-letters/{id}"): Try("read", False, path={"id": "0-0-0"}),
    ("post", "/dead-letters/replay"): Try(
        "operate", True, body={"project_id": P, "reason": "unknown_project"}
    ),
    ("post", "/purge"): Try("admin", True, body={**_MODEL, "day": "2025-01-01"}),
    ("get", "/alerts"): Try("read", True, params={"project_id": P}),
    ("get", "/alerts/{id}"): Try("read", False, path={"id": "4f0c"}),
    ("post", "/alerts/{id}/acknowledge"): Try("operate", False, path={"id": "4f0c"}),
    ("post", "/alerts/{id}/mute"): Try("operate", False, body={"minutes": 5}, path={"id": "4f0c"}),
    ("get", "/alerts/{id}/deliveries"): Try("read", False, path={"id": "4f0c"}),
    ("get", "/alert-policies"): Try("read", True, params={"project_id": P}),
    ("put", "/alert-policies"): Try("operate", True, body=_POLICY),
    ("delete", "/alert-policies"): Try("operate", True, params={"name": "drift", "project_id": P}),
    ("post", "/alert-policies/try"): Try("read", True, body={"condition": "drift", "project_id": P}),
    ("get", "/costs/daily"): Try("read", True, params={"project_id": P}),
    ("post", "/costs/pull"): Try("operate", True, params={"project_id": P}),
    ("get", "/costs/filter"): Try("read", True, params={"project_id": P}),
    ("put", "/costs/filter"): Try("operate", True, body=_COSTS),
    ("delete", "/costs/filter"): Try("operate", True, params={"project_id": P}),
    ("get", "/live"): Try("read", True, params={"project_id": P}),
}
IMPLIED = {
    "ingest": ["ingest"],
    "read": ["read"],
    "operate": ["read", "operate"],
    "admin": ["ingest", "read", "operate"],
}
EACH = [pytest.param(*door, id=f"{door[0]} {door[1]}") for door in DOORS]


def status_of(door: Door, key: str | None, operation: tuple[str, str]) -> tuple[int, str]:
    """The status and the problem's code; a stream is not read."""
    attempt = DOORS[operation]
    with (
        door.client(key) as client,
        client.stream(
            operation[0],
            operation[1].format(**attempt.path),
            params=attempt.params,
            json=attempt.body,
        ) as answer,
    ):
        if answer.headers.get("content-type") == "application/problem+json":
            answer.read()
            return answer.status_code, answer.json()["code"]
        return answer.status_code, ""


@pytest.fixture(scope="module")
def door_with_project(door: Door) -> Door:
    with door.client() as client:
        for name in (P, "another"):
            client.post("/projects", json={"project_id": name, "zone": "UTC"}).raise_for_status()
    return door


def test_no_route_is_missing_from_this_table() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    operations = {(method, path) for path, methods in paths.items() for method in methods}
    assert operations - OPEN == {(method, f"/api/v1{path}") for method, path in DOORS}


@pytest.mark.parametrize(("method", "path"), EACH)
@pytest.mark.parametrize("key", [None, "", "demo-key2", "mlg_" + "A" * 43, "x" * 5000])
def test_without_a_valid_key_every_door_is_shut(
    door_with_project: Door, method: str, path: str, key: str | None
) -> None:
    assert status_of(door_with_project, key, (method, path)) == (401, "invalid_key")


@pytest.mark.parametrize(("method", "path"), EACH)
def test_a_key_without_the_scope_is_told_so(door_with_project: Door, method: str, path: str) -> None:
    needed = DOORS[method, path].scope
    for scope, others in IMPLIED.items():
        if needed is not None and needed != scope and needed not in others:
            key = door_with_project.key([scope])
            assert status_of(door_with_project, key, (method, path)) == (403, "missing_scope")


@pytest.mark.parametrize(("method", "path"), EACH)
def test_the_scope_alone_opens_the_door(door_with_project: Door, method: str, path: str) -> None:
    key = door_with_project.key([DOORS[method, path].scope or "ingest"])
    status, code = status_of(door_with_project, key, (method, path))
    assert status not in (401, 403)
    assert code != "unknown_project"
    assert status < 500


@pytest.mark.parametrize(("method", "path"), EACH)
def test_another_projects_key_hears_that_there_is_no_such_project(
    door_with_project: Door, method: str, path: str
) -> None:
    attempt = DOORS[method, path]
    if not attempt.names_project:
        return
    bound = door_with_project.key([attempt.scope or "read"], ["another"])
    assert status_of(door_with_project, bound, (method, path)) == (404, "unknown_project")


def test_what_is_hidden_and_what_is_not_there_answer_alike(door_with_project: Door) -> None:
    bound = door_with_project.key(["read"], ["another"])
    with door_with_project.client(bound) as client:
        hidden = client.get("/metrics/daily", params={"project_id": P}).json()
        absent = client.get("/metrics/daily", params={"project_id": "nowhere"}).json()
    assert {**hidden, "detail": "", "project_id": ""} == {**absent, "detail": "", "project_id": ""}
    assert hidden["detail"].replace(P, "nowhere") == absent["detail"]


def test_lists_without_a_project_show_the_keys_own_only(door_with_project: Door) -> None:
    for name in (P, "another"):
        door_with_project.sql(
            "insert into ml_guard.model (project_id, model_id, endpoint) values ($1, 'm', 'predict')"
            " on conflict do nothing",
            name,
        )
    with door_with_project.client(door_with_project.key(["read"], ["another"])) as client:
        assert [row["project_id"] for row in client.get("/models").json()["items"]] == ["another"]
        assert [row["project_id"] for row in client.get("/projects").json()["items"]] == ["another"]
        assert client.get("/ledger").json()["partitions"] is None
