"""Do the ledgers balance, where does every partition stand, and what has died? Read from the sources that may disagree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from stream.store.pool import Connection
from stream.store.reading import REACH, Row, Where, order_by

PARTITION_COLUMNS = (
    "topic", "partition", "epoch", "first_offset", "next_offset", "owner", "heartbeat_at", "catalog_generation",
    "stopped_reason", "records_decoded", "records_dead", "records_duplicate", "records_lost", "records_empty",
)  # fmt: skip
LEDGER_ORDER = ("day_start", "project_id")
DEAD_ORDER = ("appended_at", "topic", '"partition"', '"offset"', "event_index")
DEAD_KEY = ("appended_at", "topic", "partition", "offset", "event_index")
_DEAD_COLUMNS = (
    'topic, "partition", "offset", event_index, project_id, reason, detail, appended_at, replayed_at, '
    "dead_partition, dead_offset"
)


async def partitions(connection: Connection, topic: str) -> list[Row]:
    """The fences of a topic, by partition, each with `difference`: records passed but not accounted for."""
    columns = ", ".join(f'"{column}"' for column in PARTITION_COLUMNS)
    rows = await connection.fetch(
        f"""select {columns},
            extract(epoch from now() - heartbeat_at)::float8 as heartbeat_age_s,
            next_offset - first_offset - records_decoded - records_dead - records_duplicate - records_lost
                - records_empty as difference
        from ml_guard.stream_fence where topic = $1 order by "partition" """,  # noqa: S608
        topic,
    )
    return [dict(row) for row in rows]


async def catalog_generation(connection: Connection) -> int:
    """What workers must have seen."""
    generation: int = await connection.fetchval("select generation from ml_guard.catalog")
    return generation


async def ledger(
    connection: Connection,
    *,
    project_ids: Sequence[str] | None = None,
    first: date | None = None,
    last: date | None = None,
    after: Sequence[Any] | None = None,
    limit: int,
) -> list[Row]:
    """Project-days, newest first: what the decoder counted beside what the sketches hold (`merged`)."""
    where = _project_days(project_ids, first, last)
    where.after(LEDGER_ORDER, after, "desc")
    size = where.value(limit)
    rows = await connection.fetch(
        f"""select project_id, day, day_start, decoded, merged, dead, duplicate, deleted, difference
        from ml_guard.ledger_days where {where.sql}
        order by {order_by(LEDGER_ORDER, "desc")} limit {size}""",  # noqa: S608
        *where.values,
    )
    return [dict(row) for row in rows]


async def day_difference(
    connection: Connection,
    project_ids: Sequence[str] | None = None,
    first: date | None = None,
    last: date | None = None,
) -> int:
    """The sum of these project-days' absolute differences."""
    where = _project_days(project_ids, first, last)
    total: int = await connection.fetchval(
        f"select coalesce(sum(abs(difference)), 0)::bigint from ml_guard.ledger_days where {where.sql}",  # noqa: S608
        *where.values,
    )
    return total


def _project_days(project_ids: Sequence[str] | None, first: date | None, last: date | None) -> Where:
    where = Where()
    where.add("project_id = any(?::text[])", None if project_ids is None else list(project_ids))
    where.add("day_start >= ?::date", None if first is None else first - REACH)
    where.add("day_start < ?::date", None if last is None else last + REACH)
    where.add("day >= ?", first)
    where.add("day <= ?", last)
    return where


async def dead_letters(
    connection: Connection,
    *,
    topic: str,
    project_ids: Sequence[str] | None = None,
    reason: str | None = None,
    replayed: bool | None = None,
    after: Sequence[Any] | None = None,
    limit: int,
) -> list[Row]:
    """Dead letters, newest first. With `project_ids` none of those that no project could be told for."""
    where = Where()
    where.add("topic = ?", topic)
    where.add("project_id = any(?::text[])", None if project_ids is None else list(project_ids))
    where.add("reason = ?", reason)
    where.add("(replayed_at is not null) = ?", replayed)
    where.after(DEAD_ORDER, after, "desc")
    size = where.value(limit)
    rows = await connection.fetch(
        f"""select {_DEAD_COLUMNS} from ml_guard.dead_letter where {where.sql}
        order by {order_by(DEAD_ORDER, "desc")} limit {size}""",  # noqa: S608
        *where.values,
    )
    return [dict(row) for row in rows]


async def dead_letters_at(
    connection: Connection,
    topic: str,
    places: Sequence[tuple[int, int, int]],
    *,
    project_ids: Sequence[str] | None,
) -> list[Row]:
    """The dead letters at these (partition, offset, index), so far as they are there and of these projects (None: any)."""
    rows = await connection.fetch(
        f"""select {_DEAD_COLUMNS} from ml_guard.dead_letter
        where topic = $1 and ("partition", "offset", event_index)
                in (select * from unnest($2::int[], $3::bigint[], $4::int[]))
            and ($5::text[] is null or project_id = any($5))""",  # noqa: S608
        topic,
        *([place[i] for place in places] for i in range(3)),
        None if project_ids is None else list(project_ids),
    )
    return [dict(row) for row in rows]


async def count_unreplayed(
    connection: Connection, topic: str, *, project_ids: Sequence[str] | None, reason: str
) -> int:
    """How many of a reason have not been sent again."""
    count: int = await connection.fetchval(
        """select count(*) from ml_guard.dead_letter
        where topic = $1 and reason = $2 and replayed_at is null
            and ($3::text[] is null or project_id = any($3))""",
        topic,
        reason,
        None if project_ids is None else list(project_ids),
    )
    return count


async def mark_replayed(connection: Connection, letters: Sequence[Row]) -> None:
    """Note that these were sent again."""
    await connection.execute(
        """update ml_guard.dead_letter d set replayed_at = now()
        from unnest($1::text[], $2::int[], $3::bigint[], $4::int[]) as r(topic, "partition", "offset", event_index)
        where (d.topic, d."partition", d."offset", d.event_index)
            = (r.topic, r."partition", r."offset", r.event_index)""",
        [letter["topic"] for letter in letters],
        [letter["partition"] for letter in letters],
        [letter["offset"] for letter in letters],
        [letter["event_index"] for letter in letters],
    )
