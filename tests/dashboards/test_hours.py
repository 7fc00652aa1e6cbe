"""Is the open day held against the same hours of the days before, and are baselines captured by weekday?"""

from __future__ import annotations

import asyncpg
from playwright.sync_api import Page, expect

from tests.conftest import run_apart
from tests.dashboards.conftest import Product, wait_for
from tests.dashboards.test_alerts import drift_today

PROJECT = "hourly"
MODEL = f"project={PROJECT}&model=tiers_v1"
UNSEEN_TODAY = {"gold": 100, "unseen": 500}
BEFORE = {"gold": 600}


def keep_an_hour(product: Product, age: int, counts: dict[str, int]) -> None:
    """What the day that is so old had come to at 01:00, in the bins of its baseline; all 600 events had a value."""
    with product.client() as client:
        (row,) = client.drift_daily(project_id=PROJECT, feature="plan", bins=True, limit=1)
    names = [one.get("label") or one["bin"] for one in row.bins if one["bin"] != "missing"]

    async def store() -> None:
        connection = await asyncpg.connect(product.database_url)
        try:
            for feature, kind, own in (
                ("@events", "events", None),
                ("plan", "categorical", [counts.get(name, 0) for name in names]),
            ):
                await connection.execute(
                    """insert into ml_guard.feature_hour (project_id, model_id, endpoint, day_start, day, hour, hour_at,
                           feature, kind, n, baseline_version, counts)
                       select project_id, model_id, endpoint, day_start, day, 1, day_start + interval '1 hour', $1, $2,
                           600, 1, $3
                       from ml_guard.metric_day where project_id = $4 order by day_start desc offset $5 limit 1""",
                    feature,
                    kind,
                    own,
                    PROJECT,
                    age,
                )
        finally:
            await connection.close()

    run_apart(store())


def test_the_open_day_is_held_against_the_same_hours_and_says_where_it_cannot_be(
    page: Page, product: Product
) -> None:
    drift_today(product, PROJECT, "tiers_v1")
    page.goto(f"{product.dashboard_url}?page=feature&{MODEL}&feature=plan")
    hours = page.locator("[data-fact=same-hours]")
    expect(hours).to_contain_text("not compared with the same hours")
    expect(hours).to_contain_text("no full hour of the open day has a snapshot")
    with product.client() as client:
        wait_for(lambda: [row.requests for row in client.metrics_daily(project_id=PROJECT)] == [600, 600])
    keep_an_hour(product, 0, UNSEEN_TODAY)
    keep_an_hour(product, 1, BEFORE)
    page.reload()
    expect(hours).to_contain_text("until 01:00, against the same hours of the one day before")
    expect(hours).to_contain_text("▲ drift")
    expect(hours.locator("tr[data-hour-bin=gold] td")).to_have_text(["gold", "100.0 %", "16.7 %", "−83.3"])
    expect(hours).to_contain_text("600 requests, 600 a day by then")
    page.goto(f"{product.dashboard_url}?page=model&{MODEL}")
    expect(hours).to_contain_text("▲ 1 of 1 features differ")
    hours.get_by_role("link", name="plan").click()
    expect(page.locator("h1")).to_contain_text("plan")
    assert "day=" in page.url


def test_baselines_are_previewed_and_captured_by_weekday(page: Page, product: Product) -> None:
    page.goto(f"{product.dashboard_url}?page=baselines&project=himal-pay&model=fraud_v3&endpoint=authorize")
    boxes = page.locator("input[name=days]")
    expect(boxes.nth(6)).to_be_visible()
    for index in range(7):
        boxes.nth(index).check()
    page.select_option("[name=weekdays]", "workday-weekend")
    page.get_by_role("button", name="Preview").click()
    previews = page.locator("[data-fact=preview]")
    expect(previews).to_have_count(2)
    expect(previews.first).to_contain_text("Preview, Mon-Fri")
    expect(previews.last).to_contain_text("Preview, Sat, Sun")
    page.get_by_role("button", name="Capture").click()
    expect(page.locator("[data-fact=said]")).to_contain_text(
        "Versions 2 (Mon-Fri), 3 (Sat, Sun) are captured and active"
    )
    expect(page.locator("tr[data-version='2'] [data-fact=weekdays]")).to_have_text("Mon-Fri")
    expect(page.locator("tr[data-version='3'] [data-fact=weekdays]")).to_have_text("Sat, Sun")
    page.locator("tr[data-version='1']").get_by_role("button", name="Use for all days").click()
    expect(page.locator("[data-fact=said]")).to_contain_text("Version 1 is active: days are compared with it")
