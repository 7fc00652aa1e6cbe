"""Is each good answer of an ASGI application an event of its route, and nothing else?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from ml_guard.asgi import MLGuardMiddleware
from ml_guard.testing import RecordingClient


@pytest.fixture
def client() -> Iterator[RecordingClient]:
    recording = RecordingClient("p", "m")
    yield recording
    recording.close()


def fastapi_app(client: RecordingClient, **options: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(MLGuardMiddleware, client=client, **options)
    inner = FastAPI()
    router = APIRouter(prefix="/v1")

    @app.get("/score/{customer}")
    async def score(customer: str, request: Request) -> dict[str, float]:
        seen = request.scope["ml_guard"]
        seen.y_proba = 0.8
        seen.features["length"] = len(customer)
        return {"p": 0.8}

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the host's own")

    @app.get("/refused")
    async def refused() -> None:
        raise HTTPException(503)

    @app.get("/quiet")
    async def quiet(request: Request) -> None:
        request.scope["ml_guard"].discard()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        return StreamingResponse(parts())

    @router.get("/rank/{page}")
    def rank(page: int) -> int:
        return page

    @inner.get("/deep/{x}")
    def deep(x: int) -> int:
        return x

    app.include_router(router)
    app.mount("/inner", inner)
    return app


def http(app: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://host")


async def test_latency_is_counted_by_route_and_handlers_add_to_it(client: RecordingClient) -> None:
    async with http(fastapi_app(client)) as asking:
        for path in ("/score/anna", "/score/bo", "/v1/rank/3", "/inner/deep/4", "/stream"):
            assert (await asking.get(path)).status_code == 200
    events = client.events
    assert [event.endpoint for event in events] == [
        "score/{customer}",
        "score/{customer}",
        "v1/rank/{page}",
        "inner/deep/{x}",
        "stream",
    ]
    assert [event.features for event in events[:2]] == [{"length": 4}, {"length": 2}]
    assert events[0].y_proba == 0.8
    assert all(event.latency_ms is not None and event.latency_ms > 0 for event in events)


async def test_answers_of_400_and_more_are_no_inferences(client: RecordingClient) -> None:
    async with http(fastapi_app(client)) as asking:
        statuses = [
            (await asking.get(path)).status_code
            for path in ("/nowhere", "/broken", "/refused", "/v1/rank/no-number", "/quiet")
        ]
    assert statuses == [404, 500, 503, 422, 200]
    assert client.events == []


async def test_only_the_routes_that_are_named_count_where_some_are(client: RecordingClient) -> None:
    async with http(fastapi_app(client, routes=["/score/{customer}"], model_id="other")) as asking:
        for path in ("/score/anna", "/v1/rank/3"):
            await asking.get(path)
    assert [(event.model_id, event.endpoint) for event in client.events] == [("other", "score/{customer}")]


async def test_starlette_itself_and_a_bare_application_are_understood(client: RecordingClient) -> None:
    async def answer(request: Any) -> PlainTextResponse:
        return PlainTextResponse("ok")

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    app = Starlette(routes=[Route("/a/{b}", answer), Mount("/m", routes=[Route("/c/{d:int}", answer)])])
    for wrapped, path in ((app, "/a/1"), (app, "/m/c/7"), (bare, "/x/99")):
        async with http(MLGuardMiddleware(wrapped, client)) as asking:  # type: ignore[arg-type]
            assert (await asking.get(path)).status_code == 200
    assert [event.endpoint for event in client.events] == ["a/{b}", "m/c/{d:int}", "unrouted"]


async def test_what_is_no_request_passes_through(client: RecordingClient) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        assert "ml_guard" not in scope

    middleware = MLGuardMiddleware(app, client)
    for kind in ("lifespan", "websocket"):
        await middleware({"type": kind}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan", "websocket"]
    assert client.events == []


async def test_what_is_left_is_sent_before_the_application_has_shut_down(client: RecordingClient) -> None:
    sent_at_the_end: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        client.ingest_event(y_pred=1)
        await send({"type": "lifespan.shutdown.complete"})

    async def server(message: Any) -> None:
        sent_at_the_end.append(client.stats().sent)

    await MLGuardMiddleware(app, client)({"type": "lifespan"}, None, server)  # type: ignore[arg-type]
    assert sent_at_the_end == [1]


async def test_turned_off_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_GUARD_ENABLED", "0")
    recording = RecordingClient()
    app = FastAPI()
    app.add_middleware(MLGuardMiddleware, client=recording)
    scopes: list[bool] = []

    @app.get("/a")
    async def answer(request: Request) -> None:
        scopes.append("ml_guard" in request.scope)

    async with http(app) as asking:
        await asking.get("/a")
    assert scopes == [False]
