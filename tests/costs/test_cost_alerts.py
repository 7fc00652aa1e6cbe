"""Is a dear day found, said with its reasons, resolved when it is over, and tried over the past beforehand?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import mean
from typing import Any

import pytest

from stream.alerting.costs import CostFact, ProjectCosts, judge_costs
from stream.alerting.policies import Policy
from stream.costs.bill import DayCost
from stream.costs.question import CostFilter
from stream.store.costs import delete_filter, put_filter, write_days
from stream.store.pool import connect
from tests.alerting.conftest import WRITTEN
from tests.alerting.world import World
from tests.api.conftest import Door
from tests.costs.conftest import Bill, days_from

FIRST = date(2025, 2, 20)


def costs(amounts: Sequence[float | str], first: date = FIRST) -> ProjectCosts:
    days = days_from(first, len(amounts))
    facts = [
        CostFact(day, Decimal(str(amount)), {"AWS Lambda": Decimal(str(amount))})
        for day, amount in zip(days, amounts, strict=True)
    ]
    return ProjectCosts("USD", facts)


def policy(**values: Any) -> Policy:
    return Policy("cost", "cost", **{"days": 7, **values})


@pytest.mark.parametrize(
    ("amounts", "values", "said"),
    [
        ([5, 5, 5, 10], {"threshold": 10.0}, None),
        ([5, 5, 5, "10.000000001"], {"threshold": 10.0}, "cost 10.00 USD, more than 10.00"),
        ([11], {"threshold": 10.0}, "cost 11.00 USD, more than 10.00"),
        ([5, 11, 5, 5], {"threshold": 10.0}, "2025-02-21 cost 11.00 USD"),
        ([11, 5, 5, 5], {"threshold": 10.0}, None),  # out of what AWS restates within days
        ([10] * 7 + [15], {"rise_percent": 50.0}, None),
        ([10] * 7 + ["15.01"], {"rise_percent": 50.0}, "50 % above the mean of 7 days before (10.00)"),
        ([100] + [10] * 7 + [16], {"rise_percent": 50.0}, "60 % above the mean of 7 days before"),
        ([10, 10, 30], {"rise_percent": 50.0}, None),  # two days are no mean
        ([10, 30], {"rise_percent": 50.0, "days": 1}, "200 % above the day before (10.00)"),
        ([0, 0, 0, 0, "0.000000001"], {"rise_percent": 50.0}, None),  # there is no rise from nothing
        ([1, 1, 1, 1, 3], {"rise_percent": 50.0, "threshold": 10.0}, "200 % above"),
        ([], {"threshold": 10.0}, None),
    ],
)
def test_a_day_is_judged_by_its_amount_and_by_the_days_before(
    amounts: Sequence[float | str], values: dict[str, Any], said: str | None
) -> None:
    finding = judge_costs(policy(**values), costs(amounts)).finding
    assert (finding is None) == (said is None)
    if finding is not None and said is not None:
        assert said in finding.what


def test_the_bound_is_the_mean_of_the_days_that_are_there_and_the_rise() -> None:
    amounts = [3.1, 4.7, 5.9, 2.2, 8.8, 1.1, 4.4, 9.75]
    known = costs(amounts)
    del known.days[2]  # type: ignore[attr-defined]  a day that was never pulled
    finding = judge_costs(policy(rise_percent=25.0), known).finding
    assert finding is not None
    assert finding.value == 9.75
    assert finding.bound == pytest.approx(mean([3.1, 4.7, 2.2, 8.8, 1.1, 4.4]) * 1.25, rel=1e-12)
    assert finding.since == datetime(2025, 2, 27, tzinfo=UTC)


def test_the_services_that_moved_are_named_and_an_estimate_is_called_one() -> None:
    def day(n: int, trained: str, stored: str, **more: Any) -> CostFact:
        parts = {"Amazon SageMaker": Decimal(trained), "Amazon S3": Decimal(stored), "Tax": Decimal("0.001")}
        return CostFact(FIRST + timedelta(days=n), sum(parts.values(), Decimal(0)), parts, **more)

    days = [day(0, "4", "2"), day(1, "5", "2"), day(2, "6", "2"), day(3, "17.5", "1.5", estimated=True)]
    finding = judge_costs(policy(threshold=10.0), ProjectCosts("EUR", days)).finding
    assert finding is not None
    assert finding.note == (
        "Amazon SageMaker +12.50, Amazon S3 -0.50 EUR against the mean of 3 days before. AWS still calls it an estimate."
    )


@pytest.fixture
async def world(module_database_url: str) -> AsyncIterator[World]:
    """A project at noon of 3 March 2025 that has a filter of costs."""
    pool = await connect(module_database_url)
    async with pool.acquire() as connection:
        for table in ("cost_day", "cost_filter", *WRITTEN):
            await connection.execute(f"delete from ml_guard.{table}")
        await connection.execute("update ml_guard.lease set holder = null, expires_at = '-infinity'")
        await connection.execute("update ml_guard.alert_position set change_id = 0")
        world = await World.begin(connection)
        await put_filter(connection, world.project, CostFilter(services=["AWS Lambda"]), "test")
        yield world
    pool.terminate()


async def pulled(world: World, amounts: Sequence[float | str], first: date, currency: str = "USD") -> None:
    """AWS has said this of the days."""
    days = [
        DayCost(day, currency, Decimal(str(amount)), {}, False)
        for day, amount in zip(days_from(first, len(amounts)), amounts, strict=True)
    ]
    async with world.connection.transaction():
        await write_days(world.connection, world.project, days, world.clock.now, replace=True)
    await world.time_goes_to(world.clock.now + timedelta(minutes=1))


async def test_nothing_is_looked_for_until_a_policy_says_what_is_too_much(world: World) -> None:
    await pulled(world, [1, 1, 1, 10_000], date(2025, 2, 27))
    assert await world.alerts() == []


async def test_a_dear_day_opens_one_alert_that_later_days_within_bounds_resolve(world: World) -> None:
    await world.policy("cost", project_id=world.project, rise_percent=50.0, days=7)
    await pulled(world, [10, 10, 10, 16], date(2025, 2, 27))
    (alert,) = await world.alerts()
    assert (alert["model_id"], alert["endpoint"], alert["zone"], alert["state"]) == ("", "", "UTC", "open")
    assert (alert["day"], alert["since"]) == (date(2025, 3, 2), datetime(2025, 3, 2, tzinfo=UTC))
    assert (alert["details"]["value"], alert["details"]["bound"]) == (16.0, 15.0)
    (subject,) = await world.subjects()
    assert subject == (
        "[warning] shop · production: 2025-03-02 cost 16.00 USD, 60 % above the mean of 3 days before (10.00) "
        "since Sun 2 Mar 2025 00:00 (UTC)"
    )
    assert "https://guard.example/ml/?page=costs&project=shop" in (await world.texts())[0]
    for n in range(3):  # the dear day stays one of the latest three for two more
        world.clock.now += timedelta(days=1)
        await pulled(world, [10], date(2025, 3, 3) + timedelta(days=n))
    (alert,) = await world.alerts()
    assert (alert["state"], alert["resolution"]) == (
        "resolved",
        "the days up to 2025-03-05 are within bounds",
    )


async def test_a_restatement_opens_an_alert_about_a_day_that_is_not_the_latest_any_more(world: World) -> None:
    await world.policy("cost", project_id=world.project, threshold=12.0)
    await pulled(world, [10, 10], date(2025, 3, 1))
    assert await world.alerts() == []
    await pulled(world, [13, 10], date(2025, 3, 1))
    (alert,) = await world.alerts()
    assert alert["headline"] == "2025-03-01 cost 13.00 USD, more than 12.00"
    await pulled(world, ["11.50", 10], date(2025, 3, 1))
    assert [one["state"] for one in await world.alerts()] == ["resolved"]


async def test_days_that_are_long_past_open_nothing_and_another_currency_is_not_compared(
    world: World,
) -> None:
    await world.policy("cost", project_id=world.project, threshold=12.0)
    await pulled(world, [100], date(2025, 2, 20))
    await pulled(world, [100], date(2025, 3, 2), currency="CNY")
    assert await world.alerts() == []


async def test_an_alert_ends_when_the_filter_is_taken_away(world: World) -> None:
    await world.policy("cost", project_id=world.project, threshold=12.0)
    await pulled(world, [100], date(2025, 3, 2))
    assert [one["state"] for one in await world.alerts()] == ["open"]
    await delete_filter(world.connection, world.project)
    await world.time_goes_to(world.clock.now + timedelta(minutes=1))
    (alert,) = await world.alerts()
    assert (alert["state"], "no filter" in alert["resolution"]) == ("resolved", True)


def test_a_policy_of_costs_is_set_and_tried_over_the_stored_past(door: Door, bill: Bill) -> None:
    today = datetime.now(UTC).date()
    amounts = [10] * 20 + [30] + [10] * 5 + [40]  # the last one is yesterday's
    for day, amount in zip(
        days_from(today - timedelta(days=len(amounts)), len(amounts)), amounts, strict=True
    ):
        bill.costs(day, str(amount))
    cost = {"condition": "cost", "project_id": bill.project}
    with door.client() as client:
        filtered = {"project_id": bill.project, "services": ["AWS Lambda"]}
        client.put("/costs/filter", json=filtered).raise_for_status()

        def tried(**values: Any) -> Any:
            return client.post("/alert-policies/try", json={**cost, **values}).json()

        answer = tried(rise_percent=50, days=7)
        assert answer["summary"] == "would have fired 2 times in 30 days"
        dear = today - timedelta(days=7)
        first, last = answer["alerts"]
        assert first["since"] == f"{dear}T00:00:00Z"
        assert first["opened_at"] == f"{dear + timedelta(days=1)}T00:00:00Z"
        assert first["until"] == f"{dear + timedelta(days=4)}T00:00:00Z"
        assert first["headline"] == f"{dear} cost 30.00 USD, 200 % above the mean of 7 days before (10.00)"
        assert (last["project_id"], last["model_id"], last["until"]) == (bill.project, "", None)
        assert tried(threshold=35)["fired"] == 1
        assert tried(threshold=35, past_days=1)["fired"] == 1
        assert tried(threshold=40)["fired"] == 0
        made = client.put("/alert-policies", json={**cost, "threshold": 35, "rise_percent": 50}).json()
        assert (made["days"], made["threshold"], made["rise_percent"]) == (7, 35.0, 50.0)
        other = door.project()
        client.put("/costs/filter", json={**filtered, "project_id": other}).raise_for_status()
        (unjudged,) = tried(project_id=other, threshold=1)["not_judged"]
        assert (unjudged["project_id"], unjudged["reason"]) == (other, "no cost in USD is stored")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"condition": "cost"}, "needs `threshold` or `rise_percent`"),
        ({"condition": "cost", "threshold": 1, "model_id": "churn"}, "is about a whole project"),
        ({"condition": "ledger", "endpoint": "predict"}, "is about a whole project"),
        ({"condition": "cost", "threshold": 1, "feature": "age"}, "is not about a feature"),
        ({"condition": "latency", "rise_percent": 5}, "has no `rise_percent`"),
        ({"condition": "cost", "rise_percent": 0}, "greater than 0"),
    ],
)
def test_a_policy_of_costs_that_makes_no_sense_is_refused(
    door: Door, given: dict[str, Any], said: str
) -> None:
    with door.client() as client:
        answer = client.put("/alert-policies", json=given)
    assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.text
