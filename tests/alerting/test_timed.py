"""What does time alone decide? The clock is a table of numbers."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from stream.alerting.policies import Policy, default_of
from stream.alerting.traffic import FOR_A_WEEK, earlier, judge_expected, judge_silence
from stream.days import Calendar
from tests.alerting.world import World, at

NOW = at("2025-03-20T15:00:00")
MINUTES = timedelta(minutes=30)
LAST_WEEK, YESTERDAY = NOW - timedelta(days=7), NOW - timedelta(days=1)


@pytest.mark.parametrize(
    ("now", "yesterday", "last_week", "age_days", "found", "said"),
    [
        (0, 500, 40, 60, True, "no request for 30 minutes, 40 in the same minutes a week before"),
        (1, 500, 40, 60, False, ""),
        (0, 500, 19, 60, False, ""),  # last week was quiet as well
        (0, 500, 0, 60, False, ""),
        (0, 25, 0, 3, True, "no request for 30 minutes, 25 in the same minutes the day before"),
        (0, 19, 0, 3, False, ""),
        (0, 0, 0, 0.5, False, "the model is younger than a day"),
    ],
)
def test_silence(now: int, yesterday: int, last_week: int, age_days: float, found: bool, said: str) -> None:
    table = {NOW: now, YESTERDAY: yesterday, LAST_WEEK: last_week}
    judgement = judge_silence(
        default_of("silence"),
        NOW,
        "UTC",
        NOW - timedelta(days=age_days),
        NOW - timedelta(minutes=47),
        lambda span: table[span[1]],
    )
    assert (judgement.finding is not None, bool(judgement.over)) == (found, now > 0)
    text = judgement.unknown if judgement.finding is None else judgement.finding.what
    assert said in text
    if judgement.finding is not None:
        assert judgement.finding.since == NOW - timedelta(minutes=47)
        assert ("yesterday instead of last week" in judgement.finding.note) == (age_days < 7)


def test_a_model_that_has_been_silent_for_a_week_is_not_missed_any_more() -> None:
    judgement = judge_silence(
        default_of("silence"),
        NOW,
        "UTC",
        NOW - timedelta(days=60),
        LAST_WEEK,
        lambda span: 50 * (span[1] < NOW),
    )
    assert (judgement.finding, judgement.over) == (None, FOR_A_WEEK)


def test_the_same_time_last_week_is_the_same_local_time_across_a_change_of_clocks() -> None:
    # 9 March 2025, 02:00 in Toronto: the clocks went an hour ahead.
    assert earlier(at("2025-03-12T16:00:00"), 7, "America/Toronto") == at("2025-03-05T17:00:00")


@pytest.mark.parametrize(
    ("now", "requests", "found"),
    [
        ("2025-03-20T09:59:00", 0, False),  # 05:59 in Toronto
        ("2025-03-20T10:00:00", 0, True),
        ("2025-03-20T10:00:00", 5, False),
        ("2025-03-21T03:59:00", 0, True),  # still the same local day
        ("2025-03-21T04:00:00", 0, False),  # the next one has begun
    ],
)
def test_expected_by(now: str, requests: int, found: bool) -> None:
    policy = Policy("nightly", "expected_by", local_time="06:00")
    judgement = judge_expected(policy, at(now), Calendar.of("America/Toronto"), lambda span: requests)
    assert (judgement.finding is not None) == found
    if judgement.finding is not None:
        assert judgement.finding.what == "no event of 2025-03-20 by 06:00"
        assert judgement.finding.since == at("2025-03-20T10:00:00")


async def usual_traffic(world: World, until: datetime) -> None:
    for days in (8, 7, 1, 0):
        end = until - timedelta(days=days)
        await world.requests(end - timedelta(hours=1), end, 2)


async def test_silence_opens_once_is_reminded_of_and_ends_when_requests_come(world: World) -> None:
    now = at("2025-03-20T15:00:00")
    await usual_traffic(world, now)
    await world.requests(now - timedelta(days=7), now - timedelta(days=6, hours=12), 2)
    await world.time_goes_to(now + timedelta(minutes=29))
    assert await world.alerts() == []
    await world.time_goes_to(now + timedelta(minutes=32))
    (alert,) = await world.alerts()
    assert (alert["policy"], alert["severity"], alert["since"]) == ("silence", "critical", now)
    await world.time_goes_to(now + timedelta(hours=3))
    assert len(await world.subjects()) == 1
    await world.time_goes_to(now + timedelta(hours=5))
    assert "Still: no request for 30 minutes" in (await world.subjects())[1]
    await world.requests(now + timedelta(hours=5), now + timedelta(hours=6), 1)
    await world.time_goes_to(now + timedelta(hours=6))
    assert "Resolved: no request" in (await world.subjects())[2]
    assert (await world.alerts())[0]["resolution"] == "there are requests again"


async def test_a_backlog_is_not_taken_for_silence(world: World) -> None:
    now = at("2025-03-20T15:00:00")
    await usual_traffic(world, now)
    await world.requests(now - timedelta(days=7), now - timedelta(days=6, hours=12), 2)
    world.ends[0] = 100  # produced, and not folded
    await world.time_goes_to(now + timedelta(hours=1))
    await world.time_goes_to(now + timedelta(hours=2))
    assert await world.alerts() == []
    await world.requests(now, now + timedelta(hours=2), 2)
    await world.connection.execute("update ml_guard.stream_fence set next_offset = 100")
    await world.time_goes_to(now + timedelta(hours=2, minutes=1))
    assert await world.alerts() == []


async def test_a_batch_that_is_late_is_told_at_its_hour(world: World) -> None:
    await world.policy(
        "nightly", condition="expected_by", local_time="06:00", project_id="shop", severity="info"
    )
    await world.requests(at("2025-03-19T09:00:00"), at("2025-03-19T09:05:00"), 2)
    await world.time_goes_to(at("2025-03-20T09:59:30"))
    assert await world.alerts() == []
    await world.time_goes_to(at("2025-03-20T10:02:00"))
    (alert,) = await world.alerts()
    assert (alert["policy"], alert["headline"]) == ("nightly", "no event of 2025-03-20 by 06:00")
    await world.requests(at("2025-03-20T10:05:00"), at("2025-03-20T10:06:00"), 2)
    await world.time_goes_to(at("2025-03-20T10:07:30"))
    assert (await world.alerts())[0]["state"] == "resolved"


async def test_a_ledger_that_does_not_balance_is_told_and_ends_when_it_does(world: World) -> None:
    start = world.calendar.days_on(date(2025, 3, 3))[0].start
    await world.connection.execute(
        """insert into ml_guard.ledger_day (project_id, day_start, shard, day, decoded, dead)
           values ('shop', $1, 0, '2025-03-03', 10, 7)""",
        start,
    )
    await world.time_goes_to(world.clock.now + timedelta(minutes=1))
    (alert,) = await world.alerts()
    assert (alert["policy"], alert["model_id"]) == ("ledger", "")
    assert alert["headline"] == "3 events of 2025-03-03 are not accounted for"
    await world.connection.execute("update ml_guard.ledger_day set dead = 10")
    await world.time_goes_to(world.clock.now + timedelta(minutes=1))
    assert (await world.alerts())[0]["state"] == "resolved"


async def test_an_acknowledged_alert_is_not_reminded_of_and_a_muted_one_says_nothing(world: World) -> None:
    await world.policy("drift", project_id="shop", days=1, cooldown_minutes=60)
    await world.closes(date(2025, 3, 3), {"age": "drift"})
    hour = timedelta(minutes=61)
    await world.connection.execute(
        "update ml_guard.alert set acknowledged_at = now(), acknowledged_by = 'me'"
    )
    await world.time_goes_to(world.clock.now + hour)
    assert len(await world.subjects()) == 1
    await world.connection.execute("update ml_guard.alert set acknowledged_at = null")
    await world.time_goes_to(world.clock.now + hour)
    assert len(await world.subjects()) == 2
    await world.connection.execute(
        "update ml_guard.alert set muted_until = $1", world.clock.now + timedelta(days=3)
    )
    await world.time_goes_to(world.clock.now + hour)
    await world.closes(date(2025, 3, 4))  # resolved in silence
    await world.closes(date(2025, 3, 5), {"age": "drift"})  # a new one, muted as well
    assert [alert["state"] for alert in await world.alerts()] == ["resolved", "open"]
    assert len(await world.subjects()) == 2
