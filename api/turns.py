"""Whose turn is it? What is scarce goes round among those who ask, so that one which asks much keeps nobody waiting long."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """So many turns at once, for one asker all but one of them; those who wait are served one asker after the other."""

    def __init__(self, turns: int) -> None:
        self._free, self._most_of_one = turns, max(1, turns - 1)
        self._has: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[tuple[float, asyncio.Future[None]]]] = OrderedDict()

    def is_free(self, asker: str) -> bool:
        """Whether it would have one at once."""
        return self._free > 0 and self._has[asker] < self._most_of_one

    def waited_s(self, asker: str) -> float:
        """How long the first of its line has been waiting; 0: nobody is."""
        line = self._waiting.get(asker)
        return time.monotonic() - line[0][0] if line else 0.0

    @asynccontextmanager
    async def turn(self, asker: str, timeout_s: float | None = None) -> AsyncIterator[None]:
        """Have one for a while. Raises `TimeoutError`."""
        await self.take(asker, timeout_s)
        try:
            yield
        finally:
            self.give(asker)

    async def take(self, asker: str, timeout_s: float | None) -> None:
        """Have one, to be given back. Raises `TimeoutError`."""
        if self.is_free(asker):
            self._free -= 1
            self._has[asker] += 1
        else:
            await self._wait(asker, timeout_s)

    async def _wait(self, asker: str, timeout_s: float | None) -> None:
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mine = time.monotonic(), called
        self._waiting.setdefault(asker, deque()).append(mine)
        try:
            await asyncio.wait_for(asyncio.shield(called), timeout_s)
        except BaseException:
            if called.done():
                self.give(asker)
            else:
                self._waiting[asker].remove(mine)
                if not self._waiting[asker]:
                    del self._waiting[asker]
            raise

    def give(self, asker: str) -> None:
        """Give it back, to whoever is next."""
        self._free += 1
        self._has[asker] -= 1
        if not self._has[asker]:
            del self._has[asker]
        for following in self._waiting:
            if self._has[following] < self._most_of_one:
                self._call(following)
                return

    def _call(self, asker: str) -> None:
        waiting = self._waiting[asker]
        self._free -= 1
        self._has[asker] += 1
        waiting.popleft()[1].set_result(None)
        if waiting:
            self._waiting.move_to_end(asker)
        else:
            del self._waiting[asker]
