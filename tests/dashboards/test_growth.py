"""Does a page stay as it is that is updated hundreds of times? `python -m bench.open_page` is the long form."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, expect

from bench.open_page import NODES
from tests.dashboards.conftest import CHURN, WAIT_S, Product, log_in, wait_for
from tests.dashboards.test_live import send

WARM_UP, UPDATES = 60, 240


def test_hundreds_of_updates_leave_no_node_no_listener_and_no_memory_behind(
    context: BrowserContext, product: Product
) -> None:
    url, dashboard = product.start_dashboard(module="bench.quick_dashboard")
    page = context.new_page()
    log_in(page, url)
    frames: list[int] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda _: frames.append(1)))
    page.goto(f"{url}?page=model&{CHURN}")
    expect(page.locator(".heat")).to_be_visible()
    cdp = context.new_cdp_session(page)
    cdp.send("Performance.enable")

    def held() -> dict[str, float]:
        for _ in range(2):
            cdp.send("HeapProfiler.collectGarbage")
        metrics = {one["name"]: one["value"] for one in cdp.send("Performance.getMetrics")["metrics"]}
        return {**metrics, "elements": page.evaluate(NODES)}

    def updated(count: int) -> bool:
        page.wait_for_timeout(50)  # lets the browser's events through
        if len(frames) % 20 == 0:
            send(product, 1)
        return len(frames) >= count

    wait_for(lambda: updated(WARM_UP), 4 * WAIT_S)
    before = held()
    begun = len(frames)
    wait_for(lambda: updated(begun + UPDATES), 4 * WAIT_S)
    after = held()
    dashboard.stop()
    assert after["elements"] == before["elements"]
    assert after["JSEventListeners"] <= before["JSEventListeners"]
    assert after["JSHeapUsedSize"] < before["JSHeapUsedSize"] * 1.15
