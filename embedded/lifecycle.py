"""How does the stack come up and go down? What `ml-guard up` and `ml-guard down` do, for the command line and demo."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from embedded import tools
from embedded.downloads import database_modules, kafka_jars, needed_tools
from embedded.errors import DemoCredentialsError, PartFailedError, PortTakenError
from embedded.folder import Folder, birth, end, is_running, write_json
from embedded.plan import REPOSITORY, Plan
from embedded.process import free_port, port_is_free, tail
from embedded.settings import StackSettings
from stream.production import demo_credentials
from stream.settings import Settings

START_TIMEOUT_S = 180.0
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.1

Say = Callable[[str], None]


def supervisor_of(folder: Folder) -> dict[str, Any] | None:
    """The running supervisor's process, None when there is none."""
    process: dict[str, Any] = folder.state().get("supervisor", {})
    return process if is_running(process) else None


def up(
    settings: StackSettings | None = None, say: Say = lambda text: None, step: Say = lambda text: None
) -> Plan:
    """Start what is not running and return once events can flow; `say` is told what a person should know."""
    settings = settings or StackSettings()
    folder = Folder(settings.folder)
    with _alone(folder):
        if supervisor_of(folder) is not None:
            running = Plan.from_json(_read(folder))
            if running.workers != settings.workers:
                say(
                    f"It runs with {running.workers} workers; `ml-guard down` and `up` again to have {settings.workers}."
                )
            say("The stack is running already.")
        else:
            running = _start(folder, settings, say, step)
        _wait_for_start(folder, step)
    if running.workers:
        _wait_until_ready(running, folder, step)
    write_json(folder.stack_file, running.stack)
    return running


def down(settings: StackSettings | None = None, *, delete: bool = False) -> bool:
    """End every process of the stack; with `delete` its data goes too. False when nothing ran."""
    folder = Folder((settings or StackSettings()).folder)
    if not folder.root.exists():
        return False
    with _alone(folder):
        ran = _end_all(folder)
        folder.stack_file.unlink(missing_ok=True)
    if delete:
        folder.delete_data()
    return ran


def _start(folder: Folder, settings: StackSettings, say: Say, step: Say) -> Plan:
    tools.require(*needed_tools())
    _end_all(folder)  # what a killed supervisor has left behind
    plan = plan_for(settings, say)
    _refuse_demo_credentials(plan)
    step("fetching Apache Kafka")
    kafka_jars()
    step("fetching TimescaleDB")
    database_modules()
    write_json(folder.plan_file, plan.to_json())
    log = folder.log("supervisor")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "embedded.supervisor", str(folder.root)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            start_new_session=True,
        )
    supervisor = {"pid": process.pid, "birth": birth(process.pid)}
    write_json(
        folder.state_file, {"phase": "starting", "failure": None, "supervisor": supervisor, "parts": []}
    )
    return plan


def plan_for(settings: StackSettings, say: Say) -> Plan:
    """Which ports to use; `say` is told of each that had to be another."""
    if not port_is_free(settings.api_port):
        raise PortTakenError(
            f"port {settings.api_port}, where the API would answer, is taken by another program: "
            "end that one, or choose another with ML_GUARD_API_PORT"
        )
    return Plan(
        kafka_port=_free("Kafka", settings.kafka_port, "ML_GUARD_KAFKA_PORT", say),
        database_port=_free("the database", settings.database_port, "ML_GUARD_DATABASE_PORT", say),
        api_port=settings.api_port,
        dashboard_port=_free("the dashboard", settings.dashboard_port, "ML_GUARD_DASHBOARD_PORT", say),
        workers=settings.workers,
        database_password=settings.database_password,
        api_key=settings.initial_key,
        service_password=secrets.token_urlsafe(24),
        public_url=settings.public_url,
    )


def _refuse_demo_credentials(plan: Plan) -> None:
    """As every service does in production, but before the first has started and with the embedded stack's settings."""
    services = Settings(database_url=plan.database_url, demo_key=plan.api_key)
    if services.env == "production" and demo_credentials(services):
        raise DemoCredentialsError(
            "ML_GUARD_ENV=production refuses demo credentials: set ML_GUARD_DATABASE_PASSWORD to a password of "
            "your own, and leave ML_GUARD_DEMO_KEY unset (`ml-guard key create` makes keys)"
        )


def _free(name: str, port: int, setting: str, say: Say) -> int:
    if port_is_free(port):
        return port
    chosen = free_port()
    say(f"Port {port} is taken, so {name} listens on {chosen} ({setting} chooses another).")
    return chosen


def _wait_for_start(folder: Folder, step: Say) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        state = folder.state()
        if state.get("phase") == "running":
            return
        if state.get("phase") == "failed":
            raise PartFailedError(state["failure"])
        if supervisor_of(folder) is None:
            raise PartFailedError(f"the supervisor has ended:\n{tail(folder.log('supervisor'))}")
        step(_progress(state))
        time.sleep(POLL_S)
    raise PartFailedError(
        f"the stack did not start within {START_TIMEOUT_S:.0f} s; see {folder.log('supervisor')}"
    )


def _progress(state: dict[str, Any]) -> str:
    if state.get("phase") == "migrating":
        return "applying migrations"
    starting = [part["name"] for part in state.get("parts", []) if part["state"] in ("waiting", "starting")]
    return f"starting {', '.join(starting)}" if starting else "starting"


def _wait_until_ready(plan: Plan, folder: Folder, step: Say) -> None:
    """Until the API says that events can flow: the workers have their partitions."""
    step("waiting for the workers")
    deadline = time.monotonic() + READY_TIMEOUT_S
    reasons: list[str] = []
    while time.monotonic() < deadline:
        answer = _ready(plan)
        if answer.get("status") == "ready":
            return
        reasons = answer.get("reasons") or ["The API does not answer."]
        time.sleep(POLL_S)
    crashes = [part for part in folder.state().get("parts", []) if part["last_crash"]]
    said = [
        f"{part['name']} {part['last_crash']['how']}: {' '.join(part['last_crash']['last_lines'][-1:])}"
        for part in crashes
    ]
    raise PartFailedError("the stack runs but is not ready: " + " ".join(reasons + said))


def _ready(plan: Plan) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{plan.url}/api/v1/ready", timeout=5) as answer:  # noqa: S310
            return dict(json.load(answer))
    except urllib.error.HTTPError as refusal:
        try:
            return dict(json.load(refusal))
        except ValueError:
            return {"reasons": [f"The API answers {refusal.code}."]}
    except (OSError, ValueError):
        return {}


def _end_all(folder: Folder) -> bool:
    """Ends the supervisor, which ends the rest; what still runs then is ended one by one."""
    state = folder.state()
    running = [state.get("supervisor", {}), *state.get("parts", [])]
    ran = any(map(is_running, running))
    end(running[0], STOP_TIMEOUT_S)
    for part in reversed(folder.state().get("parts", [])):
        end(part, STOP_TIMEOUT_S)
    folder.state_file.unlink(missing_ok=True)
    return ran


def _read(folder: Folder) -> dict[str, Any]:
    return dict(json.loads(folder.plan_file.read_text(encoding="utf-8")))


@contextmanager
def _alone(folder: Folder) -> Iterator[None]:
    """Two `up` at once would start two stacks over one folder."""
    folder.lock_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
