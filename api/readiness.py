"""Do broker, database and workers answer, and how far behind are they? Asked at most twice a second, whoever asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, Field

from api.broker import Broker
from api.database import NOT_MIGRATED, Database
from api.problems import Problem
from stream.migrate import MigrationError, SchemaAheadError, pending
from stream.settings import Settings
from stream.store import accounts
from stream.store.one_topic import other_topics, refusal
from stream.store.pool import Connection
from stream.store.reading import Row

BELIEVED_S = 0.5
"""How long a state is believed: the question needs no key, and must not be a way to keep the database busy."""


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


class Readiness:
    """Looks when it is asked, once for all who ask at the same time."""

    def __init__(self, settings: Settings, database: Database, broker: Broker) -> None:
        self._settings, self._database, self._broker = settings, database, broker
        self._lock = asyncio.Lock()
        self._at = float("-inf")
        self._state: Ready | None = None

    async def state(self) -> Ready:
        """The state of a moment ago."""
        async with self._lock:
            if self._state is None or time.monotonic() - self._at > BELIEVED_S:
                self._state = await self._look()
                self._at = time.monotonic()
            return self._state

    async def _look(self) -> Ready:
        ends, (database, fences, generation, refused) = await asyncio.gather(self._ends(), self._fences())
        partitions = _partitions(ends if isinstance(ends, Mapping) else {}, fences)
        reasons = [ends] if isinstance(ends, str) else []
        if not database.ok:
            reasons.append("The database does not answer.")
        elif database.version not in ("current", "ahead"):  # a newer schema has all that this version needs
            reasons.append(f"The database's schema is {database.version}: run `ml-guard migrate`.")
        elif refused is not None:
            reasons.append(f"{refused[0].upper()}{refused[1:]}.")
        else:
            reasons += _why_not(partitions, self._settings)
        lags = [state.lag for state in partitions if state.lag is not None]
        recent = self._settings.ready_silence_s
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

    async def _ends(self) -> Mapping[int, int] | str:
        try:
            return await self._broker.end_offsets()
        except Problem as problem:
            return problem.detail

    async def _fences(self) -> tuple[DatabaseState, list[Row], int | None, str | None]:
        try:
            async with self._database.connection() as connection:
                version = await _schema(connection)
                try:
                    fences = await accounts.partitions(connection, self._settings.topic)
                    generation = await accounts.catalog_generation(connection)
                    topic = self._settings.topic
                    refused = refusal(topic, await other_topics(connection, topic))
                except NOT_MIGRATED:  # so far behind, or ahead, that nobody can tell
                    return DatabaseState(ok=True, version=version), [], None, None
        except Problem:
            return DatabaseState(ok=False, version="unknown"), [], None, None
        return DatabaseState(ok=True, version=version), fences, generation, refused


async def _schema(connection: Connection) -> Literal["current", "behind", "ahead", "unknown"]:
    try:
        behind = await pending(connection)  # type: ignore[arg-type]  # a pool's proxy does all of it
    except SchemaAheadError:
        return "ahead"
    except MigrationError:
        return "unknown"
    return "behind" if behind else "current"


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
