"""Is there a project of this name? Believes a yes for a few seconds and a no never, so that a new project works at once."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from api.database import Database
from api.problems import Problem
from stream.store import projects

FRESH_S = 5.0
ENTRIES = 50_000


class ProjectDirectory:
    """Names of projects, for the doors: the bridge asks it for every request."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._seen: OrderedDict[str, float] = OrderedDict()

    def forget(self, name: str) -> None:
        """The project was deleted."""
        self._seen.pop(name, None)

    async def known(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are projects.

        While the database is away, names that were projects before still are: the worker has the last word.
        """
        now = self._clock()
        asked = set(names)
        fresh = {name for name in asked if now - self._seen.get(name, -FRESH_S) < FRESH_S}
        unsure = asked - fresh
        if not unsure:
            return fresh
        try:
            async with self._database.connection() as connection:
                found = await projects.known(connection, sorted(unsure))
        except Problem:
            if all(name in self._seen for name in unsure):
                return asked
            raise
        for name in unsure - found:
            self._seen.pop(name, None)
        for name in found:
            self._seen[name] = now
            self._seen.move_to_end(name)
        while len(self._seen) > ENTRIES:
            self._seen.popitem(last=False)
        return fresh | found
