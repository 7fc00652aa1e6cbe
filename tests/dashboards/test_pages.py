"""Does every page show what there is, and does one find what moved?"""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from rich.console import Console

from ml_guard.cli.connection import Address
from ml_guard.cli.demo_view import ProjectResult, Result, draw
from ml_guard.cli.output import THEME
from tests.dashboards.conftest import CHURN, EVERY_PAGE, KEY, Product, log_in, watched


@pytest.mark.parametrize(("query", "shown"), EVERY_PAGE.items())
def test_every_page_shows_its_parts(page: Page, product: Product, query: str, shown: str) -> None:
    page.goto(f"{product.dashboard_url}?{query}")
    expect(page.get_by_text(shown, exact=False).first).to_be_visible()
    expect(page.locator(".state")).to_contain_text("live")
    expect(page.locator(".skeleton")).to_have_count(0)


def printed_by_the_demo(product: Product) -> tuple[str, str]:
    """The address and the key that `make demo` prints at its end."""
    where = Address(product.api_url, KEY, "", dashboard_url=product.dashboard_url.rstrip("/"))
    bank = ProjectResult("north-bank", "North Bank", "America/Toronto", [], [])
    with product.client() as client:
        result = Result([bank], client.ledger(), [], sent_again=0, planted=0, found=0, early=0)
    text = io.StringIO()
    Console(file=text, width=200, theme=THEME).print(draw(result, where, 1.0))
    found = re.search(r"look +(http\S+) +key (\S+)", text.getvalue())
    assert found is not None
    return found[1], found[2]


def test_from_what_the_demo_prints_to_the_bin_that_moved_are_three_clicks(
    context: BrowserContext, product: Product
) -> None:
    url, key = printed_by_the_demo(product)
    page = context.new_page()
    page.goto(url)
    page.fill("#key", key)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="churn_model_v1").click()
    page.get_by_role("row", name="country").locator("[data-verdict=drift]").last.click()
    sentence = page.locator("[data-fact=sentence]")
    expect(sentence).to_contain_text(re.compile(r"BR \+1\d.\d"))
    expect(sentence).to_contain_text(re.compile(r"US −1\d.\d"))
    moved = page.locator("tr[data-moved]")
    expect(moved).to_have_count(2)
    assert {row.get_attribute("data-bin") for row in moved.all()} == {"US", "BR"}


FOCUSED = """() => {
    let at = document.activeElement
    while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement
    return at.textContent.trim()
}"""


def test_one_gets_to_the_bin_by_keyboard_alone(page: Page) -> None:
    def tab_to(wanted: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if re.search(wanted, page.evaluate(FOCUSED)):
                return
        raise AssertionError(f"the tab key does not lead to {wanted}")

    expect(page.locator("tr.goes").first).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Skip to the page"
    tab_to("^churn_model_v1$")
    page.keyboard.press("Enter")
    expect(page.locator(".heat")).to_be_visible()
    tab_to("^▲")
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-moved]").first).to_be_visible()


def test_the_worst_model_stands_first(page: Page) -> None:
    first = page.locator("tr.goes").first
    expect(first).to_have_attribute("data-model", "churn_model_v1")
    assert {row.get_attribute("data-model") for row in page.locator("tr.goes").all()} >= {
        "fraud_v3",
        "outage_risk",
    }


def test_a_verdict_is_a_sign_and_not_a_colour_alone(page: Page, product: Product) -> None:
    page.goto(f"{product.dashboard_url}?page=model&{CHURN}")
    cell = page.locator("[data-verdict=drift]").first
    expect(cell).to_contain_text("▲")
    assert "drift, PSI " in (cell.get_attribute("aria-label") or "")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("page=nonsense", "There is no page “nonsense”"),
        ("page=feature&project=north-bank", "it names no model and no feature"),
        (f"page=model&{CHURN}&window=9y", "cannot be read and was left out"),
        ("page=model&project=north-bank&model=absent", "No event of a model absent was seen"),
        ("page=model&project=nobody&model=absent", "nobody"),
        (f"page=feature&{CHURN}&feature=absent", "had a feature absent"),
    ],
)
def test_a_broken_link_is_explained(page: Page, product: Product, query: str, said: str) -> None:
    page.goto(f"{product.dashboard_url}?{query}")
    expect(page.get_by_text(said).first).to_be_visible()


