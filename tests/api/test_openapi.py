"""Is the OpenAPI document true: do its examples work, and does it hold the event contract?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.app import create_app
from stream.settings import Settings
from tests.api.conftest import Door

DOCUMENT = create_app(Settings()).openapi()
OPERATIONS = [
    pytest.param(method, path, operation, id=operation["operationId"])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference names."""
    if "$ref" in schema:
        return dict(DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    return schema


def bodies(operation: dict[str, Any]) -> list[tuple[str, Any]]:
    """Every example of a body: those given whole, or one made of the fields' examples."""
    found: list[tuple[str, Any]] = []
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        if "examples" in media:
            found += [(kind, example["value"]) for example in media["examples"].values()]
        else:
            schema = resolved(media["schema"])
            fields = {
                name: field["examples"][0]
                for name, field in schema["properties"].items()
                if "examples" in field
            }
            assert set(schema.get("required", [])) <= set(fields), "a required field has no example"
            found.append((kind, fields))
    return found


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_example_of_a_body_is_understood(
    door: Door, method: str, path: str, operation: dict[str, Any]
) -> None:
    with door.client() as client:
        client.post("/projects", json={"project_id": "proj_123", "zone": "America/Toronto"})
        for kind, value in bodies(operation):
            content = value if isinstance(value, str) else json.dumps(value)
            address = path.format(project_id="proj_123", version=1, key_id="k", id="0-0-0")
            answer = client.request(
                method,
                f"{door.address}{address}",
                params={"project_id": "proj_123", "model_id": "m"} if "from-data" in path else {},
                content=content,
                headers={"Content-Type": kind},
            )
            if operation["operationId"] in ("capture_baseline", "preview_baseline"):
                assert answer.json()["code"] == "unknown_model", answer.text
            elif "by-weekday" in path:
                assert answer.json()["reason"] == "thin_groups", answer.text
            elif operation["operationId"] == "copy_baseline":
                assert answer.json()["code"] == "unknown_baseline", answer.text
            elif operation["operationId"] == "activate_baseline":
                assert answer.json()["code"] in ("unknown_baseline", "unknown_model"), answer.text
            elif operation["operationId"] == "purge_day":
                assert answer.json()["code"] == "unknown_day", answer.text
            elif operation["operationId"] == "mute_alert":
                assert answer.json()["code"] == "unknown_alert", answer.text
            else:
                assert answer.is_success, answer.text


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_operation_says_what_it_does_and_what_it_answers(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    assert operation["description"]
    good = [code for code in operation["responses"] if code.startswith("2")]
    assert len(good) == 1
    if path not in ("/api/v1/health", "/api/v1/ready", "/metrics"):
        assert operation["security"] == [{"APIKeyHeader": []}]
        media = operation["responses"]["default"]["content"]["application/problem+json"]
        assert media["schema"] == {"$ref": "#/components/schemas/Problem"}
    content = operation["responses"][good[0]].get("content", {})
    if "application/json" in content:
        assert content["application/json"]["schema"], "an answer without a schema"


def test_the_events_schema_is_the_contracts_own() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Event"]["required"] == ["project_id", "model_id"]
    assert schemas["Event"]["properties"]["endpoint"]["default"] == "predict"
    assert "ValidationError" not in json.dumps(DOCUMENT)


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(DOCUMENT["components"]["schemas"])


def test_the_document_is_served(door: Door) -> None:
    with door.client(None) as client:
        assert client.get("/openapi.json").json()["info"]["title"] == "ML Guard"
        assert client.get(f"{door.address}/docs").status_code == 200
