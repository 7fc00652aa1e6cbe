"""Does a page grow that stays open?

An hour has 14,400 updates where something changes every 250 ms. The page gets as many: events are sent all the time,
and a dashboard without its pauses (`bench.quick_dashboard`) reads and paints again and again. What the browser and
the dashboard's process hold is compared after each eighth, the browser's heap after garbage was collected.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.sync_api import CDPSession, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from bench.demo import CHROMIUM, FLAGS, demo
from bench.first_view import PAGES, log_in
from embedded.process import free_port
from ml_guard import MLGuardClient
from ml_guard.cli.connection import Address

HOUR = 14_400
PARTS = 8
WANTED_HEAP, WANTED_SERVER = 1.05, 1.10
"""From the second eighth to the last: what is filled once is filled by then."""


@dataclass(frozen=True)
class Held:
    """What is held after so many updates."""

    updates: int
    heap_mb: float
    nodes: int
    listeners: int
    server_mb: float


@contextmanager
def quick_dashboard(where: Address) -> Iterator[tuple[str, int]]:
    """Its address and its process id."""
    port = free_port()
    environment = {**os.environ, "ML_GUARD_URL": where.url, "ML_GUARD_DASHBOARD_PORT": str(port)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.quick_dashboard"], env=environment, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            while not _answers(f"{url}/health"):
                if process.poll() is not None:
                    raise SystemExit("the dashboard ended by itself")
                time.sleep(0.1)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def events(where: Address) -> Iterator[None]:
    """One every tenth of a second, as long as it lasts."""
    over = threading.Event()

    def send() -> None:
        with MLGuardClient(base_url=where.url, api_key=where.api_key) as client:
            number = 0
            while not over.wait(0.1):
                number += 1
                client.ingest_event(
                    project_id="north-bank",
                    model_id="churn_model_v1",
                    endpoint="predict",
                    timestamp=datetime.now(UTC),
                    latency_ms=30.0 + number % 40,
                    y_pred=number % 2,
                    features={"age": 20 + number % 60, "country": ("CA", "US", "IN")[number % 3]},
                )

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


NODES = """() => {
    const below = (root) => [...root.querySelectorAll("*")].reduce(
        (sum, one) => sum + 1 + (one.shadowRoot ? below(one.shadowRoot) : 0), 0)
    return below(document)
}"""
"""The elements of the page, shadow roots included; the browser's own count has those that wait for its collector."""


def held(page: Page, cdp: CDPSession, updates: int, server: int) -> Held:
    """Now, after garbage was collected."""
    for _ in range(2):
        cdp.send("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in cdp.send("Performance.getMetrics")["metrics"]}
    status = Path(f"/proc/{server}/status").read_text(encoding="ascii")
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return Held(
        updates,
        metrics["JSHeapUsedSize"] / 1e6,
        int(page.evaluate(NODES)),
        int(metrics["JSEventListeners"]),
        int(resident.split()[1]) / 1e3,
    )


def soak(where: Address, name: str, updates: int) -> list[Held]:
    """What is held after each eighth of so many updates of a page."""
    query, there, _ = PAGES[name]
    rows: list[Held] = []
    with quick_dashboard(where) as (url, server), events(where), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        log_in(context, url, where.api_key or "")
        page = context.new_page()
        frames = [0]
        page.on("websocket", lambda socket: socket.on("framereceived", lambda _: _count(frames)))
        cdp = context.new_cdp_session(page)
        cdp.send("Performance.enable")
        page.goto(f"{url}/?{query}")
        page.wait_for_selector(there)
        begin = frames[0]
        for part in range(1, PARTS + 1):
            while (done := frames[0] - begin) < updates * part // PARTS:
                page.wait_for_timeout(100)
            rows.append(held(page, cdp, done, server))
        browser.close()
    return rows


def _count(frames: list[int]) -> None:
    frames[0] += 1


def report(name: str, rows: list[Held], took_s: float) -> Table:
    """An eighth a row."""
    table = Table(
        title=f"A page that stays open: {name}, {rows[-1].updates:,} updates in {took_s / 60:.0f} min"
    )
    for column in ("updates", "heap, MB", "elements", "listeners", "dashboard's process, MB"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            f"{row.updates:,}",
            f"{row.heap_mb:.1f}",
            f"{row.nodes:,}",
            f"{row.listeners:,}",
            f"{row.server_mb:.0f}",
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", default="model", choices=PAGES)
    parser.add_argument("--updates", type=int, default=HOUR)
    parser.add_argument(
        "--running", action="store_true", help="on the stack that runs, not on one of its own"
    )
    options = parser.parse_args()
    began = time.monotonic()
    with demo(options.running) as where:
        rows = soak(where, options.page, options.updates)
    Console().print(report(options.page, rows, time.monotonic() - began))
    early, late = rows[1], rows[-1]
    grown = late.heap_mb > early.heap_mb * WANTED_HEAP or late.server_mb > early.server_mb * WANTED_SERVER
    return 1 if grown or late.nodes > early.nodes * WANTED_HEAP or late.listeners > early.listeners else 0


if __name__ == "__main__":
    raise SystemExit(main())
