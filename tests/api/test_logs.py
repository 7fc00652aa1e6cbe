"""Is every line that a service writes a JSON object where that is set, uvicorn's too, and without a secret?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest

from embedded.process import HOST, free_port
from stream.settings import Settings


def run(module: str, variables: dict[str, str], url: str, then: Callable[[httpx.Client], None]) -> list[str]:
    """The lines of a service that was started, used and ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        env={**os.environ, "ML_GUARD_LOG_FORMAT": "json", **variables},
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with httpx.Client(base_url=url, transport=httpx.HTTPTransport(retries=8), timeout=30) as client:
            then(client)
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    return out.splitlines()


def test_every_line_of_the_api_is_json_and_none_has_a_secret(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    port = free_port()
    variables = {
        "ML_GUARD_KAFKA": settings.kafka,
        "ML_GUARD_DATABASE_URL": settings.database_url.replace("/ml_guard", "/no_such_database"),
        "ML_GUARD_TOPIC": settings.topic,
        "ML_GUARD_DEMO_KEY": "demo-key",
        "ML_GUARD_API_PORT": str(port),
    }

    def use(client: httpx.Client) -> None:
        assert client.get("/health").status_code == 200
        client.get("/live", headers={"X-API-Key": "mlg_wrong-and-secret"})

    lines = run("api", variables, f"http://{HOST}:{port}/api/v1", use)
    rows = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger", "message"} <= row.keys() for row in rows)
    assert {"uvicorn.error", "api.app"} <= {row["logger"] for row in rows}
    for secret in ("demo-key", "mlg_wrong-and-secret", "ml_guard:ml_guard@"):
        assert not any(secret in line for line in lines)


def test_every_line_of_the_dashboard_is_json() -> None:
    port = free_port()
    variables = {"ML_GUARD_DASHBOARD_PORT": str(port), "ML_GUARD_URL": f"http://{HOST}:{free_port()}"}
    url = f"http://{HOST}:{port}"
    rows = [json.loads(line) for line in run("dashboards.live", variables, url, lambda c: c.get("/health"))]
    assert rows
    assert all({"time", "level", "logger", "message"} <= row.keys() for row in rows)


@pytest.mark.parametrize("module", ["api", "stream"])
def test_a_service_that_refuses_to_start_says_why_in_json(module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module],
        env={**os.environ, "ML_GUARD_LOG_FORMAT": "json", "ML_GUARD_ENV": "production", "ML_GUARD_DEMO_KEY": "demo-key"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    (row,) = [json.loads(line) for line in (ended.stdout + ended.stderr).splitlines()]
    assert (ended.returncode, row["level"]) == (2, "critical")
    assert "ML_GUARD_DEMO_KEY" in row["message"]


PROGRAM = """
import logging, threading, warnings
from ml_guard.service_logs import set_up_logs
noisy = logging.getLogger("noisy"); noisy.addHandler(logging.StreamHandler()); noisy.propagate = False
set_up_logs("json", {"quiet": "WARNING"})
logging.getLogger("stream.x").warning('a "quoted"\\nline %d', 7, extra={"partition": 3, "message_id": "m"})
logging.getLogger("quiet").info("not heard")
noisy.warning("a library")
warnings.warn("an old call", DeprecationWarning)
thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()
raise ValueError("boom")
"""


def test_a_line_has_what_was_bound_and_nothing_escapes_the_format() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "always", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    first, library, warning, thread, last = [json.loads(line) for line in ended.stderr.splitlines()]
    assert (ended.returncode, ended.stdout) == (1, "")
    assert list(first)[:4] == ["time", "level", "logger", "message"]
    assert first["time"].endswith("+00:00")
    assert (first["level"], first["logger"], first["message"]) == (
        "warning",
        "stream.x",
        'a "quoted"\nline 7',
    )
    assert (first["partition"], first["message_id"]) == (3, "m")
    assert library["message"] == "a library"
    assert "an old call" in warning["message"]
    assert "ZeroDivisionError" in thread["exc_info"]
    assert "ValueError: boom" in last["exc_info"]
