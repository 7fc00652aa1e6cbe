"""Does a report of the real product open in a browser without a network, and say what the API says?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from ml_guard import MLGuardClient
from tests.dashboards.conftest import KEY, Product, watched

WIDTH = 1240
DEMO = "north-bank"


def written(product: Product, file: Path, *arguments: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "ml-guard", "--url", product.api_url, "--api-key", KEY, "report",
         *arguments, "--output", str(file)],
        env=os.environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(file) in done.stdout.replace("\n", "")


def opened(browser: Browser, file: Path) -> tuple[Page, list[str]]:
    context = browser.new_context(viewport={"width": WIDTH, "height": 900}, offline=True)
    page = context.new_page()
    errors = watched(page)
    page.goto(file.as_uri())
    return page, [error for error in errors if error != file.as_uri()]


def worst(client: MLGuardClient) -> tuple[str, str, str, str]:
    """A feature in drift that drifted most, with its project, model and day."""
    rows = client.drift_daily(project_id=DEMO, verdict="drift")
    row = max(rows, key=lambda one: one.psi or 0)
    return row.project_id, row.model_id, row.feature, str(row.day)


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    return Path(os.environ.get("ML_GUARD_TEST_SHOTS", tmp_path))


def test_a_report_of_a_range_says_what_moved_and_needs_no_network(
    product: Product, browser: Browser, tmp_path: Path, shots: Path
) -> None:
    with product.client() as client:
        project, model, feature, _ = worst(client)
        days = sorted({row.day for row in client.metrics_daily(project_id=project)})
        requests = sum(
            row.requests for row in client.metrics_daily(project_id=project, model_id=model, from_=days[-5])
        )
    file = tmp_path / "range.html"
    written(product, file, "--project", project, "--from", str(days[-5]), "--to", str(days[-1]))
    page, errors = opened(browser, file)
    section = page.locator("section", has=page.locator("h2", has_text=model)).first
    assert feature in section.locator("table").first.inner_text()
    assert f"{requests:,}" in section.locator(".tiles").inner_text()
    assert section.locator("article h3", has_text=feature).count() == 1
    assert section.locator("svg .cell.bad").count() >= 1
    assert "Every event that was decoded" in page.locator("section").last.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH
    assert errors == []
    page.screenshot(path=shots / "report-range.png", full_page=True)
    page.emulate_media(media="print")
    page.pdf(path=shots / "report.pdf", format="A4", print_background=True)
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(media="screen")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.context.close()


def test_a_report_of_a_day_has_its_hours_and_its_bins(
    product: Product, browser: Browser, tmp_path: Path, shots: Path
) -> None:
    with product.client() as client:
        project, model, feature, day = worst(client)
        (row,) = client.drift_daily(
            project_id=project, model_id=model, feature=feature, day=day, verdict="drift", bins=True
        )
    file = tmp_path / "day.html"
    written(product, file, "--project", project, "--model", model, "--day", day)
    page, errors = opened(browser, file)
    assert page.locator("figcaption", has_text=f"Requests by hour of {day}").count() == 1
    article = page.locator("article", has=page.locator("h3", has_text=feature)).first
    assert f"{row.psi:.3f}" in article.inner_text()
    assert article.locator("svg .bar.one").count() == len(row.bins)
    assert page.locator("h2").count() == 2
    assert errors == []
    page.screenshot(path=shots / "report-day.png", full_page=True)
    page.context.close()
