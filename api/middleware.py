"""What holds for every answer? Security headers, a count and a time, and a problem document for what nobody caught."""

from __future__ import annotations

import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.measures import Measures
from api.problems import answer, internal

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (b"cache-control", b"no-store"),
]
"""Where an answer has one of them already, that one stands: `/docs` has its own policy. `Strict-Transport-Security` is
not among them: it belongs to whoever ends TLS."""


class Outermost:
    """Around all routes."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message["headers"])
                present = {name.lower() for name, _ in headers}
                message["headers"] = headers + [pair for pair in HEADERS if pair[0] not in present]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            status = status or 499
        except Exception as error:
            if status:
                raise
            await answer(internal(scope["path"], error), scope["path"])(scope, receive, sending)
        finally:
            operation = getattr(scope.get("route"), "name", None) or "unmatched"
            timed = None if operation == "live" else time.perf_counter() - began
            self._measures.answered(operation, status, timed)
