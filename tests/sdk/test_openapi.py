"""Do the client's methods and the API's own description agree, endpoint by endpoint and field by field?"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from api.app import create_app
from ml_guard import alert_calls, baseline_calls, calls, compare_calls, cost_calls, shapes
from ml_guard.call import PREFIX, Call, Listing, Page
from stream.settings import Settings

DOCUMENT = create_app(Settings()).openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]
BUILDERS = {
    name: function
    for module in (calls, baseline_calls, compare_calls, alert_calls, cost_calls)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if not name.startswith("_") and function.__module__ == module.__name__
}
OTHERWISE = {
    "send_events",
    "report_client_counts",
    "capture_baseline_from_data",
    "preview_baseline_from_data",
    "live",
    "prometheus_metrics",
}
"""What is no call: ingestion and its counts have a transport, a data set and the live stream iterators of their own, and
/metrics is Prometheus'."""

VALUES: dict[str, Any] = {
    "days": ["2025-01-01"],
    "weekdays": [[1, 2, 3, 4, 5], [6, 7]],
    "day": "2025-01-01",
    "from_": "2025-01-01T00:00:00Z",
    "to": "2025-01-02T00:00:00Z",
    "a_from": "2025-01-01",
    "a_to": "2025-01-01",
    "b_from": "2025-01-01",
    "b_to": "2025-01-01",
    "version": 3,
    "limit": 10,
    "scopes": ["read"],
    "project_ids": ["p"],
    "ids": ["0-1-0"],
    "percentiles": [0.5],
    "step_s": 60,
    "verdict": ["drift"],
    "bins": True,
    "replayed": False,
    "again": False,
    "ignored": False,
    "dedupe_by_event_id": False,
    "threshold": 0.1,
    "minutes": 30,
    "percentile": 0.9,
    "open_day": True,
    "forget_batches": True,
    "cooldown_minutes": 60,
    "rise_percent": 50.0,
    "channels": ["slack"],
    "enabled": False,
    "past_days": 7,
    "overwrite": True,
    "tags": {"project": ["churn"]},
    "services": ["Amazon SageMaker"],
    "accounts": ["123456789012"],
    "warning": 0.1,
    "drift": 0.2,
}
SAMPLES: dict[str, Any] = {"string": "x", "integer": 1, "number": 1.5, "boolean": True}
FORMATS = {"date": "2025-01-01", "date-time": "2025-01-01T00:00:00Z", "decimal": "0.000000001"}


def request_of(function: Any, *, everything: bool) -> Call[Any] | Listing[Any]:
    """The request of a function, with every parameter, or only those that it must have."""
    parameters = inspect.signature(function).parameters.values()
    arguments = {
        p.name: VALUES.get(p.name, f"a {p.name}")
        for p in parameters
        if everything or p.default is inspect.Parameter.empty
    }
    request = function(**arguments)
    assert isinstance(request, Call | Listing)
    return request


def operation_of(request: Call[Any] | Listing[Any]) -> dict[str, Any]:
    """The operation of the document that a request is for: a path without variables wins."""
    method = request.method.lower() if isinstance(request, Call) else "get"
    found = [
        (path.count("{"), operations[method])
        for path, operations in DOCUMENT["paths"].items()
        if method in operations
        and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), PREFIX + request.path) is not None
    ]
    assert found, f"{method} {request.path} is not in the document"
    return dict(min(found, key=lambda pair: pair[0])[1])


def query_of(request: Call[Any] | Listing[Any]) -> set[str]:
    return set(request.query) | ({"limit", "cursor"} if isinstance(request, Listing) else set())


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    return dict(SCHEMAS[schema["$ref"].rsplit("/", 1)[1]]) if "$ref" in schema else schema


def answer_schema(operation: dict[str, Any]) -> dict[str, Any] | None:
    for status, answer in operation["responses"].items():
        if status.startswith("2") and "content" in answer:
            return resolved(answer["content"]["application/json"]["schema"])
    return None


def samples(schema: dict[str, Any], depth: int = 0) -> Iterator[Any]:
    """Values that a schema allows: all fields given, and every field null that may be."""
    schema = resolved(schema)
    if "anyOf" in schema or "oneOf" in schema:
        for part in schema.get("anyOf") or schema["oneOf"]:
            yield from samples(part, depth)
        return
    if "enum" in schema or "const" in schema:
        yield schema.get("const", (schema.get("enum") or [None])[0])
        return
    kind = schema.get("type")
    if kind == "null":
        yield None
    elif kind == "array":
        yield [next(samples(schema.get("items", {}), depth + 1))]
        yield []
    elif kind == "object" and "properties" in schema:
        fields = {name: list(samples(field, depth + 1)) for name, field in schema["properties"].items()}
        yield {name: values[0] for name, values in fields.items()}
        yield {name: values[-1] for name, values in fields.items()}
        if "required" in schema:
            yield {name: fields[name][0] for name in schema["required"]}
    elif kind == "object":
        inner = schema.get("additionalProperties")
        yield {"0.5": next(samples(inner))} if isinstance(inner, dict) else {}
    elif kind is None:
        yield None
    else:
        yield FORMATS.get(schema.get("format", ""), SAMPLES[kind])


@pytest.mark.parametrize("name", BUILDERS)
def test_a_method_asks_only_what_the_api_understands(name: str) -> None:
    for everything in (True, False):
        request = request_of(BUILDERS[name], everything=everything)
        operation = operation_of(request)
        declared = {p["name"]: p for p in operation.get("parameters", []) if p["in"] == "query"}
        assert query_of(request) <= set(declared)
        assert {n for n, p in declared.items() if p.get("required")} <= query_of(request)
        body = request.body if isinstance(request, Call) else None
        assert (body is not None) == ("requestBody" in operation)
        if body is not None:
            schema = resolved(operation["requestBody"]["content"]["application/json"]["schema"])
            assert set(body) <= set(schema["properties"])
            assert set(schema.get("required", ())) <= set(body)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_method_can_ask_everything_that_the_api_offers(name: str) -> None:
    request = request_of(BUILDERS[name], everything=True)
    operation = operation_of(request)
    declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "query"}
    if name != "ledger":  # `ledger_days` has the pages
        assert query_of(request) == declared
    if isinstance(request, Call) and request.body is not None:
        schema = resolved(operation["requestBody"]["content"]["application/json"]["schema"])
        assert set(request.body) == set(schema["properties"])


@pytest.mark.parametrize("name", BUILDERS)
def test_every_answer_that_the_document_allows_is_read(name: str) -> None:
    request = request_of(BUILDERS[name], everything=False)
    schema = answer_schema(operation_of(request))
    if isinstance(request, Listing) or request.in_items:
        assert schema is not None
        item = schema["properties"]["items"]["items"]
        for value in samples(schema):
            msgspec.json.decode(msgspec.json.encode(value), type=Page)
        schema, kind = resolved(item), request.item if isinstance(request, Listing) else request.answer
    else:
        kind = request.answer
    assert (schema is None) == (kind is None)
    if schema is None:
        return
    assert set(schema["properties"]) - {"next_cursor"} == {f.name for f in msgspec.structs.fields(kind)}
    for value in samples(schema):
        assert isinstance(msgspec.json.decode(msgspec.json.encode(value), type=kind), shapes.Shape)


def test_every_endpoint_has_a_method() -> None:
    operations = {o["operationId"] for methods in DOCUMENT["paths"].values() for o in methods.values()}
    covered = {operation_of(request_of(f, everything=True))["operationId"] for f in BUILDERS.values()}
    assert operations - covered == OTHERWISE
