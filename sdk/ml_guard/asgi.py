"""How long does each route of an ASGI application take? A middleware for FastAPI, Starlette and their like.

    app.add_middleware(MLGuardMiddleware, client=client, model_id="churn_v1", routes=["/predict"])

A handler may say more of its call: `request.scope["ml_guard"]` is its `Observation`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from ml_guard.observing import Observation
from ml_guard.sending import Sending

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OBSERVATION = "ml_guard"
"""Where a handler finds its `Observation` in the request's scope."""
UNROUTED = "unrouted"
"""The endpoint of what was answered without a route that could be told."""


class MLGuardMiddleware:
    """Each request that is answered below 400 is an event, and its latency is measured.

    Its endpoint is the route's template without the slash that it begins with: `predict`, `score/{customer}`.

    Answers of 4xx and 5xx and requests that raise are no inferences. With `routes` only these templates count, such as
    `/predict/{customer}`, which keeps health checks out.
    """

    def __init__(
        self,
        app: App,
        client: Sending,
        *,
        project_id: str | None = None,
        model_id: str | None = None,
        routes: Collection[str] | None = None,
    ) -> None:
        self._app = app
        self._client = client
        self._project_id = project_id
        self._model_id = model_id
        self._routes = None if routes is None else frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and self._client.enabled:
            await self._app(scope, receive, _Lifespan(send, self._client))
            return
        if scope["type"] != "http" or not self._client.enabled:
            await self._app(scope, receive, send)
            return
        observation = self._client.observe(project_id=self._project_id, model_id=self._model_id)
        scope[OBSERVATION] = observation
        answered = _Answer(send)
        started = time.perf_counter()
        await self._app(scope, receive, answered)
        if answered.finished_at is not None and 200 <= answered.status < 400:
            self._finish(observation, scope, (answered.finished_at - started) * 1e3)

    def _finish(self, observation: Observation, scope: Scope, latency_ms: float) -> None:
        route = route_of(scope)
        if self._routes is None or route in self._routes:
            observation.finish(latency_ms, endpoint=_endpoint(route))


class _Lifespan:
    """Sends what is left before the application says that it has shut down: uvicorn's workers die by a signal then."""

    def __init__(self, send: Send, client: Sending) -> None:
        self._send = send
        self._client = client

    async def __call__(self, message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await asyncio.to_thread(self._client.settle)
        await self._send(message)


class _Answer:
    """Passes an answer on, and remembers its status and when its last part was sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.finished_at: float | None = None

    async def __call__(self, message: Message) -> None:
        await self._send(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.finished_at = time.perf_counter()


def _endpoint(route: str | None) -> str:
    """`/predict` is what all others call `predict`, the endpoint that baselines and commands take if none is named."""
    return UNROUTED if not route else route.removeprefix("/") or route


def route_of(scope: Scope) -> str | None:
    """The template of the route that took a request, with what it is mounted under; None: it cannot be told.

    FastAPI notes its route; of Starlette's the path's parameters are known, which are put back.

    >>> route_of({"path": "/score/17", "path_params": {"customer": "17"}, "endpoint": print})
    '/score/{customer}'
    """
    template = getattr(scope.get("route"), "path", None)
    if isinstance(template, str):
        return _mounted(scope) + template
    if "endpoint" not in scope:
        return None
    parts = str(scope["path"]).split("/")
    for name, value in scope.get("path_params", {}).items():
        if str(value) in parts:
            parts[len(parts) - 1 - parts[::-1].index(str(value))] = "{" + name + "}"
    return "/".join(parts)


def _mounted(scope: Scope) -> str:
    """What a route is mounted under, without what a proxy has put before all of it."""
    whole, outer = str(scope.get("root_path", "")), str(scope.get("app_root_path", ""))
    return whole.removeprefix(outer)
