"""What does the API answer when something is wrong? Problem documents (RFC 9457), made here and nowhere else.

Problem
  every code below, as `Problem(code, detail)`
    401 invalid_key            403 missing_scope
    404 not_found unknown_project unknown_model unknown_baseline unknown_key unknown_dead_letter
        unknown_alert unknown_cost_filter unknown_day
    400 invalid_json invalid_encoding      405 method_not_allowed      408 request_timeout
    409 conflict               413 payload_too_large                   415 unsupported_media_type
    422 invalid_request        424 aws_refused                         429 rate_limited
    500 internal_error         503 broker_unavailable buffer_full overloaded
        too_many_streams database_unavailable query_too_long aws_unavailable
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from stream.closing.errors import CaptureError
from stream.costs.errors import CostError
from stream.days import UnknownZoneError
from stream.store.hashing import PlainLabelsError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE = "https://ml-guard.dev/problems/"

CODES: Mapping[str, tuple[int, str]] = {
    "invalid_key": (401, "The API key is missing or not valid"),
    "missing_scope": (403, "The API key may not do this"),
    "not_found": (404, "There is nothing at this address"),
    "unknown_project": (404, "There is no such project"),
    "unknown_model": (404, "There is no such model"),
    "unknown_baseline": (404, "There is no such baseline"),
    "unknown_key": (404, "There is no such key"),
    "unknown_dead_letter": (404, "There is no such dead letter"),
    "unknown_alert": (404, "There is no such alert"),
    "unknown_cost_filter": (404, "There is no such filter of costs"),
    "unknown_day": (404, "There is nothing of that day"),
    "invalid_json": (400, "The body is not JSON"),
    "invalid_encoding": (400, "The body is not encoded as it says"),
    "method_not_allowed": (405, "The address does not take this method"),
    "request_timeout": (408, "The body did not arrive in time"),
    "conflict": (409, "This collides with what is there"),
    "payload_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "This type of body is not taken"),
    "invalid_request": (422, "The request is not valid"),
    "aws_refused": (424, "AWS does not say what it costs as things stand"),
    "rate_limited": (429, "There are too many of these requests"),
    "internal_error": (500, "The server failed"),
    "broker_unavailable": (503, "Kafka does not answer"),
    "buffer_full": (503, "The bridge has more than it can hold"),
    "overloaded": (503, "The bridge has more to do than it gets done"),
    "too_many_streams": (503, "No more live streams are possible"),
    "database_unavailable": (503, "The database does not answer"),
    "query_too_long": (503, "The question takes too long"),
    "aws_unavailable": (503, "AWS does not answer now"),
}
LIMITS = {
    "rate_limited",
    "buffer_full",
    "overloaded",
    "payload_too_large",
    "too_many_streams",
    "query_too_long",
}
"""What is answered beyond a limit; each is counted."""
_PARAMETER = re.compile(r"\{\w+\}")
BY_STATUS = {status: code for code, (status, _) in reversed(list(CODES.items()))}


class Problem(Exception):  # noqa: N818  the RFC's own word
    """An answer that says what is wrong. `extra` stands beside the standard members of the document."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        retry_after_s: float | None = None,
        errors: Sequence[Mapping[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail, self.extra = code, detail, extra
        self.status, self.title = status or CODES[code][0], CODES[code][1]
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(max(1, round(retry_after_s + 0.5)))
        if errors is not None:
            self.extra["errors"] = list(errors)

    def document(self, path: str) -> dict[str, Any]:
        """The members of RFC 9457, `code`, and what is particular to this problem."""
        return {
            "type": TYPE + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": path,
            "code": self.code,
            **self.extra,
        }


def invalid(field: str, message: str) -> Problem:
    """A 422 about one field."""
    return Problem("invalid_request", f"{field}: {message}", errors=[{"field": field, "message": message}])


def answer(problem: Problem, path: str) -> Response:
    """The problem as a response."""
    return Response(
        json.dumps(problem.document(path), ensure_ascii=False),
        problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def from_http(error: HTTPException) -> Problem:
    """What routing itself refuses: unknown paths."""
    code = BY_STATUS.get(
        error.status_code, "internal_error" if error.status_code >= 500 else "invalid_request"
    )
    if error.status_code == 404:
        code, detail = "not_found", "No resource has this path; /docs lists them."
    else:
        detail = str(error.detail)
    return Problem(code, detail, headers=error.headers, status=error.status_code)


def not_allowed(paths: Mapping[str, Mapping[str, Any]], path: str, error: HTTPException) -> Problem:
    """A wrong method. Routing names the methods of the first route that fits the path; here are those of all."""
    fitting = [
        methods
        for template, methods in paths.items()
        if re.fullmatch(_PARAMETER.sub("[^/]+", template), path)
    ]
    methods = sorted({method.upper() for some in fitting for method in some})
    allowed = ", ".join(methods) or (error.headers or {}).get("Allow", "")
    return Problem("method_not_allowed", f"Allowed here: {allowed}.", headers={"Allow": allowed})


def from_validation(error: RequestValidationError) -> Problem:
    """What does not fit the schema of parameters or body; never repeats the value that was sent."""
    errors = []
    for found in error.errors():
        where = [str(part) for part in found["loc"]]
        if found["type"] == "json_invalid":
            return Problem("invalid_json", f"Not JSON at character {where[-1]} of the body.")
        errors.append({"field": ".".join(where[1:]) or where[0], "message": found["msg"]})
    first = f"{errors[0]['field']}: {errors[0]['message']}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem("invalid_request", first + more, errors=errors)


def from_capture(error: CaptureError) -> Problem:
    """What a baseline's capture refuses."""
    code = error.code if error.code in CODES else "conflict" if error.retriable else "invalid_request"
    return Problem(code, str(error), reason=error.code)


def from_costs(error: CostError) -> Problem:
    """What stands between AWS and a project's costs. 424 is not tried again by itself: each try may cost."""
    if error.retriable:
        return Problem("aws_unavailable", f"{error}.", retry_after_s=60)
    return Problem("aws_refused", f"{error}.")


def internal(path: str, error: Exception) -> Problem:
    """A failure of ours: the log has it whole, the caller only that it happened."""
    log.error("failed while answering %s", path, exc_info=error)
    return Problem("internal_error", "The failure is in the server's log; the request can be repeated.")


def install(app: FastAPI) -> None:
    """Map every error once."""

    def on(kind: type[Exception], make: Any) -> None:
        async def handle(request: Request, error: Exception) -> Response:
            return answer(make(error), request.url.path)

        app.add_exception_handler(kind, handle)

    async def tell(request: Request, problem: Problem) -> Response:
        if problem.code in LIMITS:
            app.state.services.measures.limited(problem.code, problem.extra.get("limit", ""))
        return answer(problem, request.url.path)

    app.add_exception_handler(Problem, tell)  # type: ignore[arg-type]

    async def refuse(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        wrong_method = error.status_code == 405
        return answer(
            not_allowed(app.openapi()["paths"], path, error) if wrong_method else from_http(error), path
        )

    app.add_exception_handler(HTTPException, refuse)  # type: ignore[arg-type]
    on(RequestValidationError, from_validation)
    on(CaptureError, from_capture)
    on(CostError, from_costs)
    on(PlainLabelsError, lambda error: Problem("conflict", str(error)))
    on(UnknownZoneError, lambda error: invalid("zone", str(error)))
