"""Whose request is judged now, and is there any use in waiting for a turn?

Large requests are judged one after the other, and between two of them the event loop looks for what has come. So when
they come faster than they are judged, they wait here, and not unseen in the kernel: once the first of the line has
waited for `LONGEST_S`, nobody else is let in. Who is refused may try again, and who is taken is answered soon.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.problems import Problem

LONGEST_S = 2.0
"""Longer than a busy machine keeps a process waiting, shorter than clients wait."""
LARGE = 100
"""Events from which on a request waits for its turn: judging fewer costs less than the turn."""
LARGE_BYTES = 16_384
"""A body that says to be so large is not read while nobody is let in."""
LOOKS = 10
"""At what has come, between two turns. A look takes one new connection and one piece of each body."""


class Turns:
    """A line of requests, the first come the first served."""

    def __init__(self) -> None:
        self._judging = asyncio.Lock()
        self._since: dict[object, float] = {}

    def check(self) -> None:
        """Raise `overloaded` if the first of the line has waited for too long."""
        first = next(iter(self._since.values()), None)
        if first is not None and time.monotonic() - first > LONGEST_S:
            raise Problem(
                "overloaded",
                "The bridge has more to do than it gets done; send again shortly.",
                retry_after_s=1,
            )

    @asynccontextmanager
    async def turn(self, events: int) -> AsyncIterator[None]:
        """The time in which a request of so many events is judged. Raises `overloaded`."""
        if events < LARGE:
            yield
            return
        self.check()
        mine = object()
        self._since[mine] = time.monotonic()
        try:
            await self._judging.acquire()
        finally:
            del self._since[mine]
        try:
            yield
            for _ in range(LOOKS):
                await asyncio.sleep(0)
        finally:
            self._judging.release()
