"""Which local day of a project does an instant belong to?

A day of a zone is ``[day_start(D), day_start(D + 1))``, and ``day_start(D)`` is the first instant whose
local date is on or after ``D``. So days partition time, whatever a zone does with its clocks: there are days of
23, 24, 24.5, 25 and 47 hours, and days that begin at 00:01, at 01:00, or in the middle of an hour.

A date that a zone skipped (``Pacific/Apia`` 2011-12-30) has no day: its interval would be empty, and no event
can be in it. A date that a zone went back to after its day had ended (``America/St_Johns`` 2010-11-07, whose
clocks fell back from 00:01 to 23:01) does not return: the second 23:01 of the 6th belongs to the 7th.

A project may change its zone. Its `Calendar` is then a sequence of zones, each in force from an instant that is
a day start of the new zone; the old zone's last day is cut there, so there is neither a gap nor an overlap.

Zones come from the ``tzdata`` package only, never from the machine, so that every worker agrees on every day.
Instants are ``int`` (or ``int64``) microseconds since the epoch, UTC, from `EARLIEST_US` up to `LATEST_US`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Instants = npt.NDArray[np.int64]
Positions = npt.NDArray[np.intp] | slice

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)


def to_us(instant: datetime) -> int:
    """Microseconds since the epoch of an aware datetime.

    >>> to_us(datetime(1970, 1, 2, tzinfo=UTC))
    86400000000
    """
    return (instant - _EPOCH) // _MICROSECOND


def from_us(instant_us: int) -> datetime:
    """The aware UTC datetime of `instant_us` microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=instant_us)


# Python's dates end at the years 1 and 9999; one year inside them every neighbouring day exists in every zone.
EARLIEST_US = to_us(datetime(2, 1, 1, tzinfo=UTC))
LATEST_US = to_us(datetime(9999, 1, 1, tzinfo=UTC))


class UnknownZoneError(ValueError):
    """The name is not one of tzdata's zones."""


@dataclass(frozen=True, slots=True)
class Day:
    """One local day: the instants from `start_us` up to, not including, `end_us`.

    Attributes
    ----------
    day : date
        The local date that names it. After a change of zone two days may have the same name: `start_us` is the key.
    start_us, end_us : int
        Microseconds since the epoch.
    zone : str
        The IANA zone that it was computed with.
    """

    day: date
    start_us: int
    end_us: int
    zone: str

    def __lt__(self, other: Day) -> bool:
        return self.start_us < other.start_us

    def __contains__(self, instant_us: int) -> bool:
        return self.start_us <= instant_us < self.end_us

    @property
    def start(self) -> datetime:
        """The first instant, as an aware UTC datetime."""
        return from_us(self.start_us)

    @property
    def end(self) -> datetime:
        """The first instant that is no longer in the day."""
        return from_us(self.end_us)

    @property
    def hours(self) -> float:
        """How long the day is."""
        return (self.end_us - self.start_us) / 3_600_000_000


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """All zones that a project may have: those of the installed ``tzdata``."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


@lru_cache(maxsize=1024)
def load_zone(zone: str) -> ZoneInfo:
    """The zone's rules from the ``tzdata`` package.

    Raises
    ------
    UnknownZoneError
        If ``tzdata`` has no zone of that name.
    """
    if zone not in zone_names():
        raise UnknownZoneError(
            f"{zone!r} is not an IANA time zone; a valid one is e.g. 'America/Toronto' or 'UTC'"
        )
    with resources.files("tzdata").joinpath("zoneinfo", *zone.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=zone)


@lru_cache(maxsize=65_536)
def day_start(day: date, zone: str) -> int:
    """The first instant whose local date in `zone` is on or after `day`, in microseconds.

    >>> from_us(day_start(date(2025, 3, 9), "America/Toronto")).isoformat()
    '2025-03-09T05:00:00+00:00'
    >>> from_us(day_start(date(2018, 11, 4), "America/Sao_Paulo")).isoformat()  # 00:00 did not exist
    '2018-11-04T03:00:00+00:00'
    """
    rules = load_zone(zone)
    midnight = datetime(day.year, day.month, day.day, tzinfo=rules)
    first = midnight.astimezone(UTC)  # fold=0: of two midnights the first
    if first.astimezone(rules).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return to_us(first)
    # No such midnight: the clocks jumped over it, at some whole second between the two readings of it.
    low = to_us(midnight.replace(fold=1).astimezone(UTC)) // 1_000_000 - 1
    high = to_us(first) // 1_000_000
    while high - low > 1:
        middle = (low + high) // 2
        if from_us(middle * 1_000_000).astimezone(rules).date() >= day:
            high = middle
        else:
            low = middle
    return high * 1_000_000


def _zone_day(instant_us: int, zone: str) -> tuple[date, int, int]:
    """Name, start and end of the zone's day that holds the instant."""
    day = from_us(instant_us).astimezone(load_zone(zone)).date()
    start = day_start(day, zone)
    while (end := day_start(day + _DAY, zone)) <= instant_us:  # a local date that came back
        day, start = day + _DAY, end
    return day, start, end


def full_hours(day: Day) -> list[tuple[int, int]]:
    """The full local hours inside a day, each with its first instant.

    An hour that the clocks skip begins when they jump, one that they repeat when it comes for the first time.

    >>> toronto = Calendar.of("America/Toronto")
    >>> spring = full_hours(toronto.day_of(to_us(datetime(2025, 3, 9, 12, tzinfo=UTC))))
    >>> [(hour, from_us(instant).hour) for hour, instant in spring[:4]]
    [(1, 6), (2, 7), (3, 7), (4, 8)]
    """
    rules = load_zone(day.zone)
    found = []
    for hour in range(1, 24):
        instant = to_us(
            datetime(day.day.year, day.day.month, day.day.day, hour, tzinfo=rules).astimezone(UTC)
        )
        if day.start_us < instant < day.end_us:
            found.append((hour, instant))
    return found


