"""What was written since a reader last looked: results of days, and alerts, in one order?

Numbers come from one sequence, and whoever writes holds the closer's lease row, so they become visible in their order:
once a number can be read, all before it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from stream.store.alerts import SHOWN_COLUMNS, shown
from stream.store.pool import Connection
from stream.store.reading import METRIC_COLUMNS, Row

Change = tuple[Literal["metric", "alert"], Row]


async def last_change(connection: Connection) -> int:
    """The newest change; 0 if there is none."""
    newest: int = await connection.fetchval(
        """select greatest((select max(change_id) from ml_guard.metric_day),
                           (select max(change_id) from ml_guard.alert), 0)"""
    )
    return newest


async def changes(connection: Connection, after: int, until: int, limit: int) -> list[Change]:
    """What was written after the change `after`, up to `until`, in order; at most `limit` of it.

    `until` is a `last_change`: what is written while this reads has a higher number and is left to the next look.
    """
    asked = (after, until, limit)
    metrics = await _changed(connection, "metric_day", METRIC_COLUMNS, *asked)
    alerts = await _changed(connection, "alert", SHOWN_COLUMNS, *asked)
    found: list[Change] = [("metric", dict(row)) for row in metrics] + [
        ("alert", shown(row)) for row in alerts
    ]
    return sorted(found, key=lambda change: change[1]["change_id"])[:limit]


async def _changed(
    connection: Connection, table: str, columns: Sequence[str], after: int, until: int, limit: int
) -> list[Any]:
    rows: list[Any] = await connection.fetch(
        f"""select {", ".join(columns)} from ml_guard.{table}
            where change_id > $1 and change_id <= $2 order by change_id limit $3""",  # noqa: S608
        after,
        until,
        limit,
    )
    return rows
