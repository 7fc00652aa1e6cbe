"""Do the snippets of docs/integrate.md work as they are printed?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from embedded.process import HOST
from tests.compose.services import ROOT, WAIT_S, Ports

SNIPPETS = re.findall(r"```(bash|python)\n(.*?)```", (ROOT / "docs" / "integrate.md").read_text(), re.DOTALL)


def test_every_snippet_of_the_page_runs_and_its_events_are_counted(running: Ports) -> None:
    url = f"http://{HOST}:{running.api}"
    env = os.environ | {
        "ML_GUARD_URL": url,
        "ML_GUARD_API_KEY": "demo-key",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for language, text in SNIPPETS:
        placed = text.replace("http://localhost:8000", url).replace(
            "localhost:9092", f"{HOST}:{running.kafka}"
        )
        shell = (
            [sys.executable, "-W", "error", "-c"]
            if language == "python"
            else ["bash", "-euo", "pipefail", "-c"]
        )
        done = subprocess.run(
            [*shell, placed], env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr

    wanted = {"churn_v1": 3, "ltv_nightly": 100}
    deadline, counted = time.monotonic() + WAIT_S, dict[str, int]()
    while counted != wanted:
        if time.monotonic() > deadline:
            pytest.fail(f"counted {counted}, sent {wanted}")
        time.sleep(0.1)
        answer = httpx.get(
            f"{url}/api/v1/metrics/daily",
            params={"project_id": "shop"},
            headers={"X-API-Key": "demo-key"},
            timeout=30,
        )
        counted = {row["model_id"]: row["requests"] for row in answer.json()["items"]}
