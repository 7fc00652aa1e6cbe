"""Which days does the schedule ask for, and when does it ask again? Plain functions of dates and times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

LOOKS_BACK_DAYS = 45
"""A month's bill becomes final some days after its end; until then AWS may restate each of its days."""

RESTATED_DAYS = 3
"""Yesterday is not complete before AWS has seen all usage of it, a day or two later, estimated or not."""

ASKS_AT = time(6)
"""UTC. By then AWS, which refreshes costs about three times a day, has most of yesterday."""

FIRST_RETRY = timedelta(minutes=5)
LONGEST_RETRY = timedelta(hours=6)


def yesterday(now: datetime) -> date:
    """AWS's last day that has ended: UTC's.

    >>> yesterday(datetime.fromisoformat("2025-03-04T20:00:00-05:00"))
    datetime.date(2025, 3, 4)
    """
    return now.astimezone(UTC).date() - timedelta(days=1)


def first_needed(last: date, settled: Iterable[date]) -> date:
    """The first day to ask for, so that one question ending with `last` has all that is needed.

    Needed are the latest days, and of those looked back on all that are not settled: days that are missing, that AWS
    called estimated, or that were pulled with another filter.

    >>> days = [date(2025, 3, 31) - timedelta(days=n) for n in range(90)]
    >>> first_needed(date(2025, 3, 31), days), first_needed(date(2025, 3, 31), days[:20] + days[21:])
    (datetime.date(2025, 3, 29), datetime.date(2025, 3, 11))
    """
    known = set(settled)
    looked_at = [last - timedelta(days=age) for age in range(LOOKS_BACK_DAYS)]
    latest = looked_at[:RESTATED_DAYS]
    return min([*latest, *(day for day in looked_at if day not in known)])


def next_time(now: datetime) -> datetime:
    """When to ask again after an answer.

    >>> str(next_time(datetime(2025, 3, 4, 6, 0, 1, tzinfo=UTC)))
    '2025-03-05 06:00:00+00:00'
    """
    today = datetime.combine(now.astimezone(UTC).date(), ASKS_AT, UTC)
    return today if now < today else today + timedelta(days=1)


def retry_time(now: datetime, failures: int) -> datetime:
    """When to ask again after so many failures in a row, this one included.

    >>> begin = datetime(2025, 3, 4, tzinfo=UTC)
    >>> [str(retry_time(begin, failures) - begin) for failures in (1, 2, 3, 60)]
    ['0:05:00', '0:10:00', '0:20:00', '6:00:00']
    """
    return now + min(LONGEST_RETRY, FIRST_RETRY * (1 << min(failures - 1, 10)))
