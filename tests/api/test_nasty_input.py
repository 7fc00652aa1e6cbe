"""Does any input make the API fail, rather than refuse? Every parameter and body field is given what nobody expects."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from api.app import create_app
from stream.settings import Settings
from tests.api.conftest import Door
from tests.api.test_doors import DOORS

NASTY: list[Any] = [
    "\0",
    "",
    " ",
    "x" * 10_000,
    "as long as an id\0",
    "\u202e\ufeff",
    "💥" * 200,
    "';--",
    "%00",
    "../../etc",
    "-1",
    "NaN",
    "1e400",
    "9" * 40,
    "0000-00-00",
    "9999-12-31",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "null",
    "[]",
    "eyJhIjoxfQ",
    "WyIiXQ",
]
BODIES: list[Any] = [
    b"",
    b"null",
    b"[]",
    b"3",
    b'"x"',
    b"{" * 5000,
    b"[" * 100_000,
    b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b"\xff\xfe\x00",
    b'{"project_id": "\\ud800", "zone": "\\ud800", "model_id": "\\ud800"}',
    b'{"project_id": NaN}',
]
DOCUMENT = create_app(Settings()).openapi()
PATHS = DOCUMENT["paths"]
EACH = [
    pytest.param(method, path, id=f"{method} {path}")
    for path, methods in PATHS.items()
    for method in methods
    if not path.endswith("/live")
]


def refused_well(answer: Any) -> bool:
    """Not a failure; a refusal is a problem document, save `ready`, whose document is its own."""
    if answer.status_code == 503 and answer.request.url.path.endswith("/ready"):
        return True
    if answer.status_code >= 400 and answer.headers["content-type"] != "application/problem+json":
        return False
    return bool(answer.status_code < 500)


@pytest.mark.parametrize(("method", "path"), EACH)
def test_no_parameter_makes_it_fail(door: Door, method: str, path: str) -> None:
    parameters = PATHS[path][method].get("parameters", [])
    attempt = DOORS.get((method, path.removeprefix("/api/v1")))
    with door.client() as client:
        if attempt is not None:
            client.post("/projects", json={"project_id": "the-project", "zone": "UTC"})
        for parameter in parameters:
            for value in NASTY:
                address = path
                params = dict(attempt.params) if attempt else {}
                headers = {}
                if parameter["in"] == "path":
                    address = path.replace(f"{{{parameter['name']}}}", _quoted(value))
                elif parameter["in"] == "query":
                    params[parameter["name"]] = value
                elif value.strip() and value.isascii() and value.isprintable():
                    headers[parameter["name"]] = value
                for name, filled in (attempt.path if attempt else {}).items():
                    address = address.replace(f"{{{name}}}", filled)
                answer = client.request(
                    method,
                    door.address + address,
                    params=params,
                    headers=headers,
                    json=attempt and attempt.body,
                )
                assert refused_well(answer), (parameter["name"], value, answer.text)


@pytest.mark.parametrize(
    ("method", "path"), [each for each in EACH if "requestBody" in PATHS[each.values[1]][each.values[0]]]
)
def test_no_body_makes_it_fail(door: Door, method: str, path: str) -> None:
    attempt = DOORS[method, path.removeprefix("/api/v1")]
    address = door.address + path.format(**attempt.path)
    with door.client() as client:
        client.post("/projects", json={"project_id": "the-project", "zone": "UTC"})
        for body in BODIES:
            answer = client.request(
                method, address, content=body, headers={"Content-Type": "application/json"}
            )
            assert refused_well(answer), (body[:50], answer.text)
        for field in attempt.body:
            for value in [*NASTY, None, True, -1, 10**30, 1e308, [], {}, [["\0"]], {"\0": "\0"}]:
                answer = client.request(
                    method,
                    address,
                    content=json.dumps({**attempt.body, field: value}),
                    headers={"Content-Type": "application/json"},
                )
                assert refused_well(answer), (field, value, answer.text)


def _quoted(value: str) -> str:

    return quote(value, safe="") or "%20"
