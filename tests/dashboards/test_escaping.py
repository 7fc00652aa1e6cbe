"""Is every name shown as the text that it is? Names that would be markup, links, templates and mentions, on every page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.dashboards.conftest import KEY, Product, log_in, wait_for, watched

NASTY = (
    """'"><script>window.ran=1</script><img src=x onerror=window.ran=2>{{7*7}}${7*7}<!channel>[x](javascript:window.ran=3)"""
    "$$x$$&lt;\u202e"
)
"""Ends in a sign that turns the direction of what follows."""
LINK = "javascript:window.ran=4"
PROJECT = "nasty-names"
EVENTS = 400

SEEN = """() => {
    const texts = [], strange = []
    const walk = (root) => {
        for (const one of root.querySelectorAll("*")) {
            if (one.shadowRoot) walk(one.shadowRoot)
            if (one.matches("img, iframe, object, embed")) strange.push(one.outerHTML)
            for (const {name, value} of one.attributes)
                if (/^on/.test(name) || /^\\s*javascript:/i.test(value) && /^(href|src|action|formaction)$/.test(name))
                    strange.push(one.outerHTML)
        }
        for (const one of root.querySelectorAll("script"))
            if (root !== document || one.textContent.includes("window.ran")) strange.push(one.outerHTML)
        texts.push(root === document ? document.body.innerText : [...root.children].filter((one) => one.tagName !== "STYLE")
            .map((one) => one.innerText).join(" "))
    }
    walk(document)
    return {text: texts.join(" ").replace(/\\s+/g, " "), strange, ran: window.ran, title: document.title}
}"""


def events(day: datetime, label: str) -> list[dict[str, Any]]:
    """A day's events, from its begin."""
    return [
        {"project_id": PROJECT, "model_id": NASTY, "endpoint": NASTY, "y_pred": NASTY,
         "timestamp": (day + timedelta(seconds=index)).isoformat(), "latency_ms": 5,
         "features": {NASTY: index % 17, LINK: label if index % 2 else "CA"}}
        for index in range(EVENTS)
    ]  # fmt: skip


@dataclass
class Planted:
    """What there is to look at, and a key with a nasty name."""

    key: str
    alert: str
    day: str


@pytest.fixture(scope="module")
def planted(product: Product) -> Planted:
    """Two days for a baseline, then one that drifted, and an alert about it; all names nasty."""
    with httpx.Client(base_url=f"{product.api_url}/api/v1", headers={"X-API-Key": KEY}, timeout=60) as api:
        return plant(api)


def plant(api: httpx.Client) -> Planted:
    def post(path: str, body: Any, method: str = "POST") -> Any:
        return api.request(method, path, json=body).raise_for_status().json()

    def listed(path: str) -> list[Any]:
        rows: list[Any] = api.get(path, params={"project_id": PROJECT}).raise_for_status().json()["items"]
        return rows

    def known() -> bool:
        state = api.get("/ready").json()
        return all(one["catalog_generation"] >= state["catalog_generation"] for one in state["partitions"])

    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    before, last = [midnight - timedelta(days=n) for n in (3, 2)], midnight - timedelta(days=1)
    which = {"project_id": PROJECT, "model_id": NASTY, "endpoint": NASTY}
    post("/projects", {"project_id": PROJECT, "zone": "UTC", "name": NASTY})
    post("/events", [event for day in before for event in events(day, NASTY)])
    wait_for(lambda: [row["status"] for row in listed("/metrics/daily")] == ["final"] * 2)
    post("/baselines", {**which, "days": [str(day.date()) for day in before], "note": NASTY})
    wait_for(known)
    post("/alert-policies", {"condition": "drift", "name": NASTY, **which, "feature": LINK, "days": 1}, "PUT")
    post("/events", events(last, "US") + events(midnight - timedelta(seconds=1), NASTY)[1:2])
    wait_for(lambda: bool(listed("/alerts")))
    made = post("/keys", {"name": NASTY[:128], "scopes": ["read", "operate"], "project_ids": None})
    return Planted(made["key"], listed("/alerts")[0]["alert_id"], str(last.date()))


def seen(page: Page) -> Any:
    return page.evaluate(SEEN)


def as_shown(text: str) -> str:
    """Signs that would turn the text around them are written out."""
    return re.sub(r"\s+", " ", text).replace("\u202e", "\\u202e")


def test_names_are_shown_as_text_on_every_page_and_run_nothing(
    planted: Planted, context: BrowserContext, product: Product
) -> None:
    page = context.new_page()
    errors = watched(page)
    log_in(page, product.dashboard_url, planted.key)
    of = urlencode({"project": PROJECT, "model": NASTY, "endpoint": NASTY})
    feature = urlencode({"feature": LINK, "day": planted.day})
    pages = {
        "page=overview": [NASTY],
        f"page=model&{of}": [NASTY, LINK],
        f"page=feature&{of}&{feature}": [NASTY, LINK, "unseen"],
        f"page=baselines&{of}&version=1": [NASTY, LINK],
        f"page=alerts&project={PROJECT}": [NASTY, LINK],
        f"page=alert&alert={planted.alert}": [NASTY, LINK],
        "page=policies": [NASTY],
        f"page=policies&policy={quote(NASTY)}&{of}&feature={quote(LINK)}": [NASTY, LINK],
        f"page=costs&project={PROJECT}": [NASTY],
        f"page=model&project={PROJECT}&model={quote(LINK + NASTY)}": [NASTY],
        f"page={quote(NASTY)}": [NASTY[:40]],
    }
    for query, shown in pages.items():
        page.goto(f"{product.dashboard_url}?{query}")
        expect(page.locator(".state")).to_contain_text("live")
        expect(page.locator(".skeleton")).to_have_count(0)
        page.wait_for_function(
            f"shown => shown.every(text => ({SEEN})().text.includes(text))",
            arg=[as_shown(one) for one in shown],
        )
        found = seen(page)
        assert found["strange"] == [], query
        assert found["ran"] is None, query
        assert "\u202e" not in found["text"] + found["title"], query
        if "policy=" in query:  # what a form gives back is what was set
            assert {one.input_value() for one in page.locator("form.policy input[readonly]").all()} == {NASTY}
    assert errors == []


def test_a_bar_of_a_nasty_label_says_it_as_text(
    planted: Planted, context: BrowserContext, product: Product
) -> None:
    page = context.new_page()
    errors = watched(page)
    log_in(page, product.dashboard_url, planted.key)
    of = {"project": PROJECT, "model": NASTY, "endpoint": NASTY, "feature": "@y_pred", "day": planted.day}
    page.goto(f"{product.dashboard_url}?page=feature&{urlencode(of)}")
    canvas = page.locator("canvas").first
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box is not None
    shown = page.get_by_text(as_shown(NASTY)[:40])
    before = shown.count()
    for step in range(1, 40):
        page.mouse.move(box["x"] + box["width"] * step / 40, box["y"] + box["height"] / 2)
        page.wait_for_timeout(50)
        if shown.count() > before:
            break
    else:
        raise AssertionError("no bar showed its label")
    found = page.evaluate(SEEN)
    assert (found["strange"], found["ran"]) == ([], None)
    assert errors == []


def test_a_message_mentions_nobody_and_links_to_the_dashboard_only(
    planted: Planted, product: Product
) -> None:
    def told() -> list[str]:
        return [text for text in product.desk.texts if PROJECT in text]

    wait_for(lambda: bool(told()))
    for text in told():
        assert "&lt;!channel&gt;" in text
        assert re.findall("[<>\u202e]", text) == []
