"""On which stack are the dashboard's figures taken? The demo's: one that is started for it, or the one that runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from ml_guard.cli.connection import Address, find

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--enable-precise-memory-info",
)
CHURN = "project=north-bank&model=churn_model_v1&endpoint=predict"


@contextmanager
def demo(running: bool) -> Iterator[Address]:
    """Where the demo's stack answers."""
    if running:
        where = find()
        if not where.dashboard_url:
            raise SystemExit("no stack runs here: `make demo` starts one")
        yield where
        return
    ml_guard = [str(Path(sys.executable).with_name("ml-guard"))]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "ML_GUARD_DATA_DIR": folder, "STACK": "embedded"}
        try:
            subprocess.run(
                [*ml_guard, "demo", "--json"], env=environment, check=True, stdout=subprocess.DEVNULL
            )
            with mock.patch.dict(os.environ, environment):
                yield find()
        finally:
            subprocess.run([*ml_guard, "down", "--delete"], env=environment, check=False)
