"""The whole compose file, running on the embedded parts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.database import launch as database
from embedded.kafka import broker
from embedded.process import Part
from tests.compose.services import ROOT, SERVICES, Ports, command, environment, wait_until_healthy


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """The whole compose file, started in order, each service healthy before what depends on it."""
    folder, ports, parts = tmp_path_factory.mktemp("compose"), Ports(), []
    try:
        kafka = broker.start(folder / "kafka", ports.kafka, folder / "kafka.log")
        parts.append(kafka)
        password = environment("timescaledb", ports)["POSTGRES_PASSWORD"]
        timescaledb = database.start(
            folder / "database", ports.database, folder / "database.log", password=password
        )
        parts.append(timescaledb)
        wait_until_healthy("kafka", ports, kafka)
        wait_until_healthy("timescaledb", ports, timescaledb)

        migrate = subprocess.run(
            command("migrate"),
            env=environment("migrate", ports),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert migrate.returncode == 0, migrate.stdout + migrate.stderr

        replicas = SERVICES["stream"]["deploy"]["replicas"]
        started = [("api", 1), *[("stream", number) for number in range(replicas)], ("dashboard", 1)]
        for service, number in started:
            log = folder / f"{service}-{number}.log"
            own = {"TMPDIR": str(folder / f"{service}-{number}")}  # as a container has
            Path(own["TMPDIR"]).mkdir()
            part = Part(service, command(service), log, env=environment(service, ports) | own, cwd=ROOT)
            parts.append(part)
            wait_until_healthy(service, ports, part, own)
        yield ports
    finally:
        for part in reversed(parts):
            part.stop()
