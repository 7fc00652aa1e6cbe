"""Can events flow from here to the results? `GET /api/v1/ready`: the truth about broker, database, workers and lag."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.readiness import Ready
from api.services import services_of

router = APIRouter(tags=["health"])


@router.get("/ready", responses={503: {"model": Ready, "description": "Not ready; `reasons` says why."}})
async def ready(request: Request, response: Response) -> Ready:
    """Whether broker, database and workers answer, and how far behind each partition is."""
    state = await services_of(request).readiness.state()
    if state.status != "ready":
        response.status_code = 503
    return state