@pytest.mark.parametrize(
    ("query", "charts"),
    [
        (f"page=model&{CHURN}", {"minutes": "time,", "percentiles": "day,", "prediction": "day,"}),
        (f"page=feature&{CHURN}&feature=country", {"shares": "bin,", "history": "day,"}),
    ],
)
def test_each_chart_is_downloaded_as_png_and_as_csv(
    page: Page, product: Product, query: str, charts: dict[str, str]
) -> None:
    page.goto(f"{product.dashboard_url}?{query}")
    buttons = page.locator("[data-get=csv]")
    expect(buttons).to_have_count(len(charts))
    for name, begin in charts.items():
        with page.expect_download() as csv:
            page.locator(f"[data-get=csv][data-chart={name}]").click()
        lines = Path(csv.value.path()).read_text().splitlines()
        assert lines[0].startswith(begin)
        assert len(lines) > 2
        with page.expect_download() as png:
            page.locator(f"[data-get=png][data-chart={name}]").click()
        picture = Path(png.value.path()).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 2_000


def test_the_back_button_takes_back_what_was_chosen(page: Page, product: Product) -> None:
    page.goto(f"{product.dashboard_url}?page=model&{CHURN}")
    page.get_by_role("link", name="6h", exact=True).click()
    chosen = page.get_by_role("group", name="How far back").locator("[aria-current]")
    expect(chosen).to_have_text("6h")
    assert "window=6h" in page.url
    page.go_back()
    expect(chosen).to_have_text("24h")


def test_dark_colours_and_a_phone(context: BrowserContext, product: Product) -> None:
    page = context.new_page()
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    errors = watched(page)
    log_in(page, product.dashboard_url)
    for query in EVERY_PAGE:
        page.goto(f"{product.dashboard_url}?{query}")
        expect(page.locator(".head")).to_be_visible()
        assert page.evaluate("document.documentElement.dataset.scheme") == "dark"
        assert page.evaluate("document.documentElement.dataset.drawn") == "dark"
        page.wait_for_function("document.documentElement.scrollWidth <= 390")
    assert errors == []


def test_the_scheme_can_be_turned_and_stays(page: Page) -> None:
    page.get_by_role("button", name="Change between light and dark").click()
    page.wait_for_function("document.documentElement.dataset.drawn === 'dark'")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.scheme") == "dark"


def test_a_baseline_is_previewed_captured_compared_and_an_older_one_made_active(
    page: Page, product: Product
) -> None:
    page.goto(
        f"{product.dashboard_url}?page=baselines&project=reef-grid&model=load_forecast&endpoint=predict"
    )
    boxes = page.locator("input[name=days]")
    expect(boxes.first).to_be_visible()
    for index in range(3):
        boxes.nth(index).check()
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("[data-fact=preview]")).to_contain_text("of 3 days")
    page.fill("input[name=note]", "first three")
    page.get_by_role("button", name="Capture").click()
    expect(page.locator("[data-fact=said]")).to_contain_text(
        "Version 2 is captured and active, by the key “demo”"
    )
    expect(page.get_by_text("Version 1 against 2")).to_be_visible()
    page.locator("tr[data-version='1']").get_by_role("button", name="Make active").click()
    expect(page.locator("[data-fact=said]")).to_contain_text("Version 1 is active")
    with product.client() as client:
        rows = client.baselines.list(project_id="reef-grid", model_id="load_forecast")
    assert [(row.version, row.active) for row in rows] == [(2, False), (1, True)]
    assert (rows[0].captured_by, rows[0].note) == ("demo", "first three")


def test_a_key_that_may_only_read_sees_no_way_to_capture(context: BrowserContext, product: Product) -> None:
    with product.client() as client:
        reader = client.keys.create("reader", scopes=["read"], project_ids=["north-bank"]).key
    page = context.new_page()
    log_in(page, product.dashboard_url, reader)
    expect(page.locator("tr.goes")).to_have_count(2)
    page.goto(f"{product.dashboard_url}?page=baselines&{CHURN}")
    expect(page.get_by_text("may look only")).to_be_visible()
    expect(page.get_by_role("button", name="Capture")).to_have_count(0)
    page.goto(f"{product.dashboard_url}?page=model&project=reef-grid&model=load_forecast")
    expect(page.get_by_text("There is nothing here.")).to_be_visible()
    assert KEY not in page.content()
