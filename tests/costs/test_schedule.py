"""Does the schedule ask AWS for the right days, once a day, and for nothing where there is no filter or no right?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from stream.closing.service import ClosingService
from stream.costs.explorer import Explorer
from stream.costs.pull import CostSchedule
from stream.costs.question import CostFilter
from stream.settings import Settings
from stream.store import costs as store
from stream.store.lease import CLOSER, Lease, LeaseLostError, take
from stream.store.pool import Connection, connect
from tests.costs.conftest import Aws, days_from, total

PROJECT = "shop"
NOW = datetime(2025, 3, 5, 9, 30, tzinfo=UTC)
YESTERDAY = date(2025, 3, 4)
OLDEST = date(2025, 1, 19)  # 45 days, yesterday included


@dataclass
class Schedule:
    """The schedule of a worker that leads, with a clock of the test's."""

    connection: Connection
    lease: Lease
    now: datetime = NOW
    made: CostSchedule = field(init=False)

    def __post_init__(self) -> None:
        self.made = CostSchedule(lambda: self.now, Explorer())

    async def sets_filter(self, project: str = PROJECT, at: datetime = NOW) -> None:
        await self.connection.execute(
            "insert into ml_guard.project (project_id) values ($1) on conflict do nothing", project
        )
        await store.put_filter(self.connection, project, CostFilter(services=["AWS Lambda"]), "test")
        await self.connection.execute(
            "update ml_guard.cost_filter set updated_at = $2, next_pull_at = $2 where project_id = $1",
            project,
            at,
        )

    async def works(self, now: datetime | None = None) -> None:
        """Until nothing is due."""
        self.now = now or self.now
        while await self.made.step(self.connection, self.lease):
            pass

    async def days(self) -> dict[date, str]:
        rows = await self.connection.fetch("select day, amount::text from ml_guard.cost_day")
        return {row["day"]: row["amount"] for row in rows}

    async def filter(self, project: str = PROJECT) -> dict[str, Any]:
        found = await store.read_filter(self.connection, project)
        assert found is not None
        return found


@pytest.fixture
async def schedule(module_database_url: str) -> AsyncIterator[Schedule]:
    pool = await connect(module_database_url)
    async with pool.acquire() as connection:
        for table in ("cost_day", "cost_filter", "project"):
            await connection.execute(f"delete from ml_guard.{table}")
        await connection.execute("update ml_guard.lease set holder = null, expires_at = '-infinity'")
        lease = await take(connection, CLOSER, "test", timedelta(hours=1))
        assert lease is not None
        yield Schedule(connection, lease)
    pool.terminate()


async def test_without_a_filter_aws_is_never_asked(schedule: Schedule, aws: Aws) -> None:
    await schedule.works()
    assert aws.asked == []


async def test_a_new_filter_has_the_days_before_it_pulled_with_one_request(
    schedule: Schedule, aws: Aws
) -> None:
    await schedule.sets_filter()
    days = days_from(OLDEST, 45)
    assert days[-1] == YESTERDAY
    aws.answers([total(day, f"0.{day.day}") for day in days])
    await schedule.works()
    assert aws.periods == [("2025-01-19", "2025-03-05")]
    assert await schedule.days() == {day: f"0.{day.day}" for day in days}
    stands = await schedule.filter()
    assert (stands["pulled_at"], stands["failures"], stands["last_error"]) == (NOW, 0, None)
    assert stands["next_pull_at"] == datetime(2025, 3, 6, 6, tzinfo=UTC)


async def test_day_by_day_one_request_restates_the_last_three_days(schedule: Schedule, aws: Aws) -> None:
    await schedule.sets_filter()
    aws.answers(
        [total(day, "1") for day in days_from(OLDEST, 45)],
        [total(day, "2") for day in days_from(date(2025, 3, 3), 3)],
    )
    await schedule.works()
    await schedule.works(datetime(2025, 3, 6, 5, 59, tzinfo=UTC))
    assert len(aws.asked) == 1
    await schedule.works(datetime(2025, 3, 6, 6, 0, tzinfo=UTC))
    assert aws.periods[1:] == [("2025-03-03", "2025-03-06")]
    days = await schedule.days()
    assert [days[day] for day in days_from(date(2025, 3, 1), 5)] == ["1", "1", "2", "2", "2"]


