"""Does each method make the request that the API documents, and read its answer?"""

from __future__ import annotations

import inspect
import json
from datetime import date, datetime, timezone
from typing import Any

import pytest

from ml_guard import (
    AsyncMLGuardClient,
    ConfigError,
    MLGuardClient,
    alert_calls,
    baseline_calls,
    calls,
    compare_calls,
    cost_calls,
    resources,
    shapes,
)
from ml_guard.call import Call, Listing
from ml_guard.errors import (
    ConflictError,
    ConnectionLostError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    OverloadedError,
    ServerError,
    TransportError,
    UnauthorizedError,
)
from ml_guard.live import LiveParser

METRIC = {
    "project_id": "p",
    "model_id": "m",
    "endpoint": "predict",
    "day": "2025-01-01",
    "day_start": "2025-01-01T05:00:00Z",
    "day_end": "2025-01-02T05:00:00Z",
    "zone": "America/Toronto",
    "revision": 0,
    "status": "provisional",
    "requests": 7,
    "latency_p95_ms": 41.5,
    "change_id": 12,
    "a_field_of_a_newer_server": 1,
}


def test_a_row_is_read_with_its_types(bridge: Any) -> None:
    bridge.routes["GET", "/api/v1/metrics/daily"] = [
        bridge.answer(200, {"items": [METRIC], "next_cursor": None})
    ]
    with MLGuardClient(bridge.url, "k") as client:
        (row,) = client.metrics_daily(project_id="p", from_=date(2025, 1, 1), to="2025-01-31")
    assert isinstance(row, shapes.MetricDay)
    assert (row.day, row.requests, row.latency_p95_ms) == (date(2025, 1, 1), 7, 41.5)
    assert row.day_start == datetime(2025, 1, 1, 5, tzinfo=timezone.utc)
    (request,) = bridge.requests
    assert request.query == {
        "project_id": ["p"],
        "from": ["2025-01-01"],
        "to": ["2025-01-31"],
        "limit": ["1000"],
    }
    assert request.headers["x-api-key"] == "k"


def test_pages_are_followed_to_the_end_or_to_the_limit(bridge: Any) -> None:
    def page(first: int, cursor: str | None) -> Any:
        items = [{"project_id": f"p{first + i}", "zone": "UTC"} for i in range(2)]
        return bridge.answer(200, {"items": items, "next_cursor": cursor})

    pages = [page(0, "a"), page(2, "b"), page(4, None)]
    bridge.routes["GET", "/api/v1/projects"] = list(pages)
    with MLGuardClient(bridge.url) as client:
        assert [p.project_id for p in client.projects.list()] == [f"p{i}" for i in range(6)]
        assert [r.query.get("cursor") for r in bridge.requests] == [None, ["a"], ["b"]]
        bridge.routes["GET", "/api/v1/projects"] = list(pages)
        assert len(client.projects.list(limit=4)) == 4
        assert [r.query["limit"] for r in bridge.requests[3:]] == [["4"], ["2"]]
        assert client.projects.list(limit=0) == []


def test_bodies_hold_what_was_given_and_nothing_else(bridge: Any) -> None:
    project = bridge.answer(201, {"project_id": "a/b", "zone": "UTC"})
    bridge.routes["POST", "/api/v1/projects"] = [project]
    bridge.routes["PATCH", "/api/v1/projects/a%2Fb"] = [project]
    with MLGuardClient(bridge.url) as client:
        client.projects.create("a/b", zone="UTC")
        client.projects.update("a/b", zone="Europe/Paris")
    assert [json.loads(r.body) for r in bridge.requests] == [
        {"project_id": "a/b", "zone": "UTC"},
        {"zone": "Europe/Paris"},
    ]


def test_not_being_ready_is_an_answer(bridge: Any) -> None:
    bridge.routes["GET", "/api/v1/ready"] = [
        bridge.answer(503, {"status": "not_ready", "reasons": ["the broker does not answer"]})
    ]
    with MLGuardClient(bridge.url) as client:
        assert client.ready().reasons == ["the broker does not answer"]


def test_an_answer_without_content_is_none(bridge: Any) -> None:
    bridge.routes["DELETE", "/api/v1/keys/k1"] = [bridge.answer(204)]
    with MLGuardClient(bridge.url) as client:
        assert client.keys.revoke("k1") is None  # type: ignore[func-returns-value]


