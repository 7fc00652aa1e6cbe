"""The product as it runs: Kafka, TimescaleDB, a worker and the API, each a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded.process import free_port
from ml_guard import MLGuardClient
from ml_guard.errors import TransportError

ROOT = Path(__file__).resolve().parents[2]
KEY = "demo-key"
START_S = 60.0
END_S = 30.0


@dataclass(frozen=True)
class Product:
    """Where it answers, and the environment in which a command finds it."""

    url: str
    kafka: str
    database_url: str
    topic: str
    environment: dict[str, str]

    def client(self) -> MLGuardClient:
        return MLGuardClient(base_url=self.url, api_key=KEY, timeout_s=30.0)

    def run(self, *command: str, timeout_s: float = 200.0) -> subprocess.CompletedProcess[str]:
        """A command in a process of its own, at this product."""
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def ml_guard(self, *words: str, timeout_s: float = 200.0) -> subprocess.CompletedProcess[str]:
        """`ml-guard` with these words."""
        program = "from ml_guard.cli import main; main()"
        return self.run(sys.executable, "-c", program, *words, timeout_s=timeout_s)


@pytest.fixture(scope="module")
def product(
    kafka: str, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """One a module, with a schema and topics of its own."""
    logs = tmp_path_factory.mktemp("product")
    topic, port = f"e2e-{uuid.uuid4().hex[:8]}", free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "ML_GUARD_KAFKA": kafka,
        "ML_GUARD_DATABASE_URL": module_database_url,
        "ML_GUARD_TOPIC": topic,
        "ML_GUARD_DEAD_TOPIC": f"{topic}.dead",
        "ML_GUARD_GROUP": topic,
        "ML_GUARD_DEMO_KEY": KEY,
        "ML_GUARD_API_PORT": str(port),
        "ML_GUARD_GRACE_S": "1",
        "ML_GUARD_SETTLE_S": "0.5",
        "ML_GUARD_DATA_DIR": str(logs / "no-stack"),
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ML_GUARD_")}
    environment = clean | settings
    processes = []
    try:
        for module in ("stream", "api"):
            with (logs / f"{module}.log").open("wb") as log:
                command = [sys.executable, "-m", module]
                processes.append(
                    subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
                )
        made = Product(
            url,
            kafka,
            module_database_url,
            topic,
            environment | {"ML_GUARD_URL": url, "ML_GUARD_API_KEY": KEY},
        )
        _wait_until_ready(made, processes, logs)
        yield made
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(product: Product, processes: list[subprocess.Popen[bytes]], logs: Path) -> None:
    deadline = time.monotonic() + START_S
    with product.client() as client:
        while True:
            try:
                state = client.ready()
                if state.status == "ready" and state.workers:
                    return
                why = "; ".join(state.reasons)
            except TransportError as error:
                why = str(error)
            ended = [process.args for process in processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                told = "\n".join(path.read_text()[-3_000:] for path in sorted(logs.glob("*.log")))
                pytest.fail(f"the product did not start ({ended or why}):\n{told}")
            time.sleep(0.1)
