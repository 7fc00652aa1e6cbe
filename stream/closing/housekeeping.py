"""What is thrown away, and what is brought up to date, beside closing days?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta

from stream.store.aggregates import refresh_traffic
from stream.store.batches import KEPT
from stream.store.client_counts import fold_old
from stream.store.closing import forget_batches, newest_batch_at
from stream.store.pool import Connection
from stream.store.retention import (
    forget_closed_days,
    forget_dead_letters,
    forget_ledger_days,
    forget_messages,
)

SEEN_BATCHES_FOR = KEPT + timedelta(days=7)
"""Longer than a retry is recognised: a retry is read later than it came, from a partition that is behind another."""

CLIENTS_REPORT_FOR = timedelta(days=9)
"""Behind it no client reports of a day any more: they keep a week, and their clocks may be a day off."""

STATE_OUTLIVES = timedelta(days=2)
"""State leaves so much later than the horizon of events (`ml_guard.set_policies`), and with it what is about it."""

_ROWS_A_STATEMENT = 5_000

Range = tuple[datetime, datetime]


async def forget_old_batches(connection: Connection, now: datetime) -> int:
    """Forget batches that were seen too long ago; how many those were.

    The time is the broker's, that of the newest batch: a worker whose clock has jumped, or who reads a backlog, must not
    forget what is still to be repeated. Where the broker's own clock has jumped, the worker's holds it back.
    """
    newest = await newest_batch_at(connection)
    if newest is None:
        return 0
    return await _all(forget_batches, connection, min(now, newest) - SEEN_BATCHES_FOR)


async def forget_what_is_old(
    connection: Connection, now: datetime, *, retention_days: int | None, log_days: int
) -> None:
    """Forget messages that are done with, and beyond the horizon dead letters and days whose state is gone.

    Parameters
    ----------
    retention_days : int, optional
        The horizon; None keeps dead letters and days for ever.
    log_days : int
        How long the delivery log reaches back.
    """
    # A worker's clock may have jumped.
    now = await connection.fetchval("select least($1, clock_timestamp())", now)
    await _all(forget_messages, connection, now - timedelta(days=log_days))
    if retention_days is not None:
        before = now - timedelta(days=retention_days) - STATE_OUTLIVES
        for forget in (forget_dead_letters, forget_closed_days, forget_ledger_days):
            await _all(forget, connection, before)


async def _all(
    forget: Callable[[Connection, datetime, int], Awaitable[int]], connection: Connection, before: datetime
) -> int:
    """A bounded number a statement, until none is left."""
    forgotten = 0
    while True:
        count = await forget(connection, before, _ROWS_A_STATEMENT)
        forgotten += count
        if count < _ROWS_A_STATEMENT:
            return forgotten


async def fold_old_client_counts(connection: Connection, now: datetime) -> None:
    """Add up what the clients of bygone days have reported, so that it does not grow with the number of processes."""
    await fold_old(connection, (now - CLIENTS_REPORT_FOR).date())


async def refresh(connection: Connection, ranges: Iterable[Range]) -> None:
    """Bring the traffic aggregates up to date over days that changed; outside any transaction."""
    for begin, end in joined(ranges):
        await refresh_traffic(connection, begin, end)


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Ranges with those joined that touch or overlap, in order.

    >>> from datetime import UTC
    >>> day = [datetime(2025, 1, n, tzinfo=UTC) for n in range(1, 10)]
    >>> [(a.day, b.day) for a, b in joined([(day[1], day[3]), (day[0], day[1]), (day[6], day[7])])]
    [(1, 4), (7, 8)]
    """
    result: list[Range] = []
    for begin, end in sorted(ranges):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((begin, end))
    return result
