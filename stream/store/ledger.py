"""How many events of a project-day were decoded, and what became of those that were not merged?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from stream.store.pool import Connection

UNATTRIBUTED = ""
"""The project of events that name none that exists; their day is minus infinity."""


class LedgerRow(NamedTuple):
    """What is to be added to a row of `ledger_day`; a `day_start` of None is minus infinity."""

    project_id: str
    day_start: datetime | None
    day: date | None
    decoded: int
    dead: int
    duplicate: int


async def add_ledger(connection: Connection, shard: int, rows: Iterable[LedgerRow]) -> None:
    """Add these to the shard's rows."""
    sent = list(rows)
    if not sent:
        return
    await connection.execute(
        """insert into ml_guard.ledger_day as l (project_id, day_start, shard, day, decoded, dead, duplicate)
           select r.project_id, coalesce(r.day_start, '-infinity'), $1, r.day, r.decoded, r.dead, r.duplicate
             from unnest($2::text[], $3::timestamptz[], $4::date[], $5::bigint[], $6::bigint[], $7::bigint[])
               as r(project_id, day_start, day, decoded, dead, duplicate)
           on conflict (project_id, day_start, shard) do update set
               decoded = l.decoded + excluded.decoded, dead = l.dead + excluded.dead,
               duplicate = l.duplicate + excluded.duplicate""",
        shard,
        *zip(*sent, strict=True),
    )
