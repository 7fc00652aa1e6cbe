"""A whole product for a browser: API, worker and dashboard as processes, a small synthetic topic, and Chromium."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from embedded.process import HOST, Part, free_port
from ml_guard import MLGuardClient
from ml_guard.replay.session import Session
from ml_guard.replay.topic import make_topic
from stream.migrate import migrate
from stream.settings import Settings
from stream.topics import ensure_topics
from tests.alerting.conftest import Receiver, listening
from tests.conftest import _renew_schema, run_apart

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KEY = "demo-key"
EVENTS = 15_000
CHURN = "project=north-bank&model=churn_model_v1&endpoint=predict"
EVERY_PAGE = {
    "page=overview": "Requests today",
    f"page=model&{CHURN}": "Drift by feature and day",
    f"page=feature&{CHURN}&feature=balance": "The numbers",
    f"page=baselines&{CHURN}": "Capture a new version",
    "page=alerts": "all projects",
    "page=policies": "What is alerted on",
    "page=policies&condition=drift": "Try over the past",
    "page=costs": "what AWS billed",
    "page=health": "Ledger by project and day",
}
"""What stands on each page."""
WAIT_S = 60.0
LOOK_MS = 10_000
"""How long a test waits for what must appear; a loaded machine is slow, a wrong page stays wrong."""


@dataclass
class Product:
    """What runs, and how to cut the API off and bring it back."""

    api_url: str
    dashboard_url: str
    start_api: Callable[[], Part]
    start_dashboard: Callable[..., tuple[str, Part]]
    database_url: str
    api: Part
    desk: Receiver

    def client(self, key: str = KEY) -> MLGuardClient:
        return MLGuardClient(base_url=self.api_url, api_key=key)


def wait_for(condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=3).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="package")
def product(
    kafka: str, bare_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """Alerts go to the channel `desk`, which takes them, and to `closed`, where nobody listens."""
    stack = ExitStack()
    folder, name, api_port = (
        tmp_path_factory.mktemp("dashboards"),
        f"events-{uuid.uuid4().hex[:8]}",
        free_port(),
    )
    run_apart(_renew_schema(bare_database_url))
    run_apart(migrate(bare_database_url))
    run_apart(ensure_topics(Settings(kafka=kafka, topic=name, dead_topic=f"{name}.dead")))
    api_url = f"http://{HOST}:{api_port}"
    desk = stack.enter_context(listening())
    channels = {"desk": {"slack": desk.url}, "closed": {"slack": f"http://{HOST}:{free_port()}/hook"}}
    given = {
        "ML_GUARD_KAFKA": kafka,
        "ML_GUARD_DATABASE_URL": bare_database_url,
        "ML_GUARD_TOPIC": name,
        "ML_GUARD_DEAD_TOPIC": f"{name}.dead",
        "ML_GUARD_GROUP": name,
        "ML_GUARD_API_PORT": str(api_port),
        "ML_GUARD_DEMO_KEY": KEY,
        "ML_GUARD_GRACE_S": "1",
        "ML_GUARD_SETTLE_S": "0.5",
        "ML_GUARD_ALERT_CHANNELS": json.dumps(channels),
        "TMPDIR": str(folder),
    }
    parts: list[Part] = []

    def start(module: str, log: str, **extra: str) -> Part:
        part = Part(
            module, [sys.executable, "-m", module], folder / f"{log}.log", env={**given, **extra}, cwd=ROOT
        )
        parts.append(part)
        return part

    def start_api() -> Part:
        part = start("api", "api")
        part.wait_until(lambda: answers(f"{api_url}/api/v1/health"), WAIT_S)
        return part

    def start_dashboard(prefix: str = "", module: str = "dashboards.live", **extra: str) -> tuple[str, Part]:
        port = free_port()
        url = f"http://{HOST}:{port}{prefix}"
        own = {
            "ML_GUARD_URL": api_url,
            "ML_GUARD_DASHBOARD_PORT": str(port),
            "ML_GUARD_DASHBOARD_PREFIX": prefix,
        }
        part = start(module, f"dashboard-{port}", **own, **extra)
        part.wait_until(lambda: answers(f"{url}/health"), WAIT_S)
        return f"{url}/", part

    try:
        worker = start("stream", "worker")
        api = start_api()
        url, _ = start_dashboard()
        made = Product(api_url, url, start_api, start_dashboard, bare_database_url, api, desk)
        with (
            made.client() as client,
            ThreadPoolExecutor(1) as pool,
        ):  # the browser's loop may run in this thread
            pool.submit(replay, client, kafka, name).result()
        assert worker.exit_code is None
        yield made
    finally:
        for part in reversed(parts):
            part.stop()
        stack.close()


def replay(client: MLGuardClient, kafka: str, name: str) -> None:
    """A week of clean days as the baseline, then days with planted drift."""
    wait_for(lambda: client.ready().status == "ready")
    session = Session(client, make_topic(1, events=EVENTS), kafka, events_topic=name)
    session.create_projects()
    session.send("baseline")
    session.wait_folded()
    session.wait_settled()
    session.capture()
    session.send("scored")
    session.wait_folded()
    session.wait_settled()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail(
            "the dashboard's tests drive Chromium: install the package `chromium` (apt-get install chromium)"
        )
    expect.set_options(timeout=LOOK_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(LOOK_MS)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, product: Product) -> Iterator[Page]:
    """A page that has logged in; any error in its console fails the test."""
    opened = context.new_page()
    errors = watched(opened)
    log_in(opened, product.dashboard_url)
    yield opened
    assert errors == []


def watched(page: Page) -> list[str]:
    """Errors of the page, as they come; so are requests to anywhere else."""
    errors: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: (errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((f"http://{HOST}:", f"https://{HOST}:", "blob:", "data:"))
            else errors.append(request.url)
        ),
    )
    return errors


def log_in(page: Page, url: str, key: str = KEY) -> None:
    page.goto(url)
    page.fill("#key", key)
    page.click("button.main")
    page.wait_for_selector(".head")
