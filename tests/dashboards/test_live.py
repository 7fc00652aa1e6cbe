"""Does an open page follow what happens?"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from playwright.sync_api import Page, expect

from tests.dashboards.conftest import CHURN, Product

SECONDS_TO_THE_PAGE = 10.0
"""Two seconds on a quiet machine; CI machines are shared."""


def send(product: Product, count: int = 1, **fields: object) -> None:
    event = {
        "project_id": "north-bank",
        "model_id": "churn_model_v1",
        "endpoint": "predict",
        "timestamp": datetime.now(UTC).isoformat(),
        "latency_ms": 40.0,
        "y_pred": 1,
        "features": {"age": 44, "country": "CA"},
        **fields,
    }
    with product.client() as client:
        assert client.ingest_batch([event] * count) == count
        assert client.flush()


def number(page: Page, selector: str) -> int:
    return int((page.locator(selector).first.text_content() or "0").replace(",", ""))


def test_an_event_shows_on_the_open_page_within_seconds(page: Page, product: Product) -> None:
    row = "tr[data-model=churn_model_v1] [data-fact=requests]"
    before = number(page, row)
    send(product, 3)
    sent = time.monotonic()
    expect(page.locator(row)).to_have_text(f"{before + 3:,}", timeout=SECONDS_TO_THE_PAGE * 1000)
    print(f"shown after {time.monotonic() - sent:.2f} s")


def test_an_update_keeps_focus_and_nodes_and_does_not_load_anew(page: Page, product: Product) -> None:
    page.goto(f"{product.dashboard_url}?page=model&{CHURN}")
    cell = page.get_by_role("row", name="country").locator("a[data-verdict]").last
    cell.focus()
    kept = page.evaluate_handle(
        "() => { let at = document.activeElement; while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement; "
        "window.kept = at; return at }"
    )
    assert kept.as_element() is not None
    before = number(page, "[data-fact=requests]")
    send(product, 2)
    expect(page.locator("[data-fact=requests]")).to_have_text(
        f"{before + 2:,}", timeout=SECONDS_TO_THE_PAGE * 1000
    )
    assert page.evaluate(
        "() => { let at = document.activeElement; while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement; "
        "return at === window.kept && at.isConnected }"
    )


def test_the_feature_of_today_moves(page: Page, product: Product) -> None:
    page.goto(f"{product.dashboard_url}?page=feature&{CHURN}&feature=country")
    expect(page.get_by_text("open, moving")).to_be_visible()
    counts = page.locator("tr[data-bin=CA] td").nth(1)
    before = int((counts.text_content() or "").replace(",", ""))
    send(product, 4)
    expect(counts).to_have_text(f"{before + 4:,}", timeout=SECONDS_TO_THE_PAGE * 1000)


def test_when_the_api_is_cut_the_page_says_so_and_recovers_by_itself(page: Page, product: Product) -> None:
    row = "tr[data-model=churn_model_v1] [data-fact=requests]"
    before = number(page, row)
    product.api.kill()
    try:
        expect(page.locator(".state")).to_contain_text("stale")
        expect(page.get_by_role("alert")).to_contain_text("may be out of date")
        expect(page.locator(row)).to_have_text(f"{before:,}")
    finally:
        product.api = product.start_api()
    expect(page.locator(".state")).to_contain_text("live")
    expect(page.get_by_role("alert")).to_have_count(0)
    send(product)
    expect(page.locator(row)).to_have_text(f"{before + 1:,}", timeout=SECONDS_TO_THE_PAGE * 1000)
