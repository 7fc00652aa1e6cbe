"""Is docs/integrate.md true? Each snippet is taken from the page and run as its host would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedded.process import free_port
from ml_guard.stats import LOSSES
from tests.sdk.test_client import wait_for
from tests.sdk.test_hosts import ended, running

PAGE = (Path(__file__).parents[2] / "docs" / "integrate.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FILES = {match[1]: block for block in PYTHON if (match := re.match(r"# (\w+\.py)\n", block))}
SCRIPTS = [
    block
    for block in PYTHON
    if not block.startswith("# ") and "kafka=" not in block and "client.metrics(" not in block
]
"""What reads results needs the whole product: tests/compose runs it there."""


@pytest.fixture
def host(bridge: Any, tmp_path: Path) -> dict[str, str]:
    """The environment of a host whose folder has the page's files."""
    for name, block in FILES.items():
        (tmp_path / name).write_text(block)
    return {**os.environ, "ML_GUARD_URL": bridge.url, "ML_GUARD_API_KEY": "demo-key"}


def run(code: str, folder: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("block", SCRIPTS, ids=range(len(SCRIPTS)))
def test_a_script_runs_and_sends_without_a_loss(
    block: str, bridge: Any, host: dict[str, str], tmp_path: Path
) -> None:
    code = block.replace("http://localhost:8000", bridge.url).replace(
        "/tmp/ml-guard-spill", str(tmp_path / "s")
    )
    run(code, tmp_path, host)
    assert not any(outcome == "dropped" for _, outcome, _ in bridge.counted())
    sends = "check()" not in block and "RecordingClient" not in block
    assert bool(bridge.events) == sends
    assert all(event.project_id == "shop" for event in bridge.events)


def test_fastapi(bridge: Any, host: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "service:app", "--port", str(port)]
    with running(command, tmp_path, host) as server:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: reachable(url), 60)
        assert httpx.post(f"{url}/predict", json={"age": 29, "country": "CA"}).json() == 0.81
        assert httpx.post(f"{url}/predict", json={"age": "old"}).status_code == 422
        ended(server)
    (event,) = bridge.events
    assert (event.endpoint, event.y_pred, event.y_proba) == ("predict", True, 0.81)
    assert event.features == {"age": 29, "country": "CA"}
    assert event.latency_ms > 0


def test_flask(bridge: Any, host: dict[str, str], tmp_path: Path) -> None:
    run("import shop; shop.app.test_client().post('/predict', json={'age': 29})", tmp_path, host)
    (event,) = bridge.events
    assert (event.y_pred, event.features) == (0.81, {"age": 29})


def test_celery(bridge: Any, host: dict[str, str], tmp_path: Path) -> None:
    run("from tasks import score; assert score.apply(args=(29, 'CA')).get() == 0.81", tmp_path, host)
    (event,) = bridge.events
    assert (event.endpoint, event.y_pred, event.features) == ("score", 0.81, {"age": 29, "country": "CA"})


def test_airflow_counts_a_retried_task_once_in_the_day_that_it_is_about(
    bridge: Any, host: dict[str, str], tmp_path: Path
) -> None:
    task = (
        "from datetime import datetime, timezone; from nightly import score_customers\n"
        "context = {'data_interval_start': datetime(2026, 11, 24, tzinfo=timezone.utc), 'ds': '2026-11-24'}\n"
        "assert score_customers(**context) == 2"
    )
    bridge.answers.append(bridge.answer(drop_after_taking=True))
    for _ in range(3):
        run(task, tmp_path, host)
    assert [event.y_pred for event in bridge.events] == [1, 0]
    assert {event.timestamp for event in bridge.events} == {"2026-11-24T00:00:00+00:00"}
    assert bridge.seen_batches == {"score_customers/2026-11-24/0"}


def test_lambda_has_sent_before_it_is_frozen(bridge: Any, host: dict[str, str], tmp_path: Path) -> None:
    frozen = "import os; from handler import handler; print(handler({'age': 29}, None)); os._exit(0)"
    run(frozen, tmp_path, host)
    (event,) = bridge.events
    assert (event.y_proba, event.features) == (0.81, {"age": 29})


def test_spark(bridge: Any, host: dict[str, str], tmp_path: Path) -> None:
    job = (
        "import pandas as pd; from driver import report\n"
        "class Scored:\n"
        "    def select(self, *names): self.names = names; return self\n"
        "    def toPandas(self): return pd.DataFrame({n: [1, 2] for n in self.names})\n"
        "assert [report(Scored(), '2026-11-24') for _ in range(2)] == [2, 2]"
    )
    run(job, tmp_path, host)
    assert len(bridge.events) == 2


def test_every_file_of_the_page_has_its_test_and_every_loss_its_row() -> None:
    assert set(FILES) == {"service.py", "shop.py", "tasks.py", "nightly.py", "handler.py", "driver.py"} | {
        "training.py"
    }
    table = re.findall(r"^\| (`.*?) \| ", PAGE, re.MULTILINE)
    named = {name for row in table for name in re.findall(r"`(\w+)`", row)} - {"dropped"}
    assert named == set(LOSSES)


def reachable(url: str) -> bool:
    try:
        return httpx.get(f"{url}/openapi.json", timeout=10).status_code == 200
    except httpx.TransportError:
        return False
