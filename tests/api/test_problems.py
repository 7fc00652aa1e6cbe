"""Has every error one shape, and does it tell nothing that it should not?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.problems import CODES
from embedded.process import HOST, free_port
from stream.settings import Settings
from tests.api.conftest import Door, served

MEMBERS = {"type", "title", "status", "detail", "instance", "code"}


def check(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The document, if it is a problem as RFC 9457 has it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert set(document) >= MEMBERS
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"https://ml-guard.dev/problems/{code}"
    assert document["title"] == CODES[code][1]
    assert document["instance"] == answer.request.url.path
    return document


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nothing", None, 404, "not_found"),
        ("GET", "/", None, 404, "not_found"),
        ("PUT", "/health", None, 405, "method_not_allowed"),
        ("DELETE", "/events", None, 405, "method_not_allowed"),
        ("POST", "/projects", b"{", 400, "invalid_json"),
        ("POST", "/projects", b"{}", 422, "invalid_request"),
        ("POST", "/projects", b'{"project_id": "p", "zone": "UTC", "colour": 1}', 422, "invalid_request"),
        ("GET", "/projects/none", None, 404, "unknown_project"),
        ("GET", "/baselines/x?project_id=p&model_id=m", None, 422, "invalid_request"),
    ],
)
def test_every_refusal_is_a_problem_document(
    door: Door, method: str, path: str, body: bytes | None, status: int, code: str
) -> None:
    with door.client() as client:
        headers = {"Content-Type": "application/json"} if body else {}
        check(client.request(method, path, content=body, headers=headers), status, code)


def test_a_405_names_what_is_allowed(door: Door) -> None:
    with door.client() as client:
        answer = client.put("/keys/current")
    assert answer.status_code == 405
    assert answer.headers["Allow"]


def test_a_422_names_each_field_and_repeats_no_value(door: Door) -> None:
    secret = "a value that was sent"
    with door.client() as client:
        answer = client.post("/keys", json={"name": 3, "scopes": [secret], "project_ids": secret})
    document = check(answer, 422, "invalid_request")
    assert {error["field"] for error in document["errors"]} == {"name", "scopes.0", "project_ids"}
    assert secret not in answer.text


def test_a_failure_of_ours_is_a_500_without_its_insides(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    app = create_app(settings)

    @app.get("/api/v1/broken")
    async def broken() -> None:
        raise RuntimeError("the insides")

    with served(settings, app) as address:
        answer = httpx.get(f"{address}/api/v1/broken")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "internal_error"
    assert "insides" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_without_a_database_the_api_lives_and_says_what_is_missing(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(database_url=f"postgresql://ml_guard:ml_guard@{HOST}:{free_port()}/ml_guard")
    with served(settings) as address, httpx.Client(base_url=f"{address}/api/v1") as client:
        assert client.get("/health").content == b'{"status":"ok"}'
        ready = client.get("/ready")
        assert (ready.status_code, ready.json()["database"]) == (503, {"ok": False, "schema": "unknown"})
        assert ready.json()["reasons"] == ["The database does not answer."]
        answer = client.get("/models", headers={"X-API-Key": "demo-key"})
        check(answer, 503, "database_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        check(client.get("/models", headers={"X-API-Key": "mlg_" + "a" * 43}), 503, "database_unavailable")


def test_codes_and_statuses_are_those_of_the_documentation() -> None:
    assert {status for status, _ in CODES.values()} == {
        400,
        401,
        403,
        404,
        405,
        408,
        409,
        413,
        415,
        422,
        424,
        429,
        500,
        503,
    }
