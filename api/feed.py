"""Which days and alerts have just changed? One look at the database every quarter of a second, shared by all who listen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable

from api.database import ASKER, Database
from api.problems import Problem
from stream.store.changes import Change, changes, last_change
from stream.store.pool import Connection
from stream.store.reading import Row

log = logging.getLogger(__name__)

POLL_S = 0.25
ROWS = 1_000
"""Changes read at once. A day that changes often is one row with its newest state, so few are ever waiting."""

QUEUE = 500
"""Changes kept for a listener that reads slowly; beyond, it is told to read the lists anew."""

LISTENERS = 500
"""Streams that one process keeps; each costs a connection, a task and its queue."""

LISTENERS_OF_ONE = 100
"""Those of one key. A dashboard has one a key, however many pages are open."""


class Listener:
    """One who listens: changes that it may see, in order, until it falls behind."""

    def __init__(self, wants: Callable[[Row], bool], key_id: str = "") -> None:
        self.wants, self.key_id = wants, key_id
        self._changes: deque[Change] = deque()
        self._news = asyncio.Event()
        self.lost: str | None = None

    def offer(self, change: Change) -> None:
        """Take the change, unless it is none of this listener's."""
        if self.lost is not None or not self.wants(change[1]):
            return
        if len(self._changes) >= QUEUE:
            self.lose("this reader was too slow")
            return
        self._changes.append(change)
        self._news.set()

    def lose(self, why: str) -> None:
        """Forget what waits: the listener has to read the lists anew."""
        self._changes.clear()
        self.lost = why
        self._news.set()

    async def take(self, timeout_s: float) -> list[Change]:
        """What has come, after at most `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout_s)
        self._news.clear()
        taken = list(self._changes)
        self._changes.clear()
        return taken


class Feed:
    """Looks only while somebody listens."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: set[Listener] = set()
        self._poller: asyncio.Task[None] | None = None
        self._last = 0

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    async def close(self) -> None:
        """Look no more."""
        if self._poller is not None:
            self._poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poller

    async def join(self, wants: Callable[[Row], bool], key_id: str) -> tuple[Listener, int]:
        """Begin to listen; returns the change behind which the listener's own begin. Raises problems."""
        if len(self._listeners) >= LISTENERS:
            raise Problem(
                "too_many_streams", f"{LISTENERS} live streams are open; ask again later.", retry_after_s=10
            )
        if sum(one.key_id == key_id for one in self._listeners) >= LISTENERS_OF_ONE:
            raise Problem(
                "too_many_streams",
                f"{LISTENERS_OF_ONE} live streams of this key are open; close some.",
                retry_after_s=10,
            )
        if self._poller is None or self._poller.done():
            async with self._database.connection() as connection:
                last = await last_change(connection)
            if self._poller is None or self._poller.done():  # another may have been faster
                self._last = last
                self._poller = asyncio.create_task(self._poll(), name="live feed")
        listener = Listener(wants, key_id)
        self._listeners.add(listener)
        return listener, self._last

    def leave(self, listener: Listener) -> None:
        """Listen no more."""
        self._listeners.discard(listener)
        if not self._listeners and self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _poll(self) -> None:
        ASKER.set("")  # not the key's whose request began it
        while True:
            try:
                async with self._database.connection() as connection:
                    found = await self._look(connection)
            except Problem as problem:
                log.warning("the live feed waits: %s", problem.detail)
                await asyncio.sleep(1)
                continue
            except Exception:
                log.exception("the live feed goes on after an error")
                await asyncio.sleep(1)
                continue
            for change in found:
                self._last = change[1]["change_id"]
                for listener in list(self._listeners):
                    listener.offer(change)
            if len(found) < ROWS:
                await asyncio.sleep(POLL_S)

    async def _look(self, connection: Connection) -> list[Change]:
        until = await last_change(connection)
        return await changes(connection, self._last, until, ROWS) if until > self._last else []