def test_latency_rows_are_unpacked(bridge: Any) -> None:
    row = {
        "start": "2025-01-01T00:00:00Z",
        "end": "2025-01-01T01:00:00Z",
        "requests": 3,
        "percentiles": {"0.5": 1.5},
    }
    bridge.routes["GET", "/api/v1/latency"] = [bridge.answer(200, {"items": [row]})]
    with MLGuardClient(bridge.url) as client:
        (got,) = client.latency(
            project_id="p",
            model_id="m",
            from_=datetime(2025, 1, 1, tzinfo=timezone.utc),
            to="2025-01-02T00:00:00Z",
            percentiles=[0.5, 0.95],
        )
        assert got.percentiles == {"0.5": 1.5}
        with pytest.raises(ConfigError, match="needs a time zone"):
            client.latency(project_id="p", model_id="m", from_=datetime(2025, 1, 1), to="x")  # noqa: DTZ001
    assert bridge.requests[0].query["percentiles"] == ["0.5", "0.95"]
    assert bridge.requests[0].query["from"] == ["2025-01-01T00:00:00+00:00"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, InvalidError),
        (429, OverloadedError),
        (503, OverloadedError),
        (500, ServerError),
    ],
)
def test_errors_say_what_the_server_said(bridge: Any, status: int, kind: type[TransportError]) -> None:
    problem = {
        "title": "Bad",
        "detail": "the zone is unknown",
        "status": status,
        "errors": [{"field": "zone", "message": "is no IANA zone"}],
    }
    bridge.always = bridge.answer(status, problem, headers={"Retry-After": "3"})
    with MLGuardClient(bridge.url) as client, pytest.raises(kind) as caught:
        client.projects.create("p", zone="Mars/Olympus")
    assert caught.value.status == status
    assert caught.value.retry_after_s == 3.0
    assert str(caught.value) == (
        f"POST /api/v1/projects was answered {status}: the zone is unknown (zone: is no IANA zone)"
    )


def test_a_server_that_is_no_ml_guard_is_named(bridge: Any) -> None:
    bridge.always = bridge.answer(200)
    bridge.always.body = b"<html>"
    with MLGuardClient(bridge.url) as client, pytest.raises(TransportError, match="check base_url="):
        client.health()
    with MLGuardClient("http://127.0.0.1:9") as client, pytest.raises(ConnectionLostError):
        client.health()


async def test_the_async_methods_do_the_same(bridge: Any) -> None:
    bridge.routes["GET", "/api/v1/health"] = [bridge.answer(200, {"status": "ok"})]
    bridge.routes["GET", "/api/v1/models"] = [
        bridge.answer(
            200, {"items": [{"project_id": "p", "model_id": "m", "endpoint": "e"}], "next_cursor": "x"}
        ),
        bridge.answer(200, {"items": [], "next_cursor": None}),
    ]
    bridge.routes["GET", "/api/v1/baselines/3"] = [bridge.answer(404, {"title": "no"})]
    async with AsyncMLGuardClient(bridge.url) as client:
        assert (await client.health()).status == "ok"
        assert [model.endpoint for model in await client.models(project_id="p")] == ["e"]
        with pytest.raises(NotFoundError):
            await client.baselines.show(3, project_id="p", model_id="m")


def live_body(*blocks: str) -> bytes:
    return "".join(blocks).encode()


HELLO = 'event: hello\ndata: {"change_id": 11}\n\n'
METRIC_EVENT = f": keep-alive\n\nid: 12\nevent: metric\ndata: {json.dumps(METRIC)}\n\n"


def live_answers(bridge: Any) -> list[Any]:
    first, second = bridge.answer(200), bridge.answer(200)
    first.body = live_body(HELLO, METRIC_EVENT, "event: metric\nda")
    second.body = live_body('event: resync\ndata: {"reason": "too far behind"}\n\n')
    return [first, second]


