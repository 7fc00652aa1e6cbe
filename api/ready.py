"""Can events flow from here to the results? `GET /api/v1/ready`: the truth about broker, database, workers and lag."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api.problems import Problem
from api.services import Services, services_of
from stream.migrate import MigrationError, pending
from stream.settings import Settings
from stream.store import accounts
from stream.store.reading import Row

router = APIRouter(tags=["health"])


class BrokerState(BaseModel):
    """Whether Kafka answers."""

    ok: bool


class DatabaseState(BaseModel):
    """Whether the database answers, and whether its schema is the one that this release needs."""

    ok: bool
    version: Literal["current", "behind", "ahead", "unknown"] = Field(serialization_alias="schema")


class PartitionState(BaseModel):
    """How far a partition's worker is; null where nobody knows."""

    partition: int
    next_offset: int | None
    end_offset: int | None
    lag: int | None
    owner: str | None
    heartbeat_age_s: float | None
    stopped_reason: str | None
    catalog_generation: int | None


class Ready(BaseModel):
    """`reasons` says in sentences why it is not ready."""

    status: Literal["ready", "not_ready"]
    reasons: list[str]
    broker: BrokerState
    database: DatabaseState
    lag: int | None
    partitions: list[PartitionState]
    catalog_generation: int | None
    workers: int


@router.get("/ready", responses={503: {"model": Ready, "description": "Not ready; `reasons` says why."}})
async def ready(request: Request, response: Response) -> Ready:
    """Whether broker, database and workers answer, and how far behind each partition is."""
    state = await look(services_of(request))
    if state.status != "ready":
        response.status_code = 503
    return state


async def look(services: Services) -> Ready:
    """Ask broker and database at once."""
    ends, (database, fences, generation) = await asyncio.gather(_ends(services), _database(services))
    partitions = _partitions(ends if isinstance(ends, Mapping) else {}, fences)
    reasons = [ends] if isinstance(ends, str) else []
    if not database.ok:
        reasons.append("The database does not answer.")
    elif database.version != "current":
        reasons.append(f"The database's schema is {database.version}: run `ml-guard migrate`.")
    else:
        reasons += _why_not(partitions, services.settings)
    lags = [state.lag for state in partitions if state.lag is not None]
    recent = services.settings.ready_silence_s
    owners = {
        state.owner
        for state in partitions
        if state.heartbeat_age_s is not None and state.heartbeat_age_s < recent
    }
    return Ready(
        status="not_ready" if reasons else "ready",
        reasons=reasons,
        broker=BrokerState(ok=not isinstance(ends, str)),
        database=database,
        lag=sum(lags) if lags else None,
        partitions=partitions,
        catalog_generation=generation,
        workers=len(owners - {None}),
    )


async def _ends(services: Services) -> Mapping[int, int] | str:
    try:
        return await services.broker.end_offsets()
    except Problem as problem:
        return problem.detail


async def _database(services: Services) -> tuple[DatabaseState, list[Row], int | None]:
    try:
        async with services.database.connection() as connection:
            try:
                behind = await pending(connection)  # type: ignore[arg-type]  # a pool's proxy does all of it
            except MigrationError:
                return DatabaseState(ok=True, version="ahead"), [], None
            if behind:
                return DatabaseState(ok=True, version="behind"), [], None
            fences = await accounts.partitions(connection, services.settings.topic)
            generation = await accounts.catalog_generation(connection)
    except Problem:
        return DatabaseState(ok=False, version="unknown"), [], None
    return DatabaseState(ok=True, version="current"), fences, generation


def _partitions(ends: Mapping[int, int], fences: list[Row]) -> list[PartitionState]:
    rows = {row["partition"]: row for row in fences}
    states = []
    for partition in sorted(ends.keys() | rows.keys()):
        row = rows.get(partition, {})
        end, following = ends.get(partition), row.get("next_offset")
        lag = None if end is None else end if following is None else max(0, end - following)
        states.append(
            PartitionState(
                partition=partition,
                next_offset=following,
                end_offset=end,
                lag=lag,
                owner=row.get("owner"),
                heartbeat_age_s=row.get("heartbeat_age_s"),
                stopped_reason=row.get("stopped_reason"),
                catalog_generation=row.get("catalog_generation"),
            )
        )
    return states


def _why_not(partitions: list[PartitionState], settings: Settings) -> list[str]:
    reasons = []
    for state in partitions:
        name = f"Partition {state.partition}"
        if state.stopped_reason is not None:
            reasons.append(f"{name} stands still: {state.stopped_reason}")
        elif state.heartbeat_age_s is None:
            reasons.append(f"{name} has never had a worker: start one with `ml-guard up`.")
        elif state.heartbeat_age_s > settings.ready_silence_s:
            reasons.append(f"{name} has heard no worker for {state.heartbeat_age_s:.0f} s.")
        elif state.lag is not None and state.lag > settings.ready_lag:
            reasons.append(f"{name} is {state.lag} records behind.")
    return reasons