async def test_days_that_were_missed_or_are_estimated_are_caught_up_with(
    schedule: Schedule, aws: Aws
) -> None:
    await schedule.sets_filter()
    estimated = date(2025, 2, 27)
    aws.answers([total(day, "1", estimated=day == estimated) for day in days_from(OLDEST, 45)])
    await schedule.works()
    await schedule.works(datetime(2025, 3, 12, 12, 0, tzinfo=UTC))  # the workers were away for a week
    assert aws.periods[1:] == [("2025-02-27", "2025-03-12")]


async def test_a_filter_that_is_set_anew_has_its_days_pulled_anew(schedule: Schedule, aws: Aws) -> None:
    await schedule.sets_filter()
    aws.answers([total(day, "1") for day in days_from(OLDEST, 45)])
    await schedule.works()
    await schedule.sets_filter(at=NOW + timedelta(hours=1))
    aws.forgets()
    aws.answers([total(day, "3") for day in days_from(OLDEST, 45)])
    await schedule.works(NOW + timedelta(hours=1))
    assert aws.periods == [("2025-01-19", "2025-03-05")] * 2
    assert set((await schedule.days()).values()) == {"3"}


async def test_without_credentials_there_is_one_warning_and_nothing_is_asked(
    schedule: Schedule, nothing_leaves_this_machine: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    await schedule.sets_filter()
    await schedule.sets_filter("bank")
    for minutes in range(0, 60, 5):
        await schedule.works(NOW + timedelta(minutes=minutes))
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in warnings] == ["stream.costs.pull"]
    assert "there are no AWS credentials" in warnings[0].getMessage()
    assert nothing_leaves_this_machine == []
    stands = await schedule.filter()
    assert (stands["failures"], "no AWS credentials" in stands["last_error"]) == (0, True)


async def test_credentials_that_come_are_used_within_ten_minutes(schedule: Schedule, aws: Aws) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        await schedule.sets_filter()
        await schedule.works()
    aws.answers([total(YESTERDAY, "1")])
    await schedule.works(NOW + timedelta(minutes=10))
    assert await schedule.days() == {YESTERDAY: "1"}


async def test_what_fails_is_tried_again_in_growing_pauses_and_others_go_on(
    schedule: Schedule, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    await schedule.sets_filter()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_COST_EXPLORER", "http://127.0.0.1:9")
        patch.setattr("stream.costs.explorer.ATTEMPTS", 1)
        await schedule.works()
        stands = await schedule.filter()
        assert (stands["failures"], stands["next_pull_at"]) == (1, NOW + timedelta(minutes=5))
        assert "AWS cannot be reached" in stands["last_error"]
        await schedule.works(NOW + timedelta(minutes=5))
        assert (await schedule.filter())["next_pull_at"] == NOW + timedelta(minutes=15)
    await schedule.sets_filter("bank", NOW)
    aws.answers([total(YESTERDAY, "1")])
    await schedule.works(NOW + timedelta(minutes=6))
    assert (await schedule.filter("bank"))["failures"] == 0
    await schedule.works(NOW + timedelta(minutes=15))
    assert (await schedule.filter())["failures"] == 0


async def test_a_worker_that_leads_no_more_writes_nothing(schedule: Schedule, aws: Aws) -> None:
    await schedule.sets_filter()
    aws.answers([total(YESTERDAY, "1")])
    await schedule.connection.execute("update ml_guard.lease set epoch = epoch + 1")
    with pytest.raises(LeaseLostError):
        await schedule.works()
    assert await schedule.days() == {}
    assert (await schedule.filter())["pulled_at"] is None


async def test_the_closing_service_pulls_by_itself(
    schedule: Schedule, aws: Aws, module_database_url: str
) -> None:
    await schedule.sets_filter()
    await schedule.connection.execute("update ml_guard.lease set expires_at = '-infinity'")
    aws.answers([total(YESTERDAY, "1")])

    async def no_offsets() -> dict[int, int]:
        return {}

    running = ClosingService(module_database_url, lambda: NOW, no_offsets, Settings(topic="events"), "one")
    task = asyncio.create_task(running.run())
    while not await schedule.days():
        assert not task.done()
        await asyncio.sleep(0.01)
    running.stop()
    await task
    assert await schedule.days() == {YESTERDAY: "1"}
