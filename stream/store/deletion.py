"""How does a project leave the database whole, and nothing that workers hold in memory bring it back?

Its rows are found by the catalog: every table of the schema with a column `project_id`, whoever adds it and when.
Two things are taken away in the same transaction. The partitions' fences and the leases change their epoch, so that
nothing which was read or folded before can be written after; and a checkpoint locks the projects that it writes for
(`require_projects`), so that events read later by a worker that has not heard of the deletion are not written either.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from stream.store.pool import Connection

_TABLES = """
select c.relname from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid
where n.nspname = 'ml_guard' and c.relkind in ('r', 'p') and a.attname = 'project_id' and not a.attisdropped
order by c.relname = 'project', c.relname
"""


class ProjectChangedError(Exception):
    """What was folded for a project cannot be written any more, and is read again."""


class ProjectGoneError(ProjectChangedError):
    """A project that a checkpoint writes for has been deleted: its events are read again, and are then nobody's."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was removed, and what stays in Kafka: each topic with the time until which it may hold events; None: for good."""

    receipt_id: str
    project_id: str
    deleted_at: datetime
    rows: Mapping[str, int]
    topics: Mapping[str, datetime | None]
    traffic: tuple[datetime, datetime] | None
    """From when until when it had traffic: the aggregates are to be refreshed there."""


async def tables(connection: Connection) -> list[str]:
    """The tables with rows of projects, `project` itself last."""
    return [row["relname"] for row in await connection.fetch(_TABLES)]


async def delete_project(
    connection: Connection, project_id: str, *, deleted_by: str, topics: Mapping[str, datetime | None]
) -> Receipt | None:
    """Remove every row of a project, and its keys, in one transaction; None if there is no such project."""
    async with connection.transaction():
        # Days of it may lie in compressed chunks; TimescaleDB's own limit would refuse to touch so many.
        await connection.execute("set local timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
        exists = "select 1 from ml_guard.project where project_id = $1"
        if not await connection.fetchval(exists, project_id):
            return None
        await fence_off(connection)
        if not await connection.fetchval(f"{exists} for update", project_id):
            return None
        traffic = await connection.fetchrow(
            "select min(minute) as first, max(minute) as last from ml_guard.traffic_minute where project_id = $1",
            project_id,
        )
        removed = await _remove(connection, project_id)
        made = await connection.fetchrow(
            """insert into ml_guard.deletion_receipt (receipt_id, project, deleted_by, rows, topics)
            values ($1, $2, $3, $4, $5) returning receipt_id, deleted_at""",
            "del_" + secrets.token_hex(8),
            project_id,
            deleted_by,
            json.dumps(removed),
            json.dumps({name: until and until.isoformat() for name, until in topics.items()}),
        )
    assert made is not None
    assert traffic is not None
    return Receipt(
        made["receipt_id"],
        project_id,
        made["deleted_at"],
        removed,
        topics,
        None if traffic["first"] is None else (traffic["first"], traffic["last"]),
    )


async def fence_off(connection: Connection) -> None:
    """Take every partition and lease from its holder: what they hold in memory is not written, they claim anew.

    Fences first, in their order, as checkpoints and claims lock them: nobody waits in a circle.
    """
    await connection.execute('select from ml_guard.stream_fence order by topic, "partition" for update')
    await connection.execute("update ml_guard.stream_fence set epoch = epoch + 1")
    await connection.execute(
        "update ml_guard.lease set epoch = epoch + 1, holder = null, expires_at = '-infinity'"
    )


async def _remove(connection: Connection, project_id: str) -> dict[str, int]:
    removed = {}
    for table in await tables(connection):
        removed[table] = count_of(
            await connection.execute(f'delete from ml_guard."{table}" where project_id = $1', project_id)  # noqa: S608
        )
    removed["api_key"] = count_of(
        await connection.execute("delete from ml_guard.api_key where project_ids = array[$1]", project_id)
    )
    await connection.execute(
        "update ml_guard.api_key set project_ids = array_remove(project_ids, $1) where $1 = any(project_ids)",
        project_id,
    )
    return removed


def count_of(tag: str) -> int:
    """How many rows a statement touched, by its command tag.

    >>> count_of("DELETE 3")
    3
    """
    return int(tag.rpartition(" ")[2])


async def require_projects(
    connection: Connection, project_ids: Iterable[str], label_keys: Collection[tuple[str, str | None]] = ()
) -> None:
    """Hold these projects until the transaction ends.

    Parameters
    ----------
    label_keys : collection of (project, key_id)
        How their labels were folded.

    Raises
    ------
    ProjectGoneError
        If a project is not there.
    ProjectChangedError
        If a project's labels are to be hashed otherwise by now.
    """
    wanted = set(project_ids)
    rows = await connection.fetch(
        """select project_id, label_key_id from ml_guard.project where project_id = any($1::text[])
           for key share""",
        sorted(wanted),
    )
    keys = {row["project_id"]: row["label_key_id"] for row in rows}
    gone = wanted - keys.keys()
    if gone:
        raise ProjectGoneError(
            f"deleted meanwhile: {', '.join(sorted(gone))}; what was read of it is read again"
        )
    changed = {project for project, key in label_keys if keys.get(project) != key}
    if changed:
        raise ProjectChangedError(
            f"labels are to be hashed by now: {', '.join(sorted(changed))}; what was read of it is read again"
        )
