"""How does the closing run inside a worker, beside the fetching?

Every worker runs it; the one that holds the lease works. Six loops share the lease: one keeps it, one rolls up
changed model-days, one closes days and stores what open ones had come to at full hours, one makes alerts of the
results, one sends their messages, one asks AWS for costs. What a loop writes is fenced by the lease's epoch, so two
that believe themselves leader do no harm. A database that is away is waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic

import asyncpg

from stream.alerting.channels.configured import channels
from stream.alerting.delivery import Courier
from stream.alerting.evaluation import Evaluator
from stream.alerting.wording import Place
from stream.closing.close import Closed, Closer
from stream.closing.hours import HourKeeper
from stream.closing.housekeeping import (
    Range,
    fold_old_client_counts,
    forget_old_batches,
    forget_what_is_old,
    refresh,
)
from stream.closing.lease import LASTS, LeaseKeeper
from stream.closing.reading import StateReader
from stream.closing.rollup import Roller
from stream.closing.steps import Rules
from stream.costs.explorer import Explorer
from stream.costs.pull import CostSchedule
from stream.measures import WorkerMeasures
from stream.settings import Settings
from stream.store.closing import ProjectDayKey
from stream.store.lease import Lease, LeaseLostError
from stream.store.pool import Connection, Pool, connect
from stream.store.refusal import why

log = logging.getLogger(__name__)

ROLLUP_EVERY_S = 0.05
"""A rollup begins at most this long after the commit that it follows; it then has 200 ms to be there in 250 ms."""

CLOSE_EVERY_S = 0.5
ALERT_EVERY_S = 0.5
DELIVER_EVERY_S = 0.25
COSTS_EVERY_S = 5.0
HOUSEKEEPING_EVERY_S = 60.0
RETRY_AFTER_S = 1.0

STOPS_WITHIN_S = 5.0
"""How long a stop waits for what is being written; what takes longer is rolled back, and another leader does it."""

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What a database that is away, restarting or refusing looks like."""

# Connections are made when they are needed: one keeps the lease, even while the others are long at work.
_CONNECTIONS = 6

Work = Callable[[Connection, Lease], Awaitable[bool]]


