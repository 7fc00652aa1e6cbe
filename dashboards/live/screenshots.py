"""What do the pages look like? `python -m dashboards.live.screenshots` photographs each, light, dark and on a phone.

It takes the stack that runs, so run `make demo` first; the pictures are written to docs/images.
"""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, sync_playwright

from dashboards.live.where import answers
from ml_guard import MLGuardClient
from ml_guard.cli.connection import DOCKER_DASHBOARD, Address, find

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
FOLDER = Path(__file__).parents[2] / "docs" / "images"
SIZES = {"light": (1280, 800), "dark": (1280, 800), "phone": (390, 844)}
LONGEST = {"light": 1700, "dark": 1700, "phone": 1500}
"""Pages that are longer are cut off here: a picture is to be looked at, and below 300 KB."""
SETTLE_MS = 1200


def main() -> int:
    """Write the pictures and say which."""
    where = find()
    url = where.dashboard_url or DOCKER_DASHBOARD
    if not answers(url):
        print(f"no dashboard answers at {url}: run `make demo` first", file=sys.stderr)
        return 1
    pages = addresses(where)
    if not pages:
        print("there is no model with drift to show: run `make demo` first", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for kind in SIZES:
            for name, size in photograph(browser, kind, url, where.api_key or "", pages):
                print(f"{name}  {size / 1024:.0f} KB")
        browser.close()
    return 0


def addresses(where: Address) -> dict[str, str]:
    """The query string of each page, around the strongest drift that there is."""
    with MLGuardClient(base_url=where.url, api_key=where.api_key) as client:
        rows = [row for row in client.drift_daily(verdict="drift") if not row.feature.startswith("@")]
        if not rows:
            return {}
        categorical = [row for row in rows if row.kind == "categorical"] or rows
        worst = max(categorical, key=lambda row: row.psi or 0)
        open_alerts = client.alerts.list(state="open", project_id=worst.project_id, model_id=worst.model_id)
        alert = [row for row in open_alerts if row.features]
    model = {"project": worst.project_id, "model": worst.model_id, "endpoint": worst.endpoint}
    feature = {**model, "feature": worst.feature, "day": worst.day.isoformat()}
    pages: dict[str, dict[str, str]] = {
        "overview": {},
        "model": model,
        "feature": feature,
        "baselines": model,
        "alerts": {},
    }
    if alert:
        pages["alert"] = {"alert": alert[0].alert_id}
    pages |= {"policies": {"condition": "drift"}, "costs": {"project": worst.project_id}, "health": {}}
    return {name: urlencode({"page": name, **query}) for name, query in pages.items()}


def photograph(
    browser: Browser, kind: str, url: str, key: str, pages: dict[str, str]
) -> list[tuple[str, int]]:
    """One picture a page; what was written, and how large."""
    width, height = SIZES[kind]
    scheme = "dark" if kind == "dark" else "light"
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{url}/")
    written = [_shoot(page, f"login-{kind}.png", height)]
    page.fill("#key", key)
    page.click("button.main")
    page.wait_for_selector(".head")
    for name, query in pages.items():
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{url}/?{query}")
        page.wait_for_selector(".head")
        page.wait_for_timeout(SETTLE_MS)
        full = int(page.evaluate("document.documentElement.scrollHeight"))
        written.append(_shoot(page, f"{name}-{kind}.png", min(max(full, height), LONGEST[kind])))
    context.close()
    return written


def _shoot(page: Page, name: str, height: int) -> tuple[str, int]:
    size = page.viewport_size or {"width": 1280, "height": 800}
    page.set_viewport_size({"width": size["width"], "height": height})
    page.wait_for_timeout(SETTLE_MS // 2)
    path = FOLDER / name
    page.screenshot(path=path)
    return name, path.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
