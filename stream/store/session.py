"""Has the database's session taken what a worker relies on, and is it a session of its own?

A pooler in between may ignore what a client asks of its session, and one that pools transactions gives each of them
whatever session is free. Both answer as if nothing were wrong, until a worker freezes.
"""

from __future__ import annotations

import asyncpg

from stream.store.pool import WORKER_SETTINGS, Pool

RELIED_ON = {name: value for name, value in WORKER_SETTINGS.items() if name != "application_name"}
_MIXED = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
_LOOKS = 3
_PROCESS = "select pg_backend_pid()"
"""Of the embedded database, which has one for all and keeps their sessions apart itself, it is 0."""


class SessionError(Exception):
    """The database's sessions are not what a worker relies on. The message says why."""


async def require_session(pool: Pool) -> None:
    """Raises `SessionError`."""
    seen = set()
    try:
        async with pool.acquire() as one, pool.acquire() as other:
            for _ in range(_LOOKS):
                seen.add((await one.fetchval(_PROCESS), await other.fetchval(_PROCESS)))
            settings = await one.fetch(
                "select name, current_setting(name, true) as value from unnest($1::text[]) as name",
                list(RELIED_ON),
            )
    except _MIXED:
        seen, settings = set(), []
    if seen != {(0, 0)} and (len(seen) != 1 or any(one == other for one, other in seen)):
        raise SessionError(
            "the database's sessions are shared between connections, as by a pooler that pools transactions: "
            "connect workers without it, or let it pool sessions (docs/security.md)"
        )
    lacking = [
        f"{row['name']} is {row['value'] or 'not set'} instead of {RELIED_ON[row['name']]}"
        for row in settings
        if row["value"] != RELIED_ON[row["name"]]
    ]
    if lacking:
        raise SessionError(
            f"the database's session has not taken what a worker asks of it ({', '.join(lacking)}), so one that freezes "
            "could hold its partition for ever: connect workers without the pooler that ignores it, or set that for "
            "their login by `alter role` (docs/security.md)"
        )
