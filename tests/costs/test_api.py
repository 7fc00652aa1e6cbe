"""What do people see of costs, and who may say which costs are a project's?"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from ml_guard import AsyncMLGuardClient, MLGuardClient
from tests.api.conftest import DEMO, Door
from tests.costs.conftest import Bill, days_from

DAY = date(2025, 3, 4)


def test_a_days_cost_stands_beside_the_traffic_of_the_same_utc_day(door: Door, bill: Bill) -> None:
    bill.costs(DAY, "12.5000000000", services={"Amazon SageMaker": "12.3", "AWS Lambda": "0.2000000000"})
    bill.traffic(datetime(2025, 3, 3, 23, 59, tzinfo=UTC), 1_000_000)  # 18:59 of the 3rd in Toronto
    bill.traffic(datetime(2025, 3, 4, 0, 0, tzinfo=UTC), 1_500)  # still the 3rd there, but AWS's 4th
    bill.traffic(datetime(2025, 3, 4, 23, 59, tzinfo=UTC), 1_000, model="other")
    bill.traffic(datetime(2025, 3, 5, 0, 0, tzinfo=UTC), 1_000_000)
    with door.client() as client:
        (row,) = client.get("/costs/daily", params={"project_id": bill.project}).json()["items"]
    pulled = row.pop("pulled_at")
    assert datetime.fromisoformat(pulled).tzinfo is not None
    assert row == {
        "project_id": bill.project,
        "day": "2025-03-04",
        "day_start": "2025-03-04T00:00:00Z",
        "day_end": "2025-03-05T00:00:00Z",
        "zone": "UTC",
        "currency": "USD",
        "amount": "12.5000000000",
        "requests": 2500,
        "cost_per_1000": "5.0000000000000000",
        "services": {"Amazon SageMaker": "12.3", "AWS Lambda": "0.2000000000"},
        "estimated": False,
    }


@pytest.mark.parametrize(
    "amount", ["0.000000001", "0", "-3.07", "123456789012345678.000000000000000001", "0.00"]
)
def test_no_digit_of_an_amount_is_lost_on_its_way_to_the_client(door: Door, bill: Bill, amount: str) -> None:
    bill.costs(DAY, amount, services={"AWS Lambda": amount})
    with door.client() as client:
        (row,) = client.get("/costs/daily", params={"project_id": bill.project}).json()["items"]
    assert (row["amount"], row["services"], row["cost_per_1000"]) == (amount, {"AWS Lambda": amount}, None)
    with MLGuardClient(door.address, DEMO) as sdk:
        (day,) = sdk.costs_daily(project_id=bill.project)
    assert str(day.amount) == str(Decimal(amount))
    assert day.services == {"AWS Lambda": Decimal(amount)}


def test_a_day_has_a_row_for_each_currency_and_pages_follow_one_another(door: Door, bill: Bill) -> None:
    for day in days_from(DAY, 5):
        bill.costs(day, "1", "USD")
        bill.costs(day, "7", "CNY")
    asked = {"project_id": bill.project, "from": "2025-03-05", "to": "2025-03-07", "order": "asc"}
    with door.client() as client:
        whole = client.get("/costs/daily", params=asked).json()
        seen: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = client.get("/costs/daily", params={**asked, "limit": 4, **cursor}).json()
            seen += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        other = client.get("/costs/daily", params={**asked, "order": "desc", **cursor})
    assert seen == whole["items"]
    assert [(row["day"], row["currency"]) for row in seen] == [
        (f"2025-03-0{day}", currency) for day in (5, 6, 7) for currency in ("CNY", "USD")
    ]
    assert other.json()["code"] == "invalid_request"


async def test_both_clients_read_costs_and_set_the_filter(door: Door, bill: Bill) -> None:
    bill.costs(DAY, "0.1")
    async with AsyncMLGuardClient(door.address, DEMO) as client:
        (row,) = await client.costs_daily(project_id=bill.project, day=DAY)
        made = await client.costs.set_filter(bill.project, tags={"team": ["ml", "data"]}, currency="EUR")
        read = await client.costs.filter(bill.project)
    with MLGuardClient(door.address, DEMO) as sync:
        assert sync.costs_daily(project_id=bill.project, day=DAY) == [row]
        assert sync.costs.filter(bill.project) == made == read
        assert (made.tags, made.services, made.currency) == ({"team": ["ml", "data"]}, [], "EUR")
        assert (made.updated_by, made.failures, made.pulled_at) == ("demo", 0, None)
        sync.costs.delete_filter(bill.project)
    with door.client() as client:
        gone = client.get("/costs/filter", params={"project_id": bill.project})
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown_cost_filter")


def test_a_filter_that_is_set_again_is_replaced_whole(door: Door, bill: Bill) -> None:
    with door.client() as client:
        client.put(
            "/costs/filter", json={"project_id": bill.project, "services": ["AWS Lambda"], "currency": "EUR"}
        ).raise_for_status()
        made = client.put(
            "/costs/filter", json={"project_id": bill.project, "accounts": ["123456789012"]}
        ).json()
    assert (made["services"], made["accounts"], made["currency"]) == ([], ["123456789012"], "USD")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "the whole account would be the project's"),
        ({"tags": {"team": []}}, "at least 1 item"),
        ({"tags": {"": ["ml"]}}, "at least 1 character"),
        ({"tags": {"team": [""]}}, "at least 1 character"),
        ({"accounts": ["1234"]}, "should match pattern"),
        ({"services": ["AWS Lambda"], "currency": "dollars"}, "should match pattern"),
        ({"services": ["AWS Lambda"], "regions": ["eu-west-1"]}, "not permitted"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(
    door: Door, bill: Bill, given: dict[str, Any], said: str
) -> None:
    with door.client() as client:
        answer = client.put("/costs/filter", json={"project_id": bill.project, **given})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_a_key_sees_the_costs_of_its_projects_only(door: Door, bill: Bill) -> None:
    bill.costs(DAY, "1")
    other = Bill(door, door.project())
    other.costs(DAY, "2")
    with door.client(door.key(["read"], [bill.project])) as client:
        assert [row["amount"] for row in client.get("/costs/daily").json()["items"]] == ["1"]
        assert (
            client.get("/costs/daily", params={"project_id": other.project}).json()["code"]
            == "unknown_project"
        )
        refused = client.put("/costs/filter", json={"project_id": bill.project, "services": ["AWS Lambda"]})
        assert refused.json()["code"] == "missing_scope"


def test_the_view_says_what_the_api_says(door: Door, bill: Bill) -> None:
    bill.costs(DAY, "10.01", estimated=True)
    bill.traffic(datetime(2025, 3, 4, 12, tzinfo=UTC), 3)
    (row,) = door.sql("select * from ml_guard.daily_costs where project_id = $1", bill.project)
    with door.client() as client:
        (shown,) = client.get("/costs/daily", params={"project_id": bill.project}).json()["items"]
    assert (f"{row['amount']:f}", f"{row['cost_per_1000']:f}") == (shown["amount"], shown["cost_per_1000"])
    assert float(row["cost_per_1000"]) == pytest.approx(10_010 / 3, rel=1e-15)
    assert (row["requests"], row["estimated"]) == (shown["requests"], shown["estimated"])
    assert row["day_start"] == datetime.fromisoformat(shown["day_start"])
    assert row["day_end"] == datetime.fromisoformat(shown["day_end"])
