"""How does a worker connect to the database, so that a frozen one cannot hold its successor back?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

LOCK_TIMEOUT_S = 5
IDLE_IN_TRANSACTION_S = 10
"""A worker that freezes inside its transaction loses it after this, and the row of its fence is free again."""
STATEMENT_TIMEOUT_S = 60
GIVEN_BACK_AFTER_S = 60.0
"""A connection that nobody has used for so long is closed: work that met once, or a lead that another worker has taken
over, leaves none behind."""

WORKER_SETTINGS = {
    "application_name": "ml_guard worker",
    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
    # A late event's row may lie in a compressed chunk; TimescaleDB's own limit would refuse its upsert.
    "timescaledb.max_tuples_decompressed_per_dml_transaction": "0",
    "timezone": "UTC",
}


async def _keep(_connection: Connection) -> None:
    """A worker sets nothing for a session, so there is nothing to reset when a connection goes back to the pool."""


async def connect(database_url: str, *, size: int = 2) -> Pool:
    """A worker's pool. Small, since the embedded database serves all of its clients one after the other."""
    return await asyncpg.create_pool(
        database_url,
        min_size=1,
        max_size=size,
        server_settings=WORKER_SETTINGS,
        command_timeout=STATEMENT_TIMEOUT_S,
        max_inactive_connection_lifetime=GIVEN_BACK_AFTER_S,
        reset=_keep,
    )
