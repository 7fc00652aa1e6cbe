"""May this request do that, to this project? The parameters by which every endpoint says what it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from api.database import ASKER
from api.door.keyring import Principal
from api.problems import Problem
from api.services import Services, services_of
from ml_guard.service_limits import neighbourhood
from stream.store.pool import Connection
from stream.store.projects import held

_header = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="A key made by `ml-guard key create`; it is shown once."
)


def needs(scope: str | None) -> Callable[..., Coroutine[Any, Any, Principal]]:
    """A dependency that lets keys with this scope in (None: any valid key)."""

    async def check(request: Request, secret: Annotated[str | None, Security(_header)]) -> Principal:
        services = services_of(request)
        who = await services.keyring.open(secret, address_of(request))
        key_id = who.key.key_id
        services.requests.check(
            key_id,
            "key_requests_per_s",
            f"The key {who.key.name!r} may make {services.settings.key_requests_per_s:g} requests a second.",
        )
        if scope != "ingest":  # events have a limit of their own
            services.requests.spend(key_id, 1)
        ASKER.set(key_id)
        if scope is not None:
            demand(who, scope)
        return who

    return check


def address_of(request: Request) -> str:
    """Where wrong keys are counted."""
    return neighbourhood(request.client.host if request.client else "")


def demand(who: Principal, scope: str) -> None:
    """The key has this scope. Raises `missing_scope`."""
    if scope not in who.scopes:
        raise Problem("missing_scope", f"The key {who.key.name!r} lacks the scope `{scope}`.", scope=scope)


AnyKey = Annotated[Principal, Depends(needs(None))]
Ingest = Annotated[Principal, Depends(needs("ingest"))]
Read = Annotated[Principal, Depends(needs("read"))]
Operate = Annotated[Principal, Depends(needs("operate"))]
Admin = Annotated[Principal, Depends(needs("admin"))]


def unknown_project(project_id: str) -> Problem:
    """One answer for a project that is not there and for one that is not the key's."""
    return Problem(
        "unknown_project",
        f"There is no project {project_id!r}, or the key is not for it; "
        "`ml-guard project create` makes a project.",
        project_id=project_id,
    )


async def the_project(services: Services, who: Principal, project_id: str) -> str:
    """The project, if it is there and the key's. Raises `unknown_project`."""
    if not who.sees(project_id) or project_id not in await services.projects.known([project_id]):
        raise unknown_project(project_id)
    return project_id


@asynccontextmanager
async def writing(services: Services, *project_ids: str) -> AsyncIterator[Connection]:
    """A transaction in which these projects stay. Raises `unknown_project`: another process may have deleted one."""
    async with services.database.connection() as connection, connection.transaction():
        there = await held(connection, project_ids)
        for project_id in project_ids:
            if project_id not in there:
                raise unknown_project(project_id)
        yield connection


async def the_projects(services: Services, who: Principal, project_id: str | None) -> Sequence[str] | None:
    """The projects that a list may show: the one asked for, or the key's; None: all. Raises `unknown_project`."""
    if project_id is not None:
        return [await the_project(services, who, project_id)]
    return None if who.project_ids is None else sorted(who.project_ids)
