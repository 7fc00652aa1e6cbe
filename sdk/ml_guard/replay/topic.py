"""Of what does the synthetic topic consist: which projects, models and features, and what is planted on which day?

Days are counted from the origin, the first day after the scored past: offset -1 is the day before it. Days before
`FIRST_SCORED` are clean and are what the baselines are captured from; the plants return every `CYCLE` days after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from ml_guard.replay import catalogue
from ml_guard.replay.catalogue import Endpoint, Plant, Project

FIRST_DAY = -9
FIRST_SCORED = -2
CYCLE = 3

EVENTS = 120_000
"""Small enough for a demo to take seconds, large enough that a day of every model can be tested."""


@dataclass(frozen=True)
class Topic:
    """A synthetic topic, whole: everything that it holds follows from these values.

    Attributes:
        seed: the root of all chance.
        now: nothing is sent that happened after this instant (UTC).
        origin: per project slug, the local day with offset 0 (usually today).
        events: about how many events the days from FIRST_DAY to the origin hold together.
        suffix: appended to the project ids, so that runs do not meet.
        batched: whether every event travels in a batch record, so that sending again counts nothing twice.
        calendar_days: whether days of the past with changed clocks are sent too.
    """

    seed: int
    now: datetime
    origin: dict[str, date]
    events: int = EVENTS
    suffix: str = ""
    batched: bool = False
    calendar_days: bool = False
    projects: tuple[Project, ...] = field(default=catalogue.PROJECTS)

    def project_id(self, project: Project) -> str:
        """The id that the project has in the product."""
        return f"{project.slug}-{self.suffix}" if self.suffix else project.slug

    def offset(self, project: Project, day: date) -> int:
        """How many days after the origin a day is."""
        return (day - self.origin[project.slug]).days

    def baseline_days(self, project: Project) -> list[date]:
        """The days that the baselines are captured from."""
        return [self.origin[project.slug] + timedelta(days=k) for k in range(FIRST_DAY, FIRST_SCORED)]

    def today(self, project: Project) -> date:
        """The project's local day at the topic's `now`."""
        return self.now.astimezone(ZoneInfo(project.zone)).date()

    def scored_days(self, project: Project) -> list[date]:
        """The days after the baseline, the open one last."""
        last = max(self.offset(project, self.today(project)), 0)
        return [self.origin[project.slug] + timedelta(days=k) for k in range(FIRST_SCORED, last + 1)]

    def clock_days(self, project: Project) -> list[date]:
        """Days on which the project's clocks changed, before all others."""
        before = [day for day in project.clock_days if self.offset(project, day) < FIRST_DAY]
        return before if self.calendar_days else []

    def plants(self, project: Project, endpoint: Endpoint, day: date) -> tuple[Plant, ...]:
        """What is planted in an endpoint's events on a day."""
        offset = self.offset(project, day)
        if offset < FIRST_SCORED:
            return ()
        turn = (offset - FIRST_SCORED) % CYCLE + FIRST_SCORED
        return tuple(plant for plant in endpoint.plants if plant.offset == turn)

    def endpoints(self) -> Iterator[tuple[Project, Endpoint]]:
        """Every project with each of its endpoints."""
        for project in self.projects:
            for endpoint in project.endpoints:
                yield project, endpoint

    def share_of(self, endpoint: Endpoint) -> float:
        """The endpoint's share of all events."""
        return endpoint.weight / sum(one.weight for _, one in self.endpoints())


def make_topic(
    seed: int = 1,
    *,
    now: datetime | None = None,
    anchor: date | None = None,
    origin: dict[str, date] | None = None,
    events: int = EVENTS,
    suffix: str = "",
    batched: bool = False,
    calendar_days: bool = False,
) -> Topic:
    """A topic whose origin is today in every project's zone, or the `anchor` day, or the `origin` given by slug.

    >>> topic = make_topic(1, now=datetime(2025, 11, 4, 18, tzinfo=timezone.utc))
    >>> [str(day) for day in topic.scored_days(topic.projects[0])]
    ['2025-11-02', '2025-11-03', '2025-11-04']
    """
    instant = now or datetime.now(timezone.utc)
    origins = {
        project.slug: anchor or instant.astimezone(ZoneInfo(project.zone)).date()
        for project in catalogue.PROJECTS
    }
    if anchor is not None:
        # The whole of the anchor's day, wherever it begins first and ends last, and nothing of the day after the last.
        over = datetime(anchor.year, anchor.month, anchor.day, tzinfo=timezone.utc) + timedelta(days=2)
        instant = min(instant, over)
    topic = Topic(seed, instant, origins, events, suffix, batched, calendar_days)
    return replace(topic, origin=topic.origin | origin) if origin else topic
