"""What is thrown away, and what is brought up to date, beside closing days?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from stream.store.aggregates import refresh_traffic
from stream.store.batches import KEPT
from stream.store.client_counts import fold_old
from stream.store.closing import forget_batches, newest_batch_at
from stream.store.pool import Connection

SEEN_BATCHES_FOR = KEPT + timedelta(days=7)
"""Longer than a retry is recognised: a retry is read later than it came, from a partition that is behind another."""

CLIENTS_REPORT_FOR = timedelta(days=9)
"""Behind it no client reports of a day any more: they keep a week, and their clocks may be a day off."""

_BATCHES_A_STATEMENT = 5_000

Range = tuple[datetime, datetime]


async def forget_old_batches(connection: Connection, now: datetime) -> int:
    """Forget batches that were seen too long ago, a bounded number a statement; how many those were.

    The time is the broker's, that of the newest batch: a worker whose clock has jumped, or who reads a backlog, must not
    forget what is still to be repeated. Where the broker's own clock has jumped, the worker's holds it back.
    """
    newest = await newest_batch_at(connection)
    if newest is None:
        return 0
    forgotten = 0
    while True:
        count = await forget_batches(connection, min(now, newest) - SEEN_BATCHES_FOR, _BATCHES_A_STATEMENT)
        forgotten += count
        if count < _BATCHES_A_STATEMENT:
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
