"""What does the compose file say, and how is it placed on this machine?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

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
        self.kafka, self.database = free_port(), free_port()
        self.api, self.dashboard = free_port(), free_port()

    def placed(self, text: str) -> str:
        here = {
            "kafka:19092": f"{HOST}:{self.kafka}",
            "127.0.0.1/9092": f"{HOST}/{self.kafka}",
            "api:8000": f"{HOST}:{self.api}",
            "timescaledb:5432": f"{HOST}:{self.database}",
        }
        for address, place in here.items():
            text = text.replace(address, place)
        return text.replace("0.0.0.0", HOST)


def environment(service: str, ports: Ports) -> dict[str, str]:
    """What the container would see, on top of what a process of this machine needs to run at all."""
    given = {
        name: ports.placed(interpolated(value))
        for name, value in SERVICES[service]["environment"].items()
        if value is not None  # it is the shell's, where that has it
    }
    if service == "api":
        given["ML_GUARD_API_PORT"] = str(ports.api)
    if service == "dashboard":
        given["ML_GUARD_DASHBOARD_PORT"] = str(ports.dashboard)
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


def wait_until_healthy(
    service: str, ports: Ports, part: Part, extra: Mapping[str, str] | None = None
) -> None:
    part.wait_until(lambda: healthy(service, ports, extra), WAIT_S)
