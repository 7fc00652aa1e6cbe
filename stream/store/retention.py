"""What is older than anybody asks for, and needed by no ledger?

State leaves in whole chunks (`ml_guard.set_policies`), so a day's state may outlive the horizon for a while. What a
ledger compares with that state stays exactly as long: to forget one side before the other would be a difference.
"""

from __future__ import annotations

from datetime import datetime

from stream.store.pool import Connection

_NO_STATE = """not exists (
    select from ml_guard.day_sketch s where s.project_id = o.project_id and s.day_start = o.day_start)"""


async def forget_dead_letters(connection: Connection, before: datetime, limit: int) -> int:
    """Forget dead letters of records that were appended before then; the ledgers count them elsewhere."""
    return await _count(
        connection,
        """delete from ml_guard.dead_letter where (topic, "partition", "offset", event_index) in (
               select topic, "partition", "offset", event_index from ml_guard.dead_letter
                where appended_at < $1 order by appended_at limit $2)""",
        before,
        limit,
    )


async def forget_ledger_days(connection: Connection, before: datetime, limit: int) -> int:
    """Forget the ledger of days that began before then and whose state is gone.

    The events of no project (`day_start` -infinity) are of no day and stay.
    """
    return await _count(
        connection,
        f"""delete from ml_guard.ledger_day where (project_id, day_start, shard) in (
                select project_id, day_start, shard from ml_guard.ledger_day o
                 where day_start < $1 and day_start > '-infinity' and {_NO_STATE} limit $2)""",  # noqa: S608
        before,
        limit,
    )


async def forget_closed_days(connection: Connection, before: datetime, limit: int) -> int:
    """Forget how days closed that began before then, whose state is gone and of which nothing is waiting."""
    return await _count(
        connection,
        f"""delete from ml_guard.day_close where (project_id, day_start) in (
                select project_id, day_start from ml_guard.day_close o
                 where day_start < $1 and status = 'closed' and reopened_at is null and {_NO_STATE}
                   and not exists (select from ml_guard.day_change c
                       where c.project_id = o.project_id and c.day_start = o.day_start)
                 limit $2)""",  # noqa: S608
        before,
        limit,
    )


async def forget_messages(connection: Connection, before: datetime, limit: int) -> int:
    """Forget messages about alerts that were written before then and are sent or given up."""
    return await _count(
        connection,
        """delete from ml_guard.alert_delivery where number in (
               select number from ml_guard.alert_delivery
                where created_at < $1 and status <> 'pending' order by number limit $2)""",
        before,
        limit,
    )


async def _count(connection: Connection, statement: str, before: datetime, limit: int) -> int:
    status: str = await connection.execute(statement, before, limit)
    return int(status.rsplit(" ", 1)[1])
