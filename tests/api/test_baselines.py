"""Can a baseline be previewed, captured, listed, shown and chosen over HTTP, with its refusals said plainly?"""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from stream.store.pool import connect
from tests.api.conftest import Door, result_of
from tests.closing.world import World, at

WHICH = {"project_id": "shop", "model_id": "churn", "endpoint": "predict"}


async def _two_days(database_url: str) -> None:
    pool = await connect(database_url, size=4)
    world = await World.begin(pool, at("2025-01-10T12:00"))
    generator = np.random.default_rng(1)
    for day in ("2025-01-10", "2025-01-11"):
        countries = [*generator.choice(["CA", "US"], 498), "NP", "FJ"]
        values = {"age": generator.normal(40, 9, 500), "country": countries}
        await world.closed_day(day, 500, values)
    await world.checkpoint(at("2025-01-12T01:00"), 10, {"age": np.arange(10.0)})
    world.executor.shutdown()
    pool.terminate()


@pytest.fixture(scope="module")
def client(door: Door) -> Any:
    result_of(_two_days(door.settings.database_url))
    with door.client(door.key(["operate"], ["shop"])) as client:
        yield client


def test_a_preview_stores_nothing(client: httpx.Client) -> None:
    shown = client.post("/baselines/preview", json={**WHICH, "days": ["2025-01-10"]})
    assert shown.status_code == 200
    assert (shown.json()["version"], shown.json()["events"]) == (None, 500)
    assert client.get("/baselines", params={"project_id": "shop"}).json()["items"] == []


def test_a_captured_version_is_listed_shown_and_replaced(client: httpx.Client) -> None:
    first = client.post("/baselines", json={**WHICH, "days": ["2025-01-10"], "note": "first"})
    assert first.status_code == 201
    second = client.post("/baselines", json={**WHICH, "days": ["2025-01-10", "2025-01-11"]}).json()
    listed = client.get("/baselines", params={"project_id": "shop"}).json()["items"]
    assert [(row["version"], row["active"], row["events"]) for row in listed] == [
        (2, True, 1000),
        (1, False, 500),
    ]
    assert (listed[1]["note"], listed[1]["captured_by"]) == ("first", "test")
    shown = client.get("/baselines/2", params=WHICH).json()
    assert shown == second
    age = next(feature for feature in shown["features"] if feature["feature"] == "age")
    assert (
        len(age["shares"]) == len(age["share_errors"]) == len(age["edges"]) + 2
    )  # bins, and the one for missing
    assert sum(age["shares"]) == pytest.approx(1)
    country = next(feature for feature in shown["features"] if feature["feature"] == "country")
    assert sorted(country["labels"]) == ["CA", "US"]
    assert country["other_labels"] == ["FJ", "NP"]
    assert age["other_labels"] is None
    page = client.get("/baselines", params={"project_id": "shop", "limit": 1}).json()
    following = client.get("/baselines", params={"project_id": "shop", "cursor": page["next_cursor"]}).json()
    assert [row["version"] for row in page["items"] + following["items"]] == [2, 1]


def test_an_older_version_can_be_made_active_again(client: httpx.Client) -> None:
    active = client.post("/baselines/1/activate", json=WHICH)
    assert (active.status_code, active.json()["active"], active.json()["version"]) == (200, True, 1)
    assert client.get("/models", params={"project_id": "shop"}).json()["items"][0]["baseline_version"] == 1


def test_weekdays_get_versions_of_their_own_and_stand_before_the_one_of_all_days(
    client: httpx.Client,
) -> None:
    body = {
        **WHICH,
        "days": ["2025-01-10", "2025-01-11"],
        "weekdays": [[1, 2, 3, 4, 5], [6]],
        "note": "apart",
    }
    seen = client.post("/baselines/by-weekday/preview", json=body)
    assert (seen.status_code, [one["version"] for one in seen.json()["items"]]) == (200, [None, None])
    made = client.post("/baselines/by-weekday", json=body)
    assert made.status_code == 201
    workdays, saturday = made.json()["items"]
    assert (workdays["weekdays"], workdays["days"]) == ([1, 2, 3, 4, 5], ["2025-01-10"])
    assert (saturday["weekdays"], saturday["days"]) == ([6], ["2025-01-11"])
    assert [warning.split(":")[0] for warning in made.json()["warnings"]] == ["Mon-Fri", "Sat"]
    listed = client.get("/baselines", params={"project_id": "shop"}).json()["items"]
    assert [(row["version"], row["active"], row["weekdays"]) for row in listed] == [
        (4, True, [6]),
        (3, True, [1, 2, 3, 4, 5]),
        (2, False, None),
        (1, True, None),
    ]
    model = client.get("/models", params={"project_id": "shop"}).json()["items"]
    assert [(row["baseline_version"], row["baseline_versions"]) for row in model] == [(4, [1, 3, 4])]
    client.post("/baselines/2/activate", json=WHICH)
    listed = client.get("/baselines", params={"project_id": "shop"}).json()["items"]
    assert [row["version"] for row in listed if row["active"]] == [2]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"weekdays": [[1], [1, 2]]}, "Mon is named twice"),
        ({"weekdays": [[0]]}, "greater than or equal to 1"),
        ({"weekdays": [[6]]}, "no group of weekdays takes 2025-01-10"),
        ({"weekdays": [[5], [6], [7]]}, "Sun has no day among those named"),
    ],
)
def test_groups_that_do_not_fit_are_refused_with_the_reason(
    client: httpx.Client, more: dict[str, Any], says: str
) -> None:
    body = {**WHICH, "days": ["2025-01-10", "2025-01-11"], **more}
    answer = client.post("/baselines/by-weekday", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert says in answer.json()["detail"]


def test_the_same_hours_say_what_is_missing(client: httpx.Client) -> None:
    seen = client.get("/drift/same-hours", params=WHICH)
    assert seen.status_code == 200
    assert seen.json()["day"] == "2025-01-11"
    assert "has closed" in seen.json()["reason"]
    assert client.get("/drift/same-hours", params=WHICH | {"project_id": "not-mine"}).status_code in (
        403,
        404,
    )
    assert client.get("/drift/same-hours", params=WHICH | {"days": 36}).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"days": ["2025-01-12"]}, 409, "conflict"),
        ({"days": ["2024-01-12"]}, 422, "invalid_request"),
        ({"days": []}, 422, "invalid_request"),
        ({"days": ["2025-01-10"], "model_id": "none"}, 404, "unknown_model"),
    ],
)
def test_a_capture_that_cannot_be_is_refused_with_the_reason(
    client: httpx.Client, body: dict[str, Any], status: int, code: str
) -> None:
    answer = client.post("/baselines", json={**WHICH, **body})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_version_that_is_not_there_is_a_404(client: httpx.Client) -> None:
    assert client.get("/baselines/9", params=WHICH).json()["code"] == "unknown_baseline"
    assert client.post("/baselines/9/activate", json=WHICH).json()["code"] == "unknown_baseline"
    assert client.get("/baselines/0", params=WHICH).status_code == 422
