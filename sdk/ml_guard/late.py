"""How does a client offer the API's calls without loading httpx before the first of them?"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, TypeVar

from ml_guard.call import Call, Listing
from ml_guard.shapes import LiveEvent
from ml_guard.transports.address import checked_base_url

if TYPE_CHECKING:
    from ml_guard.connection import AsyncConnection, Connection

T = TypeVar("T")

_HOME = "ml_guard.connection"


class LateConnection:
    """A `Connection` that is made when it is first used; a wrong address is said at once."""

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float, verify: bool | str) -> None:
        checked_base_url(base_url)
        self._arguments = (base_url, api_key, timeout_s, verify)
        self._connection: Connection | None = None

    def _made(self) -> Connection:
        if self._connection is None:
            self._connection = importlib.import_module(_HOME).Connection(*self._arguments)
        return self._connection

    def run(self, call: Call[T]) -> T:
        return self._made().run(call)

    def rows(self, listing: Listing[T]) -> list[T]:
        return self._made().rows(listing)

    def live(self, project_id: str | None, model_id: str | None, reconnect: bool) -> Iterator[LiveEvent]:
        return self._made().live(project_id, model_id, reconnect)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class LateAsyncConnection:
    """The same for an event loop."""

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float, verify: bool | str) -> None:
        checked_base_url(base_url)
        self._arguments = (base_url, api_key, timeout_s, verify)
        self._connection: AsyncConnection | None = None

    def _made(self) -> AsyncConnection:
        if self._connection is None:
            self._connection = importlib.import_module(_HOME).AsyncConnection(*self._arguments)
        return self._connection

    def beside(self) -> LateConnection:
        """A connection to the same API for other threads."""
        return LateConnection(*self._arguments)

    async def run(self, call: Call[T]) -> T:
        return await self._made().run(call)

    async def rows(self, listing: Listing[T]) -> list[T]:
        return await self._made().rows(listing)

    def live(self, project_id: str | None, model_id: str | None, reconnect: bool) -> AsyncIterator[LiveEvent]:
        return self._made().live(project_id, model_id, reconnect)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