class ClosingService:
    """Rollup, day closing, alerts and housekeeping.

    Parameters
    ----------
    database : str or Pool
        A URL, or a pool of at least six connections.
    clock : callable
        The time, an aware datetime in UTC.
    end_offsets : callable
        The last stable end offset of every partition of the event topic; if it fails it is asked again.
    settings : Settings
    holder : str
        This worker's name in the lease.

    Raises
    ------
    ChannelSettingError
        If a channel of alerts is not set up as it must be.
    """

    def __init__(
        self,
        database: str | Pool,
        clock: Callable[[], datetime],
        end_offsets: Callable[[], Awaitable[Mapping[int, int]]],
        settings: Settings,
        holder: str,
        measures: WorkerMeasures | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._keeper = LeaseKeeper(holder)
        self._measures = measures = measures or WorkerMeasures()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="closing")
        occupied: set[ProjectDayKey] = set()
        self._hours = HourKeeper(clock)
        self._roller = Roller(StateReader(), self._executor, occupied, self._hours)
        self._closer = Closer(
            StateReader(), self._executor, clock, end_offsets, settings.topic, Rules.of(settings), occupied
        )
        receivers = channels(settings)
        self._evaluator = Evaluator(
            clock,
            Place(settings.env, settings.public_url),
            tuple(receivers),
            end_offsets,
            settings.topic,
            timedelta(days=settings.alert_days),
            measures.alert,
        )
        self._courier = Courier(
            receivers, clock, timedelta(hours=settings.alert_give_up_hours), attempted=measures.attempted
        )
        self._costs = CostSchedule(clock, Explorer(settings.aws_ce_region))
        self._stop = asyncio.Event()
        self._unrefreshed: set[Range] = set()
        self._refresh_at_s = 0.0
        self._tidy_at_s = 0.0

    def stop(self) -> None:
        """Have `run` return; what is being written is finished or rolled back."""
        self._stop.set()

    async def run(self) -> None:
        """Work until `stop`."""
        try:
            pool = await self._connected()
            if pool is not None:
                await self._work(pool)
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def _connected(self) -> Pool | None:
        """The pool, as soon as there is a database; nothing if the service is stopped first."""
        if not isinstance(self._database, str):
            return self._database
        while not self._stop.is_set():
            try:
                return await connect(self._database, size=_CONNECTIONS)
            except AWAY as error:
                log.warning("closing waits for the database: %s", why(self._database, error))
                await self._pause(RETRY_AFTER_S)
        return None

    async def _work(self, pool: Pool) -> None:
        loops = [
            asyncio.create_task(self._keep(pool), name="lease"),
            self._task("rollup", pool, self._roll, ROLLUP_EVERY_S),
            self._task("close", pool, self._close, CLOSE_EVERY_S),
            self._task("alerts", pool, self._evaluator.step, ALERT_EVERY_S),
            self._task("messages", pool, self._courier.step, DELIVER_EVERY_S, rests=False),
            self._task("costs", pool, self._costs.step, COSTS_EVERY_S, rests=False),
        ]
        try:
            await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stop.set()  # if one of them failed, the others end too
            _, unfinished = await asyncio.wait(loops, timeout=STOPS_WITHIN_S)
            for task in unfinished:
                task.cancel()
            ended = await asyncio.gather(*loops, return_exceptions=True)
            with suppress(*AWAY):
                async with asyncio.timeout(STOPS_WITHIN_S), pool.acquire() as connection:
                    await self._keeper.give_back(connection)
            if isinstance(self._database, str):
                pool.terminate()
        for error in ended:
            if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                raise error

    async def _keep(self, pool: Pool) -> None:
        """Hold the lease, or try for it."""
        while not self._stop.is_set():
            try:
                async with pool.acquire() as connection:
                    await self._keeper.keep(connection)
            except AWAY as error:
                log.warning("the closing lease could not be kept: %s", error)
            self._measures.leads.set(self._keeper.lease is not None)
            await self._pause(LASTS.total_seconds() / 5)

    def _task(
        self, name: str, pool: Pool, work: Work, every_s: float, *, rests: bool = True
    ) -> asyncio.Task[None]:
        return asyncio.create_task(self._repeat(name, pool, work, every_s, rests), name=name)

    async def _repeat(self, name: str, pool: Pool, work: Work, every_s: float, rests: bool) -> None:
        """Do the work again and again while the lease is held.

        It `rests` at least twice as long as it worked: most of the time belongs to the fetching and the checkpoints.
        Work that mostly waits for others need not.
        """
        while not self._stop.is_set():
            began_s, more = monotonic(), False
            lease = self._keeper.lease
            if lease is not None:
                try:
                    async with pool.acquire() as connection:
                        more = await work(connection, lease)
                    self._measures.worked(name, monotonic() - began_s)
                except LeaseLostError as error:
                    log.info("%s", error)
                    self._keeper.lost(lease)
                except AWAY as error:
                    log.warning("%s is tried again: %s: %s", work.__qualname__, type(error).__name__, error)
                    await self._pause(RETRY_AFTER_S)
            worked_s = monotonic() - began_s
            rest_s = 2 * worked_s if rests else 0.0
            await self._pause(rest_s if more else max(every_s - worked_s, rest_s))

    async def _roll(self, connection: Connection, lease: Lease) -> bool:
        done = await self._roller.step(connection, lease)
        self._measures.rolled.inc(done.model_days)
        self._unrefreshed.update((day.key.day_start, day.day_end) for day in done.changed)
        return done.more

    async def _close(self, connection: Connection, lease: Lease) -> bool:
        closed = await self._closer.step(connection, lease)
        for done in closed:
            _log_closed(done)
            self._measures.day_closed(done.revision, complete=not done.blocked)
            self._unrefreshed.add((done.day.key.day_start, done.day.day_end))
        await self._hours.step(connection, lease)
        if self._unrefreshed and (closed or monotonic() >= self._refresh_at_s):
            await self._refresh(connection)
        if monotonic() >= self._tidy_at_s:
            self._tidy_at_s = monotonic() + HOUSEKEEPING_EVERY_S
            await forget_old_batches(connection, self._clock())
            await fold_old_client_counts(connection, self._clock())
            await forget_what_is_old(
                connection,
                self._clock(),
                retention_days=self._settings.retention_days,
                log_days=self._settings.alert_log_days,
            )
        return False

    async def _refresh(self, connection: Connection) -> None:
        """Days that close are refreshed at once, what is late for an open day within a minute."""
        self._refresh_at_s = monotonic() + HOUSEKEEPING_EVERY_S
        ranges, self._unrefreshed = self._unrefreshed, set()
        try:
            await refresh(connection, ranges)
        except asyncpg.PostgresError as error:  # e.g. a job of the server refreshes the same range
            log.warning("traffic aggregates are refreshed later: %s", error)
            self._unrefreshed |= ranges

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def _log_closed(done: Closed) -> None:
    if done.blocked:
        log.warning(
            "project %s closed %s as revision %d without the stopped partitions %s",
            done.day.key.project_id,
            done.day.day,
            done.revision,
            list(done.blocked),
            extra={"project": done.day.key.project_id, "day": str(done.day.day)},
        )
    else:
        log.info(
            "project %s closed %s as revision %d, %d models",
            done.day.key.project_id,
            done.day.day,
            done.revision,
            done.model_days,
            extra={"project": done.day.key.project_id, "day": str(done.day.day)},
        )
