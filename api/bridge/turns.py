"""Whose request is judged now, and is there any use in waiting for a turn?

Large requests are judged one after the other, and between two of them the event loop looks for what has come. So when
they come faster than they are judged, they wait here, and not unseen in the kernel. Each project or key has a line of
its own, and the lines are served in turn; once the first of a line has waited for `LONGEST_S`, nobody else is let into
that one. Who is refused may try again, and who is taken is answered soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.problems import Problem
from api.turns import Turns

LONGEST_S = 2.0
"""Longer than a busy machine keeps a process waiting, shorter than clients wait."""
LARGE = 100
"""Events from which on a request waits for its turn: judging fewer costs less than the turn."""
LARGE_BYTES = 16_384
"""A body that says to be so large is not read while its line lets nobody in."""
LOOKS = 9
"""At what has come, between two turns; two more are in the handing over. A look takes one new connection and one piece of
each body."""


class Lines:
    """Of requests that wait to be judged, one for each holder."""

    def __init__(self) -> None:
        self._turns = Turns(1)

    def check(self, holder: str) -> None:
        """Raise `overloaded` if the first of the holder's line has waited for too long."""
        if self._turns.waited_s(holder) > LONGEST_S:
            raise Problem(
                "overloaded",
                "The bridge has more of this project or key to do than it gets done; send again shortly.",
                retry_after_s=1,
            )

    @asynccontextmanager
    async def turn(self, events: int, holder: str) -> AsyncIterator[None]:
        """The time in which a request of so many events is judged. Raises `overloaded`."""
        if events < LARGE:
            yield
            return
        self.check(holder)
        async with self._turns.turn(holder):
            yield
            for _ in range(LOOKS):
                await asyncio.sleep(0)
