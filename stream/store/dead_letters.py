"""Where is each dead letter? An index of the dead letter topic, which holds the bytes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from stream.store.pool import Connection


class DeadLetterRow(NamedTuple):
    """A row of `dead_letter`."""

    topic: str
    partition: int
    offset: int
    event_index: int
    project_id: str | None
    reason: str
    detail: str
    appended_at: datetime
    dead_partition: int
    dead_offset: int


async def note_dead(connection: Connection, rows: Sequence[DeadLetterRow]) -> None:
    """Index these. One that a crashed checkpoint had already sent is in the topic twice, and here once."""
    if not rows:
        return
    await connection.execute(
        """insert into ml_guard.dead_letter
               (topic, "partition", "offset", event_index, project_id, reason, detail, appended_at,
                dead_partition, dead_offset)
           select * from unnest($1::text[], $2::integer[], $3::bigint[], $4::integer[], $5::text[], $6::text[],
                                $7::text[], $8::timestamptz[], $9::integer[], $10::bigint[])
           on conflict (topic, "partition", "offset", event_index) do update set
               project_id = excluded.project_id, reason = excluded.reason, detail = excluded.detail,
               appended_at = excluded.appended_at, dead_partition = excluded.dead_partition,
               dead_offset = excluded.dead_offset, replayed_at = null""",
        *zip(*rows, strict=True),
    )