def next_day_start(after_us: int, zone: str) -> int:
    """The first day start of `zone` strictly after the instant: when a changed zone takes effect.

    >>> from_us(next_day_start(to_us(datetime(2025, 5, 9, 16, tzinfo=UTC)), "UTC")).isoformat()
    '2025-05-10T00:00:00+00:00'
    """
    return _zone_day(after_us, zone)[2]


class Calendar:
    """The days of a project, through all zones that it has had.

    Parameters
    ----------
    segments : sequence of (int, str)
        The zone history: from which instant (microseconds) which zone is in force, in ascending order. The first
        zone holds from the beginning of time, whatever its instant. Of several with one instant the last holds.

    Examples
    --------
    >>> calendar = Calendar.of("America/Toronto")
    >>> calendar.day_of(to_us(datetime(2025, 11, 2, 12, tzinfo=UTC))).hours
    25.0

    A move from Tokyo to UTC cuts Tokyo's day and gives the date twice:

    >>> moved = Calendar([(EARLIEST_US, "Asia/Tokyo"), (to_us(datetime(2025, 5, 10, tzinfo=UTC)), "UTC")])
    >>> [(day.zone, day.hours) for day in moved.days_on(date(2025, 5, 10))]
    [('Asia/Tokyo', 9.0), ('UTC', 24.0)]
    """

    __slots__ = ("_current", "_starts", "_zones")

    def __init__(self, segments: Sequence[tuple[int, str]]) -> None:
        if not segments:
            raise ValueError("a calendar needs at least one zone")
        starts: list[int] = []
        zones: list[str] = []
        for position, (start, zone) in enumerate(segments):
            load_zone(zone)
            start = start if position else EARLIEST_US
            if starts and start < starts[-1]:
                raise ValueError(f"zone history is not in order: {zone} begins before {zones[-1]}")
            if starts and start == starts[-1]:
                starts.pop()
                zones.pop()
            if not zones or zones[-1] != zone:
                starts.append(start)
                zones.append(zone)
        self._starts, self._zones = starts, zones
        self._current = Day(date.min, 0, 0, zones[-1])

    @classmethod
    def of(cls, zone: str) -> Calendar:
        """The calendar of a project that has always been in `zone`."""
        return cls([(EARLIEST_US, zone)])

    @property
    def segments(self) -> list[tuple[int, str]]:
        """The zone history, without what never was in force."""
        return list(zip(self._starts, self._zones, strict=True))

    def zone_at(self, instant_us: int) -> str:
        """The zone in force at the instant."""
        return self._zones[self._segment_at(instant_us)]

    def day_of(self, instant_us: int) -> Day:
        """The day that holds the instant.

        Raises
        ------
        ValueError
            If the instant is not within `EARLIEST_US` and `LATEST_US`.
        """
        current = self._current
        if instant_us in current:
            return current
        if not EARLIEST_US <= instant_us < LATEST_US:
            raise ValueError(f"{instant_us} microseconds since 1970 is not within the years 2 to 9998")
        segment = self._segment_at(instant_us)
        zone = self._zones[segment]
        day, start, end = _zone_day(instant_us, zone)
        if segment:
            start = max(start, self._starts[segment])
        if segment + 1 < len(self._starts):
            end = min(end, self._starts[segment + 1])
        self._current = found = Day(day, start, end, zone)
        return found

    def split(self, instants_us: Instants) -> list[tuple[Day, Positions]]:
        """Group instants by day, in the order of the days.

        Parameters
        ----------
        instants_us : ndarray of int64, shape (n,)

        Returns
        -------
        list of (Day, positions)
            Each day that occurs, with the positions of its instants in `instants_us`, in no particular
            order; ``slice(None)`` where all are of one day. Either indexes any array that is parallel to `instants_us`.
        """
        if instants_us.size == 0:
            return []
        first, last = int(instants_us.min()), int(instants_us.max())
        day = self.day_of(last)
        if first >= day.start_us:
            return [(day, slice(None))]
        order = np.argsort(instants_us, kind="stable")
        ascending = instants_us[order]
        groups: list[tuple[Day, Positions]] = []
        position = 0
        while position < ascending.size:
            day = self.day_of(int(ascending[position]))
            following = int(np.searchsorted(ascending, day.end_us, side="left"))
            groups.append((day, order[position:following]))
            position = following
        return groups

    def days_between(self, from_us: int, to_us: int) -> Iterator[Day]:
        """All days that have an instant in ``[from_us, to_us)``, in order."""
        while from_us < to_us:
            day = self.day_of(from_us)
            yield day
            from_us = day.end_us

    def days_on(self, day: date) -> list[Day]:
        """The days of that name: one; none where the date was skipped; two or more around a change of zone."""
        noon = to_us(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
        reach = 3 * 86_400_000_000  # no zone is further than a day from UTC, and no day longer than two
        around = self.days_between(max(noon - reach, EARLIEST_US), min(noon + reach, LATEST_US))
        return [found for found in around if found.day == day]

    def _segment_at(self, instant_us: int) -> int:
        return max(bisect_right(self._starts, instant_us) - 1, 0)
