"""Would `docker compose up` work? Every service's exact command, environment and health check, on the embedded parts.

No engine is needed: the compose file is read, its host names and ports are put on free ports of this machine, and the
services are started in the order that `depends_on` gives. What stays untested here is the building of the image.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from embedded.database import launch as database
from embedded.kafka import broker
from embedded.process import HOST, Part, free_port

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
WAIT_S = 60


def interpolated(value: object) -> str:
    """The value with compose's `${NAME:-default}` and `${NAME-default}` at their defaults."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", str(value))


class Ports:
    """Where the compose file's addresses are on this machine."""

    def __init__(self) -> None:
        self.kafka, self.database, self.api = free_port(), free_port(), free_port()

    def placed(self, text: str) -> str:
        here = {
            "kafka:19092": f"{HOST}:{self.kafka}",
            "127.0.0.1/9092": f"{HOST}/{self.kafka}",
            "timescaledb:5432": f"{HOST}:{self.database}",
        }
        for address, place in here.items():
            text = text.replace(address, place)
        return text.replace("0.0.0.0", HOST)


def environment(service: str, ports: Ports) -> dict[str, str]:
    """What the container would see, on top of what a process of this machine needs to run at all."""
    given = {
        name: ports.placed(interpolated(value)) for name, value in SERVICES[service]["environment"].items()
    }
    if service == "api":
        given["ML_GUARD_API_PORT"] = str(ports.api)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ML_GUARD_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return inherited | given | {"PATH": path, "PYTHONUNBUFFERED": "1"}


def command(service: str) -> list[str]:
    """The exact command; `python` and `ml-guard` are this environment's, as they are the image's there."""
    first, *rest = SERVICES[service]["command"]
    return [str(Path(sys.executable).parent / first), *rest]


def healthy(service: str, ports: Ports, extra: Mapping[str, str] | None = None) -> bool:
    """Whether the service's own health check passes."""
    kind, *words = SERVICES[service]["healthcheck"]["test"]
    words = [ports.placed(word) for word in words]
    if service == "timescaledb":
        words = [word.replace("pg_isready", f"pg_isready --port {ports.database}") for word in words]
    check = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
    env = environment(service, ports) | dict(extra or {})
    return (
        subprocess.run(check, env=env, cwd=ROOT, capture_output=True, timeout=30, check=False).returncode == 0
    )


def wait_until_healthy(service: str, ports: Ports, part: Part) -> None:
    part.wait_until(lambda: healthy(service, ports), WAIT_S)


@pytest.fixture(scope="module")
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
        started = [("api", 1), *[("stream", number) for number in range(replicas)]]
        for service, number in started:
            log = folder / f"{service}-{number}.log"
            part = Part(service, command(service), log, env=environment(service, ports), cwd=ROOT)
            parts.append(part)
            wait_until_healthy(service, ports, part)
        yield ports
    finally:
        for part in reversed(parts):
            part.stop()


def test_the_services_run_with_their_exact_commands_and_count_an_event(running: Ports) -> None:
    headers = {"X-API-Key": "demo-key"}
    with httpx.Client(base_url=f"http://{HOST}:{running.api}/api/v1", headers=headers, timeout=30) as api:
        assert api.get("/health").json() == {"status": "ok"}
        project = f"compose-{uuid.uuid4().hex[:8]}"
        assert api.post("/projects", json={"project_id": project, "zone": "UTC"}).status_code == 201
        event = {"project_id": project, "model_id": "m", "latency_ms": 12.0, "features": {"age": 41}}
        assert api.post("/events", json=event).json()["accepted"] == 1

        deadline = time.monotonic() + WAIT_S
        while not (rows := api.get("/metrics/daily", params={"project_id": project}).json()["items"]):
            assert time.monotonic() < deadline, "the event did not come out as a daily metric"
            time.sleep(0.1)
        assert (rows[0]["requests"], rows[0]["status"]) == (1, "provisional")


@pytest.mark.parametrize("service", [name for name in OURS if name != "migrate"])
def test_in_production_no_service_starts_on_a_demo_credential(service: str) -> None:
    env = environment(service, Ports()) | {"ML_GUARD_ENV": "production"}
    done = subprocess.run(
        command(service), env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "demo" in done.stdout + done.stderr
    assert "demo-key" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_every_published_port_is_bound_to_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)


def test_every_foreign_image_has_an_exact_version() -> None:
    images = {name: service["image"] for name, service in SERVICES.items() if "build" not in service}
    assert set(images) == {"kafka", "timescaledb", "grafana"}
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in images.values())


def test_every_service_that_stays_up_has_a_health_check() -> None:
    assert [
        name
        for name, service in SERVICES.items()
        if service.get("restart") != "no" and "healthcheck" not in service
    ] == []


def test_the_demo_settings_are_warned_of_at_the_head_of_the_file() -> None:
    head = (ROOT / "docker-compose.yml").read_text()[:600]
    assert "DEMO SETTINGS" in head
    assert "ML_GUARD_ENV=production" in head
