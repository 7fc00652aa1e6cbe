"""Does one see what a project costs, and what to do where nothing is pulled?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from playwright.sync_api import Page, expect

from tests.conftest import run_apart
from tests.dashboards.conftest import Product


def pulled(product: Product, project: str, last_error: str | None = None) -> None:
    """Four days as a pull from AWS stores them; the last one's bill is not final."""

    async def store() -> None:
        connection = await asyncpg.connect(product.database_url)
        try:
            await connection.execute(
                """insert into ml_guard.cost_filter (project_id, tags, updated_by, pulled_at, last_error)
                   values ($1, '{"team": ["risk", "fraud"]}', 'on-call', now(), $2)""",
                project,
                last_error,
            )
            await connection.execute(
                """insert into ml_guard.cost_day (project_id, day, currency, amount, services, estimated, pulled_at)
                   select $1, (now() at time zone 'UTC')::date - age, 'USD', 1.25 + age,
                       jsonb_build_object('Amazon SageMaker', '1.0', 'AmazonCloudWatch', '0.25'), age = 1, now()
                   from generate_series(1, 4) age""",
                project,
            )
        finally:
            await connection.close()

    run_apart(store())


def test_costs_stand_beside_the_requests_and_what_they_make_per_thousand(
    page: Page, product: Product
) -> None:
    pulled(product, "north-bank")
    page.goto(f"{product.dashboard_url}?page=costs&project=north-bank")
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    row = page.locator(f"tr[data-day='{yesterday}']")
    with product.client() as client:
        (told,) = client.costs_daily(project_id="north-bank", day=yesterday)
    assert told.requests > 0
    expect(row).to_contain_text("2.25 USD")
    expect(row).to_contain_text(f"{told.requests:,}")
    expect(row).to_contain_text(f"{2250 / told.requests:,.2f}")
    expect(row).to_contain_text("◌ estimated")
    expect(page.get_by_text("◌ estimated")).to_have_count(2)  # its row, and the legend
    expect(page.locator("[data-fact=total]")).to_have_text("15.00")
    expect(page.locator("[data-fact=filter]")).to_contain_text("risk, fraud")
    with page.expect_download() as csv:
        page.locator("[data-get=csv][data-chart=costs]").click()
    lines = Path(csv.value.path()).read_text().splitlines()
    assert lines[0] == "day,at,amount,final,estimated,requests,per_1000"
    assert [line.split(",")[2] for line in lines[1:]] == ["5.25", "4.25", "3.25", "2.25"]


def test_where_no_filter_is_set_the_page_says_how_to_set_one(page: Page, product: Product) -> None:
    page.goto(f"{product.dashboard_url}?page=costs&project=reef-grid")
    expect(page.locator("[data-fact=no-filter]")).to_contain_text("ml-guard costs filter")
    assert "project=reef-grid" in page.url


def test_where_aws_cannot_be_asked_the_page_says_why_and_shows_what_it_has(
    page: Page, product: Product
) -> None:
    pulled(product, "himal-pay", "no credentials were found")
    page.goto(f"{product.dashboard_url}?page=costs&project=himal-pay")
    expect(page.locator("[data-fact=cost-error]")).to_contain_text(
        "No credentials were found. It is tried again at"
    )
    expect(page.locator("tr[data-day]")).to_have_count(4)
