"""How does a project-day close, and how do late events restate it, without anybody seeing half of it?

The models of a day are read and calculated a few at a time, each in a snapshot of its own: whatever a snapshot holds
beyond the barrier does no harm, since the changes that it does not hold stay in `day_change` and restate the day.
All final rows, the forgotten changes and the day's own row are then written in one fenced transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime

from stream.closing.reading import Calculation, CalculationError, StateReader
from stream.closing.steps import Decision, Rules, Step, next_step
from stream.store.closing import (
    ProjectDay,
    ProjectDayKey,
    note_barrier,
    note_closed,
    read_fences,
    read_project_days,
    read_unfinished,
)
from stream.store.lease import Lease, fence
from stream.store.one_topic import require_topic
from stream.store.pool import Connection
from stream.store.results import Edition, ModelDayResult, write
from stream.store.snapshot import (
    ModelDayKey,
    PendingModelDay,
    forget_pending,
    read_model_days_of,
    read_pending_of,
    repeatable,
)

log = logging.getLogger(__name__)

EndOffsets = Callable[[], Awaitable[Mapping[int, int]]]

# Days read at once. A pass reads all pages: days that were sent together close in their order, however many wait.
DAYS_A_PAGE = 200


@dataclass(frozen=True)
class Closed:
    """A project-day that has a new final revision."""

    day: ProjectDay
    """As it was before."""
    revision: int
    blocked: tuple[int, ...]
    model_days: int


@dataclass
class Closer:
    """Moves project-days towards their close, a pass at a time.

    Parameters
    ----------
    end_offsets : callable
        The last stable end offset of every partition of the topic.
    occupied : set of ProjectDayKey
        Shared with the roller, which leaves these days alone.
    """

    reader: StateReader
    executor: Executor
    clock: Callable[[], datetime]
    end_offsets: EndOffsets
    topic: str
    rules: Rules
    occupied: set[ProjectDayKey] = field(default_factory=set)
    _failed: set[ProjectDayKey] = field(default_factory=set)

    async def step(self, connection: Connection, lease: Lease) -> list[Closed]:
        """One pass over all days that have ended and are not closed for good, the oldest first.

        Raises
        ------
        LeaseLostError
            If another worker leads now.
        OtherTopicError
            If the database is another topic's.
        """
        closed: list[Closed] = []
        after: ProjectDayKey | None = None
        while True:
            page = await read_unfinished(connection, self.clock() - self.rules.grace, after, DAYS_A_PAGE)
            closed += await self._close_ready(connection, lease, page)
            if len(page) < DAYS_A_PAGE:
                return closed
            after = page[-1].key

    async def _close_ready(
        self, connection: Connection, lease: Lease, page: list[ProjectDay]
    ) -> list[Closed]:
        # Barriers first, so that a day whose fences stand beyond its barrier closes in the same pass.
        page = await self._with_barriers(connection, lease, page)
        now = self.clock()
        fences = await read_fences(connection, self.topic)
        closed = []
        for day in page:
            decision = next_step(day, now, fences, self.rules)
            if decision.step is Step.CLOSE:
                try:
                    done = await self.close(connection, lease, day, decision)
                except CalculationError as error:
                    if day.key not in self._failed:
                        self._failed.add(day.key)
                        log.error("project %s cannot close %s: %s", day.key.project_id, day.day, error)
                    continue
                if done is not None:
                    closed.append(done)
        return closed

    async def close(
        self, connection: Connection, lease: Lease, day: ProjectDay, decision: Decision
    ) -> Closed | None:
        """Write the next final revision; nothing if the day has changed since it was decided on."""
        self.occupied.add(day.key)
        try:
            results, held = await self._results(connection, day)
            async with connection.transaction():
                await fence(connection, lease)
                await require_topic(connection, self.topic)
                current = (await read_project_days(connection, [day.key], lock=True)).get(day.key)
                if current is None or _standing(current) != _standing(day):
                    return None
                edition = Edition(day.revision + 1, not decision.blocked)
                await write(connection, results, [edition] * len(results))
                await forget_pending(connection, held)
                await note_closed(connection, day, decision.blocked, self.clock())
        finally:
            self.occupied.discard(day.key)
        return Closed(day, edition.revision, decision.blocked, len(results))

    async def _with_barriers(
        self, connection: Connection, lease: Lease, page: list[ProjectDay]
    ) -> list[ProjectDay]:
        """The page, with barriers noted for the days that want one."""
        now = self.clock()
        wanted = [day for day in page if next_step(day, now, {}, self.rules).step is Step.NOTE_BARRIER]
        if not wanted:
            return page
        try:
            barrier = dict(await self.end_offsets())
        except Exception as error:  # a broker that is away holds days back, and nothing else
            log.warning("no end offsets, %d days stay open for now: %s", len(wanted), error)
            return page
        async with connection.transaction():
            await fence(connection, lease)
            await require_topic(connection, self.topic)
            current = await read_project_days(connection, [day.key for day in wanted], lock=True)
            noted = [
                day.key
                for day in wanted
                if day.key in current and _standing(current[day.key]) == _standing(day)
            ]
            await note_barrier(connection, noted, barrier, now)
        return [
            replace(day, status="closing", barrier=barrier, barrier_at=now, reopened_at=None)
            if day.key in noted
            else day
            for day in page
        ]

    async def _results(
        self, connection: Connection, day: ProjectDay
    ) -> tuple[list[ModelDayResult], list[PendingModelDay]]:
        loop = asyncio.get_running_loop()
        results, held = [], []
        for key in await read_model_days_of(connection, day.key):
            calculation, pending = await self._read(connection, key, day)
            results.append(await loop.run_in_executor(self.executor, calculation.result))
            held.append(pending)
        return results, held

    async def _read(
        self, connection: Connection, key: ModelDayKey, day: ProjectDay
    ) -> tuple[Calculation, PendingModelDay]:
        async with repeatable(connection):
            pending = await read_pending_of(connection, key)
            return await self.reader.read(connection, key, day), pending


def _standing(day: ProjectDay) -> tuple[object, ...]:
    """What must not have changed between a decision and its write."""
    return day.status, day.revision, day.barrier_at, day.day_end
