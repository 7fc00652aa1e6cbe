"""Which projects are there, and in which zone is each of them when?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stream.days import EARLIEST_US, Calendar, from_us, load_zone, next_day_start, to_us
from stream.store.pool import Connection

ZONE_CHANGE_NOTICE = timedelta(seconds=60)
"""How far ahead a change of zone lies at least: workers look at the catalog twice a second, so all know it by then."""


class ProjectExistsError(Exception):
    """A project of that name is there already."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone and the instant from which it holds; None: always."""

    zone: str
    effective_from: datetime | None


@dataclass(frozen=True, slots=True)
class Project:
    """A project with the history of its zones, in order; the last one may lie ahead."""

    project_id: str
    name: str
    dedupe_by_event_id: bool
    created_at: datetime
    zones: tuple[Zone, ...]
    label_key_id: str | None = None

    def zone_at(self, instant: datetime) -> str:
        """The zone in force at the instant."""
        return self.calendar().zone_at(to_us(instant))

    def calendar(self) -> Calendar:
        """The days of the project."""
        return Calendar(
            [(to_us(z.effective_from) if z.effective_from else EARLIEST_US, z.zone) for z in self.zones]
        )


async def create(
    connection: Connection,
    project_id: str,
    zone: str,
    *,
    name: str,
    dedupe_by_event_id: bool,
    label_key_id: str | None = None,
) -> Project:
    """Add a project that is in `zone` from the beginning of time. Raises `ProjectExistsError`, `UnknownZoneError`."""
    load_zone(zone)
    async with connection.transaction():
        added = await connection.fetchval(
            """insert into ml_guard.project (project_id, name, dedupe_by_event_id, label_key_id)
            values ($1, $2, $3, $4) on conflict do nothing returning created_at""",
            project_id,
            name,
            dedupe_by_event_id,
            label_key_id,
        )
        if added is None:
            raise ProjectExistsError(project_id)
        await connection.execute(
            "insert into ml_guard.project_zone (project_id, effective_from, zone) values ($1, '-infinity', $2)",
            project_id,
            zone,
        )
    return Project(project_id, name, dedupe_by_event_id, added, (Zone(zone, None),), label_key_id)


async def read(
    connection: Connection,
    *,
    project_ids: Sequence[str] | None = None,
    after: str | None = None,
    limit: int = 1000,
) -> list[Project]:
    """Projects by name: those of `project_ids` (None: all) that come after `after`."""
    rows = await connection.fetch(
        """select project_id, name, dedupe_by_event_id, created_at, label_key_id,
            array(select z.zone from ml_guard.project_zone z where z.project_id = p.project_id
                order by z.effective_from) as zones,
            array(select z.effective_from from ml_guard.project_zone z where z.project_id = p.project_id
                order by z.effective_from) as since
        from ml_guard.project p
        where ($1::text[] is null or project_id = any($1)) and ($2::text is null or project_id > $2)
        order by project_id limit $3""",
        None if project_ids is None else list(project_ids),
        after,
        limit,
    )
    return [
        Project(
            row["project_id"],
            row["name"],
            row["dedupe_by_event_id"],
            row["created_at"],
            tuple(
                Zone(zone, None if position == 0 else since)
                for position, (zone, since) in enumerate(zip(row["zones"], row["since"], strict=True))
            ),
            row["label_key_id"],
        )
        for row in rows
    ]


async def known(connection: Connection, project_ids: Sequence[str]) -> set[str]:
    """Those of the names that are projects."""
    rows = await connection.fetch(
        "select project_id from ml_guard.project where project_id = any($1::text[])", list(project_ids)
    )
    return {row["project_id"] for row in rows}


async def held(connection: Connection, project_ids: Iterable[str]) -> set[str]:
    """Those of the names that are projects, held until the transaction ends: none of them is deleted before."""
    rows = await connection.fetch(
        "select project_id from ml_guard.project where project_id = any($1::text[]) order by 1 for key share",
        sorted(set(project_ids)),
    )
    return {row["project_id"] for row in rows}


async def change(
    connection: Connection,
    project_id: str,
    *,
    name: str | None = None,
    dedupe_by_event_id: bool | None = None,
    zone: str | None = None,
    now: datetime | None = None,
) -> Project | None:
    """Change what is given; None if there is no such project. Raises `UnknownZoneError`.

    A new zone holds from its next midnight that is a minute ahead and after every event so far, since days that
    already have events must stay as they are. A change that has not taken effect yet is replaced.
    """
    async with connection.transaction():
        found = await connection.fetchrow(
            """update ml_guard.project set name = coalesce($2, name),
                dedupe_by_event_id = coalesce($3, dedupe_by_event_id)
            where project_id = $1 returning project_id""",
            project_id,
            name,
            dedupe_by_event_id,
        )
        if found is None:
            return None
        if zone is not None:
            await _change_zone(connection, project_id, zone, now or datetime.now(UTC))
        (project,) = await read(connection, project_ids=[project_id])
        if zone is not None:
            await _cut_open_days(connection, project)
    return project


async def _change_zone(connection: Connection, project_id: str, zone: str, now: datetime) -> None:
    load_zone(zone)
    await connection.execute(
        """delete from ml_guard.project_zone
        where project_id = $1 and effective_from > $2 and effective_from > '-infinity'""",
        project_id,
        now,
    )
    current = await connection.fetchval(
        "select zone from ml_guard.project_zone where project_id = $1 order by effective_from desc limit 1",
        project_id,
    )
    if current == zone:
        return
    last_event = await connection.fetchval(
        """select max(last_event_at) from ml_guard.day_sketch
        where project_id = $1 and feature = '@events' and day_start > $2""",
        project_id,
        now - timedelta(days=3),
    )
    after = max(now + ZONE_CHANGE_NOTICE, last_event or now)
    await connection.execute(
        "insert into ml_guard.project_zone (project_id, effective_from, zone) values ($1, $2, $3)",
        project_id,
        from_us(next_day_start(to_us(after), zone)),
        zone,
    )


async def _cut_open_days(connection: Connection, project: Project) -> None:
    """An open day ends where the calendar now says; its closing waits for that end, not for the old one."""
    calendar = project.calendar()
    rows = await connection.fetch(
        """select day_start, day_end from ml_guard.day_close
        where project_id = $1 and status = 'open' and revision = 0""",
        project.project_id,
    )
    for row in rows:
        end = calendar.day_of(to_us(row["day_start"])).end
        if end != row["day_end"]:
            await connection.execute(
                "update ml_guard.day_close set day_end = $3 where project_id = $1 and day_start = $2",
                project.project_id,
                row["day_start"],
                end,
            )