def test_a_live_stream_is_taken_up_where_it_broke(bridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_guard.connection.RECONNECT_S", 0.01)
    bridge.routes["GET", "/api/v1/live"] = live_answers(bridge)
    with MLGuardClient(bridge.url) as client:
        stream = client.live(project_id="p")
        hello, metric, resync = next(stream), next(stream), next(stream)
        stream.close()  # type: ignore[attr-defined]
    assert hello.data == {"change_id": 11}
    assert metric.metric is not None
    assert metric.metric.requests == 7
    assert (resync.event, resync.metric) == ("resync", None)
    assert bridge.requests[0].query == {"project_id": ["p"]}
    assert [r.headers.get("last-event-id") for r in bridge.requests[:2]] == [None, "12"]


async def test_a_live_stream_can_be_awaited(bridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_guard.connection.RECONNECT_S", 0.01)
    bridge.routes["GET", "/api/v1/live"] = live_answers(bridge)
    kinds = []
    async with AsyncMLGuardClient(bridge.url) as client:
        async for event in client.live():
            kinds.append(event.event)
            if event.event == "resync":
                break
    assert kinds == ["hello", "metric", "resync"]


def test_a_live_stream_that_is_refused_raises(bridge: Any) -> None:
    bridge.always = bridge.answer(401, {"title": "no key"})
    with MLGuardClient(bridge.url) as client, pytest.raises(UnauthorizedError, match="no key"):
        next(client.live())


def test_a_live_stream_without_reconnecting_ends(bridge: Any) -> None:
    bridge.routes["GET", "/api/v1/live"] = live_answers(bridge)
    with MLGuardClient(bridge.url) as client:
        assert [event.event for event in client.live(reconnect=False)] == ["hello", "metric"]
    with MLGuardClient("http://127.0.0.1:9") as client, pytest.raises(ConnectionLostError):
        next(client.live(reconnect=False))


def test_an_event_over_several_lines_is_one() -> None:
    parser = LiveParser()
    lines = ["data: {", 'data: "a":1}', "", "", ": comment", "data:7", ""]
    events = [event for line in lines if (event := parser.line(line)) is not None]
    assert [(event.event, event.data) for event in events] == [("message", {"a": 1}), ("message", 7)]


def builders() -> dict[str, Any]:
    """The functions of the modules of calls that describe a request."""
    return {
        name: function
        for module in (calls, alert_calls, baseline_calls, compare_calls, cost_calls)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and function.__module__ == module.__name__
    }


def bound(groups: list[type]) -> dict[str, str]:
    return {
        f"{group.__name__.removeprefix('Async')}.{name}": method.__wrapped__.__name__
        for group in groups
        for name, method in vars(group).items()
        if hasattr(method, "__wrapped__")
    }


def groups(root: type) -> list[type]:
    return [kind for _, kind in inspect.getmembers(resources, inspect.isclass) if issubclass(kind, root)]


def test_every_call_is_a_method_of_both_clients_under_the_same_name() -> None:
    sync, asynchronous = bound(groups(resources.Group)), bound(groups(resources.AsyncGroup))
    assert sync == asynchronous
    assert sorted(sync.values()) == sorted(builders())
    assert issubclass(MLGuardClient, resources.Api)
    assert issubclass(AsyncMLGuardClient, resources.AsyncApi)


def example(function: Any) -> Call[Any] | Listing[Any]:
    """The request of a function, with every parameter given."""
    values: dict[str, Any] = {
        "days": ["2025-01-01"],
        "day": "2025-01-01",
        "from_": "2025-01-01T00:00:00Z",
        "to": "2025-01-02T00:00:00Z",
        "version": 3,
        "limit": 10,
        "scopes": ["read"],
        "project_ids": ["p"],
        "ids": ["0-1-0"],
        "percentiles": [0.5],
        "step_s": 60,
        "bins": True,
        "verdict": ["drift"],
        "replayed": False,
        "again": False,
        "ignored": False,
        "dedupe_by_event_id": False,
        "tags": {"team": ["ml"]},
        "warning": 0.1,
        "drift": 0.2,
    }
    names = inspect.signature(function).parameters
    result = function(**{name: values.get(name, name) for name in names})
    assert isinstance(result, Call | Listing)
    return result


def test_every_call_can_be_described_without_a_server() -> None:
    for name, function in builders().items():
        call = example(function)
        assert call.path.startswith("/"), name
        assert function.__doc__, name
