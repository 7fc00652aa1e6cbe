"""How do changed model-days of open days get new results soon after the commit that changed them?

One pass reads some changed model-days in one snapshot, calculates in a thread while nothing is held, and writes in
one fenced transaction. Passes go round the changed model-days in the order of their keys, so a busy one cannot keep
the others waiting, and each pass is bounded by a number of model-days and of bytes.

A day that has closed gets no new result here: its changes mark it for a restatement (`stream.closing.close`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from stream.closing.hours import HourKeeper
from stream.closing.reading import Calculation, CalculationError, StateReader
from stream.store.closing import Change, ProjectDay, ProjectDayKey, note_changes, read_project_days
from stream.store.lease import Lease, fence
from stream.store.pool import Connection
from stream.store.results import PROVISIONAL, ModelDayResult, write
from stream.store.snapshot import (
    BEFORE_ALL,
    ModelDayKey,
    PendingChange,
    PendingModelDay,
    forget_pending,
    is_any_pending,
    read_pending,
    repeatable,
)

log = logging.getLogger(__name__)

# A pass of this size takes well under 250 ms on one core, and its statements hold up nobody else for long.
MODEL_DAYS_A_PASS = 32
BYTES_A_PASS = 4 * 1024 * 1024


@dataclass(frozen=True)
class Pass:
    """What a pass read and did."""

    model_days: int = 0
    changed: tuple[ProjectDay, ...] = ()
    """The days that workers changed, open or closed."""
    more: bool = False
    """Whether changed model-days are waiting that this pass had no room for."""


@dataclass
class Roller:
    """Rolls up changed model-days, a pass at a time.

    Parameters
    ----------
    reader : StateReader
    executor : Executor
        Where the calculation runs.
    occupied : set of ProjectDayKey
        Days that the closer is at; their changes are left to it.
    hours : HourKeeper, optional
        Is shown every result that was written.
    """

    reader: StateReader
    executor: Executor
    occupied: set[ProjectDayKey] = field(default_factory=set)
    hours: HourKeeper | None = None
    _after: ModelDayKey = BEFORE_ALL
    _failed: dict[ModelDayKey, tuple[PendingChange, ...]] = field(default_factory=dict)
    """Model-days that could not be calculated, with the changes that they had: tried again when there are others."""

    async def step(self, connection: Connection, lease: Lease) -> Pass:
        """One pass.

        Raises
        ------
        LeaseLostError
            If another worker leads now; nothing was written.
        """
        if not await is_any_pending(connection):
            return Pass()
        work = await self._read(connection)
        if not work.pending:
            return Pass()
        calculations = work.calculations
        results: list[ModelDayResult] = []
        if calculations:
            loop = asyncio.get_running_loop()
            results = await loop.run_in_executor(self.executor, _calculate, calculations)
        changed = await self._write(connection, lease, work, results)
        return Pass(len(results), changed, work.more)

    async def _read(self, connection: Connection) -> _Work:
        work = _Work()
        async with repeatable(connection):
            found = await read_pending(connection, self._after, MODEL_DAYS_A_PASS)
            if not found and self._after is not BEFORE_ALL:
                found = await read_pending(connection, BEFORE_ALL, MODEL_DAYS_A_PASS)
            if not found:
                self._after = BEFORE_ALL
                return work
            days = await read_project_days(connection, {pending.key.project_day for pending in found})
            nbytes = 0
            for pending in found:
                if nbytes > BYTES_A_PASS:
                    work.more = True
                    break
                self._after = pending.key
                day = days.get(pending.key.project_day)
                if (
                    day is None
                    or day.key in self.occupied
                    or self._failed.get(pending.key) == pending.changes
                ):
                    continue
                work.pending.append(pending)
                if day.revision == 0:
                    calculation = await self.reader.read(connection, pending.key, day)
                    work.calculations.append(calculation)
                    nbytes += calculation.state.nbytes
        work.more = work.more or len(found) == MODEL_DAYS_A_PASS
        return work

    async def _write(
        self, connection: Connection, lease: Lease, work: _Work, results: Sequence[ModelDayResult]
    ) -> tuple[ProjectDay, ...]:
        """Write what still may be written: days that have closed since are left as they are."""
        calculated = {calculation.state.key for calculation in work.calculations}
        failed = calculated - {result.state.key for result in results}
        self._failed |= {p.key: p.changes for p in work.pending if p.key in failed}
        async with connection.transaction():
            await fence(connection, lease)
            days = await read_project_days(
                connection, {pending.key.project_day for pending in work.pending}, lock=True
            )
            open_days = {key for key, day in days.items() if day.revision == 0}
            written = [r for r in results if r.state.project_day.key in open_days and r.state.events]
            await write(connection, written, [PROVISIONAL] * len(written))
            # A model-day that was read as open and has closed since keeps its changes for the next pass.
            done = [
                pending
                for pending in work.pending
                if (pending.key.project_day in open_days) == (pending.key in calculated)
                and pending.key not in failed
            ]
            changes = _by_project_day(await forget_pending(connection, done))
            await note_changes(connection, changes)
        if self.hours is not None:
            for result in written:
                self.hours.saw(result)
        return tuple(days[key] for key in changes)


@dataclass
class _Work:
    """What a pass has read."""

    pending: list[PendingModelDay] = field(default_factory=list)
    calculations: list[Calculation] = field(default_factory=list)
    more: bool = False


def _calculate(calculations: Sequence[Calculation]) -> list[ModelDayResult]:
    results = []
    for calculation in calculations:
        try:
            results.append(calculation.result())
        except CalculationError as error:
            log.error("no rollup: %s", error)
    return results


def _by_project_day(done: Sequence[PendingModelDay]) -> dict[ProjectDayKey, Change]:
    changes: dict[ProjectDayKey, Change] = {}
    for pending in done:
        change = pending.by_workers
        if change is not None:
            there = changes.get(pending.key.project_day, change)
            changes[pending.key.project_day] = Change(
                min(there.first_at, change.first_at), max(there.last_at, change.last_at)
            )
    return changes
