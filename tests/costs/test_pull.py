"""What does a pull write, keep and replace? The API before the run's database, asking moto's server over HTTP."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from ml_guard import MLGuardClient
from ml_guard.errors import RefusedError
from tests.api.conftest import DEMO, Door
from tests.costs.conftest import SECRET, Aws, Bill, days_from, grouped, total

DAY = date(2025, 3, 4)
FILTER: dict[str, Any] = {"tags": {"team": ["ml"]}, "services": ["Amazon SageMaker", "AWS Lambda"]}


@pytest.fixture
def project(door: Door, bill: Bill) -> str:
    """A project with a filter."""
    with door.client() as client:
        client.put("/costs/filter", json={"project_id": bill.project, **FILTER}).raise_for_status()
    return bill.project


def pull(door: Door, project: str, **asked: Any) -> Any:
    with door.client(door.key(["operate"], [project])) as client:
        return client.post("/costs/pull", params={"project_id": project, **asked})


def amounts(door: Door, project: str) -> dict[tuple[str, str], str]:
    with door.client() as client:
        rows = client.get("/costs/daily", params={"project_id": project}).json()["items"]
    return {(row["day"], row["currency"]): row["amount"] for row in rows}


def test_a_pull_asks_for_the_projects_costs_of_the_utc_day_and_stores_them(
    door: Door, project: str, aws: Aws
) -> None:
    aws.answers([grouped(DAY, {"Amazon SageMaker": ("12.30", "USD"), "AWS Lambda": ("0.2000000001", "USD")})])
    answer = pull(door, project, day="2025-03-04")
    assert answer.status_code == 200, answer.text
    assert aws.asked == [
        {
            "TimePeriod": {"Start": "2025-03-04", "End": "2025-03-05"},
            "Granularity": "DAILY",
            "Metrics": ["UnblendedCost"],
            "Filter": {
                "And": [
                    {"Tags": {"Key": "team", "Values": ["ml"]}},
                    {"Dimensions": {"Key": "SERVICE", "Values": ["Amazon SageMaker", "AWS Lambda"]}},
                ]
            },
            "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
        }
    ]
    done = answer.json()
    (row,) = done.pop("items")
    assert done == {
        "project_id": project,
        "first": "2025-03-04",
        "last": "2025-03-04",
        "pulled": ["2025-03-04"],
        "kept": [],
        "unanswered": [],
        "aws_requests": 1,
    }
    assert (row["amount"], row["currency"], row["estimated"]) == ("12.5000000001", "USD", False)
    assert row["services"] == {"Amazon SageMaker": "12.30", "AWS Lambda": "0.2000000001"}


@pytest.mark.parametrize("amount", ["0.000000001", "0", "0.0000000000", "1234567.0101516483"])
def test_tiny_and_zero_totals_are_kept_to_their_last_digit(
    door: Door, project: str, aws: Aws, amount: str
) -> None:
    aws.answers([total(DAY, amount, estimated=True)])
    (row,) = pull(door, project, day="2025-03-04").json()["items"]
    assert (row["amount"], row["estimated"], row["services"]) == (amount, True, {})
    (stored,) = door.sql("select amount::text from ml_guard.cost_day where project_id = $1", project)
    assert stored["amount"] == amount


def test_every_page_of_an_answer_is_read_and_counted_as_a_request(door: Door, project: str, aws: Aws) -> None:
    aws.answers(
        [grouped(DAY, {"Amazon SageMaker": ("1.5", "USD")}, estimated=True)],
        [
            grouped(DAY, {"AWS Lambda": ("0.25", "USD")}),
            grouped(DAY + timedelta(1), {"AWS Lambda": ("3", "USD")}),
        ],
        [grouped(DAY + timedelta(1), {"Amazon SageMaker": ("4", "USD")})],
        tokens=("second", "third"),
    )
    done = pull(door, project, **{"from": "2025-03-04", "to": "2025-03-05"}).json()
    assert done["aws_requests"] == 3
    assert [one.get("NextPageToken") for one in aws.asked] == [None, "second", "third"]
    assert amounts(door, project) == {("2025-03-04", "USD"): "1.75", ("2025-03-05", "USD"): "7"}
    assert [row["estimated"] for row in done["items"]] == [False, True]


def test_currencies_are_kept_apart(door: Door, project: str, aws: Aws) -> None:
    parts = {"Amazon SageMaker": ("1.5", "USD"), "AWS Lambda": ("9", "CNY"), "Amazon EC2": ("1", "CNY")}
    aws.answers([grouped(DAY, parts)])
    pull(door, project, day="2025-03-04").raise_for_status()
    assert amounts(door, project) == {("2025-03-04", "USD"): "1.5", ("2025-03-04", "CNY"): "10"}


def test_a_day_that_is_there_stays_and_is_not_asked_for_unless_it_is_to_be_overwritten(
    door: Door, project: str, aws: Aws
) -> None:
    aws.answers([total(DAY, "1", "USD")])
    assert pull(door, project, day="2025-03-04").json()["pulled"] == ["2025-03-04"]
    aws.forgets()
    aws.answers([total(DAY, "2")])
    again = pull(door, project, day="2025-03-04").json()
    assert (again["pulled"], again["kept"], again["aws_requests"]) == ([], ["2025-03-04"], 0)
    assert len(aws.asked) == 1
    assert amounts(door, project) == {("2025-03-04", "USD"): "1"}
    replaced = pull(door, project, day="2025-03-04", overwrite=True).json()
    assert (replaced["pulled"], replaced["kept"], replaced["aws_requests"]) == (["2025-03-04"], [], 1)
    assert amounts(door, project) == {("2025-03-04", "USD"): "2"}


def test_of_a_range_only_the_missing_days_are_asked_for_and_written(
    door: Door, project: str, bill: Bill, aws: Aws
) -> None:
    days = days_from(DAY, 5)
    for day in (days[0], days[2]):
        bill.costs(day, "7")
    aws.answers([total(day, "1") for day in days[1:4]])
    done = pull(door, project, **{"from": str(days[0]), "to": str(days[4])}).json()
    assert aws.periods == [("2025-03-05", "2025-03-09")]
    assert done["pulled"] == ["2025-03-05", "2025-03-07"]
    assert done["kept"] == ["2025-03-04", "2025-03-06"]
    assert done["unanswered"] == ["2025-03-08"]
    assert [amounts(door, project).get((str(day), "USD")) for day in days] == ["7", "1", "7", "1", None]


def test_what_aws_says_of_a_day_replaces_the_day_whole(
    door: Door, project: str, bill: Bill, aws: Aws
) -> None:
    bill.costs(DAY, "7", "CNY")
    bill.costs(DAY, "9", "USD", estimated=True)
    bill.costs(DAY - timedelta(1), "5")
    aws.answers([total(DAY, "8.5")])
    pull(door, project, day="2025-03-04", overwrite=True).raise_for_status()
    assert amounts(door, project) == {("2025-03-04", "USD"): "8.5", ("2025-03-03", "USD"): "5"}


def test_without_a_day_the_last_one_that_has_ended_in_utc_is_pulled(
    door: Door, project: str, aws: Aws
) -> None:
    before = datetime.now(UTC).date() - timedelta(days=1)
    done = pull(door, project).json()
    after = datetime.now(UTC).date() - timedelta(days=1)
    assert done["first"] == done["last"]
    assert date.fromisoformat(done["first"]) in (before, after)
    assert (done["unanswered"], done["items"]) == ([done["first"]], [])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"day": "2999-01-01"}, "the latest that has ended"),
        ({"from": "2999-01-01"}, "lies after"),
        ({"from": "2024-01-01", "to": "2024-12-31"}, "at most 100 days"),
        ({"day": "2025-03-04", "to": "2025-03-04"}, "either `day`, or"),
    ],
)
def test_days_that_cannot_be_pulled_are_refused_before_aws_is_asked(
    door: Door, project: str, aws: Aws, asked: dict[str, str], said: str
) -> None:
    answer = pull(door, project, **asked)
    assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.text
    assert aws.asked == []


def test_without_a_filter_nothing_is_asked(door: Door, bill: Bill, aws: Aws) -> None:
    answer = pull(door, bill.project)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_cost_filter")
    assert aws.asked == []


def test_without_credentials_the_answer_says_so_and_the_rest_goes_on(
    door: Door, project: str, bill: Bill
) -> None:
    bill.costs(DAY, "7")
    answer = pull(door, project, day="2025-03-05")
    assert (answer.status_code, answer.json()["code"]) == (424, "aws_refused")
    assert "there are no AWS credentials" in answer.json()["detail"]
    assert amounts(door, project) == {("2025-03-04", "USD"): "7"}
    with MLGuardClient(door.address, DEMO) as client, pytest.raises(RefusedError, match="AWS_ACCESS_KEY_ID"):
        client.costs.pull(project, day="2025-03-05")


def test_an_aws_that_is_away_is_said_to_be_and_no_credential_is_told(
    door: Door,
    project: str,
    credentials: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_COST_EXPLORER", "http://127.0.0.1:9")
    with caplog.at_level(logging.DEBUG):
        answer = pull(door, project, day="2025-03-05")
    assert (answer.status_code, answer.json()["code"]) == (503, "aws_unavailable")
    assert int(answer.headers["retry-after"]) >= 60
    assert SECRET not in answer.text + caplog.text
    assert "AKIDEXAMPLE" not in answer.text + caplog.text
