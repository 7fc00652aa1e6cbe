"""How does a request get a connection, and what does it hear when there is none?"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

import asyncpg

from api.problems import Problem
from api.turns import Turns
from stream.store.pool import Connection
from stream.store.refusal import why

log = logging.getLogger(__name__)

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
TELL_EVERY_S = 10.0
GRACE_S = 5.0
"""The database ends a statement itself; so much later the API no longer waits for it to."""

ASKER: ContextVar[str] = ContextVar("ASKER", default="")
"""The key whose request this is; work of the API's own has the empty name."""


class Database:
    """A small pool that starts empty, so that the API starts without its database."""

    def __init__(self, url: str, *, connections: int = 3, statement_s: float = 20.0) -> None:
        self._url, self._connections, self._statement_s = url, connections, statement_s
        self._turns = Turns(connections)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._told_at = float("-inf")

    async def open(self) -> None:
        """Make the pool; connects to nothing yet."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._connections,
            timeout=ACQUIRE_S,
            command_timeout=self._statement_s + GRACE_S,
            max_inactive_connection_lifetime=60,
            server_settings={
                "application_name": "ml_guard api",
                "statement_timeout": str(round(self._statement_s * 1000)),
            },
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
        """A connection for one short piece of work. Raises `database_unavailable` and `query_too_long`."""
        with reached():
            async with (
                self._turn(ASKER.get()),
                self._acquired() as connection,
            ):
                try:
                    yield connection
                except TimeoutError as error:
                    raise too_long() from error

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Connection]:
        try:
            connection = await self.pool.acquire(timeout=ACQUIRE_S)
        except AWAY as error:
            self._tell(error)
            raise
        try:
            yield connection
        finally:
            await self.pool.release(connection)

    def _tell(self, error: BaseException) -> None:
        """Callers hear that the database is away; why is the operator's, and once in a while enough."""
        if time.monotonic() - self._told_at > TELL_EVERY_S:
            self._told_at = time.monotonic()
            log.warning("no connection to the database: %s", why(self._url, error))

    @asynccontextmanager
    async def _turn(self, asker: str) -> AsyncIterator[None]:
        try:
            await self._turns.take(asker, ACQUIRE_S)
        except TimeoutError as error:
            if not asker:
                raise unavailable(error) from error
            raise Problem(
                "rate_limited",
                f"More questions of this key wait for the database than it answers in {ACQUIRE_S:g} s.",
                retry_after_s=1,
                limit="api_connections",
            ) from error
        try:
            yield
        finally:
            self._turns.give(asker)


def too_long() -> Problem:
    """The problem document for a statement that was ended."""
    return Problem(
        "query_too_long",
        "The question kept the database for longer than it may (ML_GUARD_API_STATEMENT_S). Ask for fewer days, for one "
        "model or feature, or with a smaller `limit`.",
        retry_after_s=5,
        limit="api_statement_s",
    )


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
    except asyncpg.QueryCanceledError as error:
        raise too_long() from error
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
