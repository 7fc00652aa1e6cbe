"""What is thrown away, and what is brought up to date, beside closing days?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from stream.store.closing import forget_batches, refresh_traffic
from stream.store.pool import Connection

SEEN_BATCHES_FOR = timedelta(days=7)
"""How long a retry of a batch is recognised; by the time at which the broker appended it."""

_BATCHES_A_STATEMENT = 5_000

BUCKETS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
"""The traffic aggregates; the day's is made of the hour's, so the hour comes first."""

_GROWS_FOR = timedelta(minutes=10)

Range = tuple[datetime, datetime]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def forget_old_batches(connection: Connection, now: datetime) -> int:
    """Forget batches that were seen too long ago, a bounded number a statement; how many those were."""
    forgotten = 0
    while True:
        count = await forget_batches(connection, now - SEEN_BATCHES_FOR, _BATCHES_A_STATEMENT)
        forgotten += count
        if count < _BATCHES_A_STATEMENT:
            return forgotten


async def refresh(connection: Connection, ranges: Iterable[Range], now: datetime) -> None:
    """Bring the traffic aggregates up to date over days that changed; outside any transaction.

    Only buckets that ended a while ago: younger ones are added when they are read, and one that is materialised while
    it still grows would hide what it grows by.
    """
    now -= _GROWS_FOR
    changed = list(ranges)
    for bucket, width in BUCKETS.items():
        for begin, end in joined(_whole(found, width, now) for found in changed):
            if begin < end:
                await refresh_traffic(connection, begin, end, bucket)


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Ranges with those joined that touch or overlap, in order.

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


def _whole(changed: Range, width: timedelta, now: datetime) -> Range:
    """The whole buckets that a range touches, without the one that runs."""
    begin = _floor(changed[0], width)
    end = -((_EPOCH - changed[1]) // width) * width + _EPOCH
    return begin, min(end, _floor(now, width))


def _floor(instant: datetime, width: timedelta) -> datetime:
    return (instant - _EPOCH) // width * width + _EPOCH
