"""How does a request get a connection, and what does it hear when there is none?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from api.problems import Problem
from stream.store.pool import Connection

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidPasswordError,
)
NOT_MIGRATED = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)
ACQUIRE_S = 5.0
STATEMENT_S = 20.0


class Database:
    """A pool of at most two connections that starts empty, so that the API starts without its database."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Make the pool; connects to nothing yet."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=2,
            timeout=ACQUIRE_S,
            command_timeout=STATEMENT_S,
            max_inactive_connection_lifetime=60,
            server_settings={"application_name": "ml_guard api"},
        )

    async def close(self) -> None:
        """Give the connections back."""
        if self._pool is not None:
            try:
                await self._pool.close()
            except AWAY:
                self._pool.terminate()

    @property
    def pool(self) -> asyncpg.Pool[asyncpg.Record]:
        """The pool itself, for what manages its own transactions."""
        assert self._pool is not None, "the API has not started"
        return self._pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one short piece of work. Raises the problem `database_unavailable`."""
        with reached():
            async with self.pool.acquire(timeout=ACQUIRE_S) as connection:
                yield connection


def unavailable(error: BaseException) -> Problem:
    """The problem document for a database that does not answer."""
    return Problem(
        "database_unavailable",
        f"The database does not answer ({type(error).__name__}); ask again shortly.",
        retry_after_s=1,
    )


@contextmanager
def reached() -> Iterator[None]:
    """What a database's failures are to a caller, around anything that uses a connection."""
    try:
        yield
    except asyncpg.DataError as error:
        raise Problem(
            "invalid_request",
            "A value cannot be stored or compared: text without the character 0, numbers in range.",
        ) from error
    except AWAY as error:
        raise unavailable(error) from error
    except NOT_MIGRATED as error:
        raise unmigrated(error) from error


def unmigrated(error: BaseException) -> Problem:
    """The problem document for a database of another release."""
    return Problem(
        "database_unavailable",
        f"The database lacks what this release needs ({error}); run `ml-guard migrate`.",
        retry_after_s=5,
    )
