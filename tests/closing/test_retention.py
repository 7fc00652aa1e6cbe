"""Is what is old forgotten, and nothing that a ledger still compares?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from stream.closing.housekeeping import forget_what_is_old
from stream.store.pool import Connection, connect

NOW = datetime(2025, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LONG_AGO, LATELY = NOW - 40 * DAY, NOW - 20 * DAY
RETENTION = 30
TABLES = ("dead_letter", "ledger_day", "day_close", "day_change", "day_sketch", "alert_delivery")


@pytest.fixture
async def connection(module_database_url: str) -> AsyncIterator[Connection]:
    pool = await connect(module_database_url, size=1)
    async with pool.acquire() as made:
        for table in TABLES:
            await made.execute(f"delete from ml_guard.{table}")
        yield made
    pool.terminate()


async def day(
    connection: Connection, project: str, start: datetime, *, state: bool = False, **close: object
) -> None:
    """A day as it is when it has closed."""
    values = {"status": "closed", "revision": 1, **close}
    await connection.execute(
        f"""insert into ml_guard.day_close (project_id, day_start, day, day_end, zone, {", ".join(values)})
            values ($1, $2, $3, $4, 'UTC', {", ".join(f"${n}" for n in range(5, 5 + len(values)))})""",
        project,
        start,
        start.date(),
        start + DAY,
        *values.values(),
    )
    await connection.execute(
        """insert into ml_guard.ledger_day (project_id, day_start, shard, day, decoded, dead)
           values ($1, $2, 0, $3, 7, 0), ($1, $2, 1, $3, 2, 2)""",
        project,
        start,
        start.date(),
    )
    if state:
        await connection.execute(
            """insert into ml_guard.day_sketch (project_id, model_id, endpoint, feature, kind, day_start, shard, day,
                   day_end, zone, n) values ($1, 'm', 'e', '@events', 'events', $2, 0, $3, $4, 'UTC', 7)""",
            project,
            start,
            start.date(),
            start + DAY,
        )


async def left(connection: Connection, table: str) -> set[str]:
    return {row[0] for row in await connection.fetch(f"select distinct project_id from ml_guard.{table}")}


async def test_days_leave_when_their_state_has_and_the_ledger_balances_all_the_while(
    connection: Connection,
) -> None:
    await day(connection, "gone", LONG_AGO)
    await day(connection, "chunk_still_there", LONG_AGO, state=True)
    await day(connection, "young", LATELY, state=True)
    await day(connection, "reopened", LONG_AGO, reopened_at=NOW)
    await day(connection, "closing", LONG_AGO, status="closing")
    await day(connection, "changed", LONG_AGO)
    await connection.execute(
        """insert into ml_guard.day_change (project_id, model_id, endpoint, day_start, shard, next_offset, changed_at)
           values ('changed', 'm', 'e', $1, 0, 1, $2)""",
        LONG_AGO,
        NOW,
    )
    await connection.execute(
        "insert into ml_guard.ledger_day (project_id, day_start, shard, decoded, dead) values ('', '-infinity', 0, 3, 3)"
    )
    await forget_what_is_old(connection, NOW, retention_days=RETENTION, log_days=90)
    assert await left(connection, "day_close") == {
        "chunk_still_there",
        "young",
        "reopened",
        "closing",
        "changed",
    }
    assert await left(connection, "ledger_day") == {"chunk_still_there", "young", ""}
    assert await connection.fetch("select * from ml_guard.ledger_days where not balanced") == []

    await connection.execute("delete from ml_guard.day_sketch where project_id = 'chunk_still_there'")
    await forget_what_is_old(connection, NOW, retention_days=RETENTION, log_days=90)
    assert "chunk_still_there" not in await left(connection, "day_close") | await left(
        connection, "ledger_day"
    )
    assert await connection.fetch("select * from ml_guard.ledger_days where not balanced") == []


async def test_without_a_retention_no_day_and_no_dead_letter_is_forgotten(connection: Connection) -> None:
    await day(connection, "gone", LONG_AGO)
    await dead_letters(connection, LONG_AGO, 3)
    await forget_what_is_old(connection, NOW, retention_days=None, log_days=1)
    assert await left(connection, "day_close") == {"gone"}
    assert await left(connection, "ledger_day") == {"gone"}
    assert await connection.fetchval("select count(*) from ml_guard.dead_letter") == 3


async def dead_letters(connection: Connection, at: datetime, count: int) -> None:
    await connection.execute(
        """insert into ml_guard.dead_letter (topic, "partition", "offset", event_index, reason, detail, appended_at,
               dead_partition, dead_offset)
           select 't', 0, extract(epoch from $1::timestamptz)::bigint + n, 0, 'invalid_json', '', $1, 0, n
             from generate_series(1, $2::integer) n""",
        at,
        count,
    )


async def test_dead_letters_leave_with_the_horizon_however_many(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.closing.housekeeping._ROWS_A_STATEMENT", 10)
    await dead_letters(connection, LONG_AGO, 35)
    await dead_letters(connection, LATELY, 2)
    await forget_what_is_old(connection, NOW, retention_days=RETENTION, log_days=90)
    assert await connection.fetchval("select count(*) from ml_guard.dead_letter") == 2


async def test_messages_leave_the_log_once_they_are_sent_or_given_up(connection: Connection) -> None:
    for name, status, at in (
        ("sent", "sent", LONG_AGO), ("failed", "failed", LONG_AGO), ("waits", "pending", LONG_AGO), ("new", "sent", LATELY),
    ):  # fmt: skip
        await connection.execute(
            """insert into ml_guard.alert_delivery (message_id, channel, project_id, model_id, endpoint, alert_ids, subject,
                   message, status, created_at, next_attempt_at) values ($1, 'c', $1, '', '', '{}', '', '{}', $2, $3, $3)""",
            name, status, at,
        )  # fmt: skip
    await forget_what_is_old(connection, NOW, retention_days=None, log_days=30)
    assert await left(connection, "alert_delivery") == {"waits", "new"}
