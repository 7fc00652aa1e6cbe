"""How long does a page of the dashboard take until its contents are there?

A browser with an empty cache opens each page of the demo several times: the clock starts with the request and stops
when the page's data are in the document and its charts are drawn. So server, API, scripts, websocket and drawing are
all in it. Then the same with what a browser keeps from page to page.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

from playwright.sync_api import Browser, BrowserContext, sync_playwright
from rich.console import Console
from rich.table import Table

from bench.demo import CHROMIUM, CHURN, FLAGS, demo

WANTED_S = 2.0
PAGES = {
    "overview": ("page=overview", "tr.goes", 0),
    "model": (f"page=model&{CHURN}", ".heat", 3),
    "feature": (f"page=feature&{CHURN}&feature=age", "[data-fact=psi]", 2),
    "baselines": (f"page=baselines&{CHURN}", ".calendar", 0),
    "alerts": ("page=alerts", "tr[data-alert], .empty", 0),
    "policies": ("page=policies", "tr[data-policy]", 0),
    "health": ("page=health", "tbody tr", 0),
}
"""The query, what shows that the data are there, and how many charts are drawn."""
DRAWN = """charts => {
    const seen = (node) => [...node.querySelectorAll("*")].flatMap((one) =>
        one.tagName === "CANVAS" ? [one] : one.shadowRoot ? seen(one.shadowRoot) : [])
    return seen(document).filter((canvas) => canvas.width > 100).length >= charts
}"""


@dataclass(frozen=True)
class FirstView:
    """Seconds of a page, with an empty cache and with a warm one."""

    page: str
    cold_s: list[float]
    warm_s: list[float]

    @property
    def cold(self) -> float:
        return statistics.median(self.cold_s)


def measure(browser: Browser, url: str, key: str, name: str, rounds: int) -> FirstView:
    """A page, opened anew each time."""
    cold, warm = [], []
    for _ in range(rounds):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        log_in(context, url, key)
        cold.append(_opened(context, url, name))
        warm.append(_opened(context, url, name))
        context.close()
    return FirstView(name, cold, warm)


def log_in(context: BrowserContext, url: str, key: str) -> None:
    """By request: the browser itself has loaded nothing yet."""
    answer = context.request.post(f"{url}/login", form={"key": key, "next": ""}, max_redirects=0)
    if answer.status != 303:
        raise SystemExit(f"{url}/login answered {answer.status}")


def _opened(context: BrowserContext, url: str, name: str) -> float:
    query, there, charts = PAGES[name]
    page = context.new_page()
    began = time.monotonic()
    page.goto(f"{url}/?{query}", wait_until="commit")
    page.wait_for_selector(there)
    page.wait_for_function(DRAWN, arg=charts)
    took = time.monotonic() - began
    page.close()
    return took


def report(rows: list[FirstView]) -> Table:
    """A page a row."""
    table = Table(title="First view: from the request to the page with its data and charts")
    for column in ("page", "empty cache, median", "longest", "warm cache, median", "longest"):
        table.add_column(column, justify="left" if column == "page" else "right")
    for row in rows:
        table.add_row(
            row.page,
            f"{row.cold:.2f} s",
            f"{max(row.cold_s):.2f} s",
            f"{statistics.median(row.warm_s):.2f} s",
            f"{max(row.warm_s):.2f} s",
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--running", action="store_true", help="on the stack that runs, not on one of its own"
    )
    parser.add_argument("--url", help="of another dashboard of that stack")
    options = parser.parse_args()
    with demo(options.running) as where, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        url = options.url or where.dashboard_url or ""
        rows = [measure(browser, url, where.api_key or "", name, options.rounds) for name in PAGES]
        browser.close()
    Console().print(report(rows))
    return 0 if all(row.cold <= WANTED_S for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
