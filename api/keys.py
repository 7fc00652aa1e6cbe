"""Which keys open the API? `/api/v1/keys`: made, listed, revoked; the secret is shown once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from api.door.access import Admin, AnyKey, the_project, writing
from api.door.keyring import Principal
from api.paging import Cursor, Limit, Page, cut, decode, encode
from api.problems import Problem, invalid
from api.services import services_of
from api.shapes import Strict
from stream.store import keys

router = APIRouter(prefix="/keys", tags=["keys"])

Scope = Literal["ingest", "read", "operate", "admin"]


class Key(BaseModel):
    """A key without its secret; `project_ids` null: all projects."""

    key_id: str
    name: str
    scopes: list[Scope]
    project_ids: list[str] | None
    created_at: datetime
    revoked_at: datetime | None


class MadeKey(Key):
    """A key with its secret, this once."""

    key: str = Field(description="Keep it now: it is stored as a hash.")


class NewKey(Strict):
    """A key to be made; never more than the key that makes it."""

    name: str = Field(min_length=1, max_length=128, examples=["scoring service"])
    scopes: list[Scope] = Field(min_length=1, examples=[["ingest"]])
    project_ids: list[Annotated[str, Field(min_length=1, max_length=256)]] | None = Field(
        description="Null: all projects.", examples=[["proj_123"]], min_length=1, max_length=1000
    )


def _shown(key: keys.Key) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "project_ids": None if key.project_ids is None else sorted(key.project_ids),
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }


def _reach(who: Principal) -> list[str] | None:
    return None if who.project_ids is None else sorted(who.project_ids)


@router.get("", response_model=Page[Key])
async def list_keys(request: Request, who: Admin, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """Keys that reach no further than this one, the revoked ones too."""
    asked = ["keys", _reach(who)]
    after = decode(cursor, asked, tuple[str])
    async with services_of(request).database.connection() as connection:
        rows = await keys.read(
            connection, project_ids=_reach(who), after=after[0] if after else None, limit=limit + 1
        )
    rows, last = cut(rows, limit)
    return {
        "items": [_shown(row) for row in rows],
        "next_cursor": None if last is None else encode([last.key_id], asked),
    }


@router.post("", response_model=MadeKey, status_code=201)
async def create_key(request: Request, who: Admin, new: NewKey) -> Any:
    """A new key. Its secret is in this answer only."""
    services = services_of(request)
    if new.project_ids is None and who.project_ids is not None:
        raise invalid("project_ids", "this key is bound to projects and cannot make one for all")
    for project_id in new.project_ids or ():
        await the_project(services, who, project_id)
    async with writing(services, *(new.project_ids or ())) as connection:
        key, secret = await keys.create(connection, new.name, new.scopes, new.project_ids)
    return {**_shown(key), "key": secret}


@router.get("/current", response_model=Key)
async def current_key(who: AnyKey) -> Any:
    """The key of this request."""
    return _shown(who.key)


@router.delete("/{key_id}", status_code=204, response_model=None)
async def revoke_key(request: Request, who: Admin, key_id: Annotated[str, Path(max_length=64)]) -> None:
    """End a key, at once and for good."""
    services = services_of(request)
    async with services.database.connection() as connection:
        sha256 = await keys.revoke(connection, key_id, project_ids=_reach(who))
    if sha256 is None:
        raise Problem("unknown_key", f"There is no key {key_id!r} that this key may revoke.")
    services.keyring.forget(sha256)
