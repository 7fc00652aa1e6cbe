"""Does the process live? `GET /api/v1/health`: touches nothing, so it fails only when the process does."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """Alive."""

    status: Literal["ok"] = "ok"


@router.get("/health")
async def health() -> Health:
    """Whether the process answers. For whether events flow, ask `ready`."""
    return Health()
