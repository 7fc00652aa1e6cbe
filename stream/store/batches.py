"""Has this batch of a client been taken before?"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from stream.store.pool import Connection

KEPT = timedelta(days=7)
"""How long a retry is recognised, in broker append time."""


class BatchKey(NamedTuple):
    """What a client's retry repeats."""

    project_id: str
    batch_id: str
    part: int


class SeenBatch(NamedTuple):
    """A row of `seen_batch`."""

    project_id: str
    batch_id: str
    part: int
    appended_at: datetime
    topic: str
    partition: int
    offset: int

    @property
    def key(self) -> BatchKey:
        """What it is found by."""
        return BatchKey(*self[:3])


class DuplicateBatchError(Exception):
    """Another partition's checkpoint took the same batch first. Nothing was written."""


async def find_seen(connection: Connection, keys: Collection[BatchKey]) -> dict[BatchKey, datetime]:
    """Those of the keys that were taken before, and when the broker appended them."""
    if not keys:
        return {}
    rows = await connection.fetch(
        """select s.project_id, s.batch_id, s.part, s.appended_at
             from unnest($1::text[], $2::text[], $3::integer[]) as k(project_id, batch_id, part)
             join ml_guard.seen_batch s using (project_id, batch_id, part)""",
        *zip(*keys, strict=True),
    )
    return {BatchKey(*row[:3]): row[3] for row in rows}


async def note_seen(connection: Connection, batches: Iterable[SeenBatch]) -> None:
    """Remember these. Raises `DuplicateBatchError` if another transaction has been faster with one of them."""
    rows = sorted(batches)
    if not rows:
        return
    noted = await connection.fetch(
        """insert into ml_guard.seen_batch as s
               (project_id, batch_id, part, appended_at, topic, "partition", "offset")
           select * from unnest($1::text[], $2::text[], $3::integer[], $4::timestamptz[], $5::text[],
                                $6::integer[], $7::bigint[])
           on conflict (project_id, batch_id, part) do update set
               appended_at = excluded.appended_at, topic = excluded.topic,
               "partition" = excluded."partition", "offset" = excluded."offset"
           where s.appended_at < excluded.appended_at - $8::interval
           returning 1""",
        *zip(*rows, strict=True),
        KEPT,
    )
    if len(noted) < len(rows):
        raise DuplicateBatchError(
            f"{len(rows) - len(noted)} of {len(rows)} batches were taken by another partition"
        )
