"""How do days of a project's costs come into the database: those asked for by a person, and by the schedule?"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from stream.costs.errors import CostError, NoAwsCredentialsError
from stream.costs.explorer import Explorer
from stream.costs.question import CostFilter
from stream.costs.window import LOOKS_BACK_DAYS, first_needed, next_time, retry_time, yesterday
from stream.store.costs import Due, note_pull, read_due, stored_days, write_days
from stream.store.lease import Lease, fence
from stream.store.pool import Connection

log = logging.getLogger(__name__)

WITHOUT_CREDENTIALS = timedelta(minutes=10)
"""How long until a worker without credentials looks again; it has asked AWS nothing."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of the days that were asked for, and how many requests AWS was sent."""

    pulled: tuple[date, ...]
    kept: tuple[date, ...]
    unanswered: tuple[date, ...]
    requests: int


async def pull(
    connected: Callable[[], AbstractAsyncContextManager[Connection]],
    explorer: Explorer,
    project_id: str,
    chosen: CostFilter,
    first: date,
    last: date,
    *,
    overwrite: bool,
    now: datetime,
) -> Pulled:
    """Pull the days from `first` to `last`; those that are there stay, and are not asked for, unless `overwrite`.

    Parameters
    ----------
    connected : callable
        Gives a connection; none is held while AWS is asked.

    Raises
    ------
    CostError
        If AWS does not answer; nothing was written.
    """
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    async with connected() as connection:
        there = {day.day for day in await stored_days(connection, project_id, first, last)}
    wanted = [day for day in days if overwrite or day not in there]
    if not wanted:
        return Pulled((), tuple(days), (), 0)
    bill = await explorer.bill(chosen, wanted[0], wanted[-1])
    costs = [cost for cost in bill.days if cost.day in wanted]
    async with connected() as connection, connection.transaction():
        await write_days(connection, project_id, costs, now, replace=overwrite)
    answered = {cost.day for cost in costs}
    return Pulled(
        tuple(day for day in wanted if day in answered),
        tuple(day for day in days if day not in wanted),
        tuple(day for day in wanted if day not in answered),
        bill.requests,
    )


@dataclass
class CostSchedule:
    """Asks for the last days of each project that has a filter: daily, by the worker that leads."""

    clock: Callable[[], datetime]
    explorer: Explorer
    _warned: bool = False

    async def step(self, connection: Connection, lease: Lease) -> bool:
        """One project, if one is due; whether another may be.

        Raises
        ------
        LeaseLostError
            If another worker leads now; nothing was written.
        """
        now = self.clock()
        due = await read_due(connection, now)
        if due is None:
            return False
        last = yesterday(now)
        there = await stored_days(
            connection, due.project_id, last - timedelta(days=LOOKS_BACK_DAYS - 1), last
        )
        settled = [day.day for day in there if not day.estimated and day.pulled_at >= due.set_at]
        first = first_needed(last, settled)
        try:
            bill = await self.explorer.bill(due.chosen, first, last)
        except CostError as error:
            async with connection.transaction():
                await fence(connection, lease)
                await self._failed(connection, due, now, error)
            return True
        async with connection.transaction():
            await fence(connection, lease)
            await write_days(connection, due.project_id, bill.days, now, replace=True)
            await note_pull(connection, due, next_time(now), at=now, failures=0, error=None)
        self._warned = False
        log.info(
            "costs of project %s pulled from %s to %s in %d requests",
            due.project_id,
            first,
            last,
            bill.requests,
        )
        return True

    async def _failed(self, connection: Connection, due: Due, now: datetime, error: CostError) -> None:
        if isinstance(error, NoAwsCredentialsError):
            if not self._warned:
                log.warning("no costs are pulled: %s", error)
            self._warned = True
            next_at, failures = now + WITHOUT_CREDENTIALS, due.failures
        else:
            failures = due.failures + 1
            next_at = retry_time(now, failures)
            log.warning(
                "costs of project %s were not pulled, again at %s: %s", due.project_id, next_at, error
            )
        await note_pull(connection, due, next_at, at=None, failures=failures, error=str(error))
