"""Which server and which key does a command use?

The first that is there: the options `--url` and `--api-key`; ML_GUARD_URL and ML_GUARD_API_KEY; what `ml-guard up`
wrote into its data folder about the stack that it started; http://localhost:8000 with the demo's key.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from ml_guard.client import MLGuardClient

DEFAULT_PORT = 8000
DEMO_KEY = "demo-key"
"""What docker-compose.yml and `ml-guard up` set for a demo."""
DEFAULT_KAFKA = "127.0.0.1:9092"
DOCKER_DASHBOARD = "http://127.0.0.1:8501"
"""Where docker-compose.yml publishes it."""
STACK_FILE = "stack.json"


@dataclass(frozen=True)
class Address:
    """Where the product answers, and as whom."""

    url: str
    api_key: str | None
    kafka: str
    database_url: str | None = None
    dashboard_url: str | None = None


def data_folder() -> Path:
    """The embedded stack's folder: ML_GUARD_DATA_DIR, else `.ml-guard` in this folder or one above it."""
    if chosen := os.environ.get("ML_GUARD_DATA_DIR"):
        return Path(chosen)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".ml-guard" / STACK_FILE).exists():
            return folder / ".ml-guard"
    return here / ".ml-guard"


def read_stack() -> dict[str, Any]:
    """What `ml-guard up` wrote about the running stack; empty if there is none."""
    try:
        found = json.loads((data_folder() / STACK_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def find(url: str | None = None, api_key: str | None = None, kafka: str | None = None) -> Address:
    """The address that a command uses."""
    environment, stack = os.environ, read_stack()
    url = url or environment.get("ML_GUARD_URL")
    if url:
        key_there = environment.get("ML_GUARD_DEMO_KEY")  # the key of a stack is for that stack
    elif url := stack.get("url"):
        key_there = stack.get("api_key") or environment.get("ML_GUARD_DEMO_KEY")
    else:
        url = f"http://localhost:{environment.get('ML_GUARD_API_PORT') or DEFAULT_PORT}"
        key_there = environment.get("ML_GUARD_DEMO_KEY") or DEMO_KEY
    return Address(
        url=url,
        api_key=api_key or environment.get("ML_GUARD_API_KEY") or key_there,
        kafka=kafka or environment.get("ML_GUARD_KAFKA") or stack.get("kafka") or DEFAULT_KAFKA,
        database_url=environment.get("ML_GUARD_DATABASE_URL") or stack.get("database_url"),
        dashboard_url=DOCKER_DASHBOARD if environment.get("STACK") == "docker" else stack.get("dashboard"),
    )


def address(context: typer.Context, kafka: str | None = None) -> Address:
    """The address that the options of this call name."""
    options = context.find_root().obj or {}
    return find(options.get("url"), options.get("api_key"), kafka)


def client(context: typer.Context, timeout_s: float = 10.0) -> MLGuardClient:
    """A client of that address."""
    where = address(context)
    return MLGuardClient(base_url=where.url, api_key=where.api_key, timeout_s=timeout_s)
