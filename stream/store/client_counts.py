"""What do clients say became of their events? Merged so that a report repeated, late or out of order changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

from stream.store.pool import Connection
from stream.store.reading import Row, Where, order_by

ORDER = ("day", "project_id", "outcome", "reason")


class ClientCount(NamedTuple):
    """Events of a client's day with one outcome, since the client was made."""

    project_id: str
    day: date
    outcome: str
    reason: str
    events: int


async def merge(connection: Connection, client_id: str, counts: Iterable[ClientCount]) -> None:
    """Keep the largest of what is known and what is said."""
    rows = list({count[:4]: count for count in sorted(counts)}.values())
    if not rows:
        return
    await connection.execute(
        """insert into ml_guard.client_count as c (project_id, day, client_id, outcome, reason, events)
           select r.project_id, r.day, $1, r.outcome, r.reason, r.events
             from unnest($2::text[], $3::date[], $4::text[], $5::text[], $6::bigint[])
               as r(project_id, day, outcome, reason, events)
           on conflict (project_id, day, client_id, outcome, reason) do update set
               events = greatest(c.events, excluded.events), reported_at = excluded.reported_at""",
        client_id,
        *zip(*rows, strict=True),
    )


async def fold_old(connection: Connection, before: date) -> None:
    """Add up the days of which no client reports any more, so that rows do not grow with the number of processes."""
    await connection.execute(
        """with old as (
               delete from ml_guard.client_count where day < $1 and client_id <> '' returning *)
           insert into ml_guard.client_count as c
               (project_id, day, client_id, outcome, reason, events, reported_at)
           select project_id, day, '', outcome, reason, least(sum(events), 9223372036854775807), max(reported_at)
             from old group by project_id, day, outcome, reason
           on conflict (project_id, day, client_id, outcome, reason) do update set
               events = least(c.events::numeric + excluded.events, 9223372036854775807),
               reported_at = excluded.reported_at""",
        before,
    )


async def days(
    connection: Connection,
    *,
    project_ids: Sequence[str] | None = None,
    first: date | None = None,
    last: date | None = None,
    outcome: str | None = None,
    after: Sequence[Any] | None = None,
    limit: int,
) -> list[Row]:
    """What all clients together say, newest day first."""
    where = Where()
    where.add("project_id = any(?::text[])", None if project_ids is None else list(project_ids))
    where.add("day >= ?", first)
    where.add("day <= ?", last)
    where.add("outcome = ?", outcome)
    where.after(ORDER, after, "desc")
    size = where.value(limit)
    rows = await connection.fetch(
        f"""select project_id, day, outcome, reason, events, reported_at
        from ml_guard.client_days where {where.sql}
        order by {order_by(ORDER, "desc")} limit {size}""",  # noqa: S608
        *where.values,
    )
    return [dict(row) for row in rows]


async def lost_since(connection: Connection, first: date) -> dict[str, int]:
    """Events that clients lost from that day on, by reason, the most frequent first."""
    rows = await connection.fetch(
        """select reason, least(sum(events), 9223372036854775807)::bigint as events from ml_guard.client_days
           where outcome = 'dropped' and day >= $1 and events > 0 group by reason order by 2 desc, 1""",
        first,
    )
    return {row["reason"]: row["events"] for row in rows}
