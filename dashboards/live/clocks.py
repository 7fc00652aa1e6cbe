"""Where on an axis of time does a project's day begin, and what do its marks say?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ml_guard.cli.wording import short_day

_STEPS_H = (0.25, 0.5, 1, 2, 3, 4, 6, 12, 24)
MARKS = 7
"""About how many marks an axis has."""


def ms(at: datetime) -> float:
    """An instant on Bokeh's axis: milliseconds since 1970."""
    return at.timestamp() * 1000


def date_ms(day: date) -> float:
    """A local day on an axis of days, whatever its zone."""
    return ms(datetime(day.year, day.month, day.day, tzinfo=UTC))


def midnights(start: datetime, end: datetime, zone: str) -> list[datetime]:
    """The first instants of the local days that begin in [start, end).

    >>> [str(at) for at in midnights(datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC), "Asia/Kathmandu")]
    ['2025-01-01 18:15:00+00:00']
    """
    found = []
    day = start.astimezone(ZoneInfo(zone)).date()
    while (at := _local(day, 0, zone)) < end:
        if at >= start:
            found.append(at)
        day += timedelta(days=1)
    return found


def hour_ticks(start: datetime, end: datetime, zone: str) -> dict[float, str]:
    """Marks at round local hours; at midnight the date stands instead."""
    hours = (end - start).total_seconds() / 3600
    step = next((one for one in _STEPS_H if hours / one <= MARKS), _STEPS_H[-1])
    return {ms(at): text for at, text in _round_hours(start, end, zone, step)}


def _round_hours(start: datetime, end: datetime, zone: str, step_h: float) -> Iterator[tuple[datetime, str]]:
    day = start.astimezone(ZoneInfo(zone)).date()
    while _local(day, 0, zone) < end:
        hour = 0.0
        while hour < 24:
            at = _local(day, hour, zone)
            if start <= at < end:
                yield at, short_day(day) if hour == 0 else f"{int(hour):02}:{int(hour % 1 * 60):02}"
            hour += step_h
        day += timedelta(days=1)


def date_ticks(first: date, last: date, marks: int = MARKS) -> dict[float, str]:
    """Marks at days."""
    count = (last - first).days + 1
    step = max(1, -(-count // marks))
    days = [last - timedelta(days=step * index) for index in range(-(-count // step))]
    return {date_ms(day): short_day(day) for day in reversed(days)}


def _local(day: date, hour: float, zone: str) -> datetime:
    minutes = round(hour * 60)
    local = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=ZoneInfo(zone))
    return local.astimezone(UTC)
