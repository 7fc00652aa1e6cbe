"""Does a stack answer, and if none does, how is one started and ended again?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from ml_guard.cli.connection import DEMO_KEY, Address, address
from ml_guard.cli.failures import REFUSED, CommandError
from ml_guard.cli.output import say
from ml_guard.client import MLGuardClient
from ml_guard.errors import MLGuardError, UnauthorizedError

SETTINGS = {"ML_GUARD_DEMO_KEY": DEMO_KEY, "ML_GUARD_GRACE_S": "5", "ML_GUARD_SETTLE_S": "2"}
"""For a stack that is started for a demo: one key for everything, and days that close within seconds."""
HEALTH_TIMEOUT_S = 5.0


def answers(where: Address) -> bool:
    """Whether the API is there."""
    try:
        with MLGuardClient(base_url=where.url, api_key=where.api_key, timeout_s=HEALTH_TIMEOUT_S) as api:
            return api.health().status == "ok"
    except MLGuardError:
        return False


def _must_open(where: Address) -> None:
    """Another's stack may have the port: it is not ours to use."""
    with MLGuardClient(base_url=where.url, api_key=where.api_key, timeout_s=HEALTH_TIMEOUT_S) as api:
        try:
            api.keys.current()
        except UnauthorizedError:
            raise CommandError(
                f"an ML Guard that runs at {where.url} does not take this key",
                "Give its key with --api-key or ML_GUARD_API_KEY; or start one beside it, on another port: "
                "ML_GUARD_API_PORT=8010.",
                REFUSED,
            ) from None


def running_stack(context: typer.Context, kafka: str | None = None) -> Address:
    """The stack that answers; if none does, one is started: with Docker if STACK says so, else the embedded one."""
    where = address(context, kafka)
    if answers(where):
        _must_open(where)
        say(f"[good]✓[/good] Using the stack that runs at {where.url}")
        return where
    options = context.find_root().obj or {}
    if options.get("url") or os.environ.get("ML_GUARD_URL"):
        raise CommandError(
            f"nobody answers at {where.url}", "Start that stack, or leave --url and ML_GUARD_URL away."
        )
    _run("up")
    where = address(context, kafka)
    if not answers(where):
        raise CommandError(
            f"the stack has started, but nobody answers at {where.url}", "See `ml-guard status`."
        )
    return where


@contextmanager
def stack_for_a_while(context: typer.Context, kafka: str | None = None) -> Iterator[Address]:
    """The stack that answers; or one that is started now and ended again, its data kept."""
    ran = answers(address(context, kafka))
    where = running_stack(context, kafka)
    try:
        yield where
    finally:
        if not ran:
            _run("down")


def _run(what: str) -> None:
    docker = {"up": ["up", "--build", "--detach", "--wait"], "down": ["stop"]}
    command = (
        ["docker", "compose", *docker[what]]
        if os.environ.get("STACK") == "docker"
        else [sys.executable, "-c", "from ml_guard.cli import main; main()", what]
    )
    try:
        done = subprocess.run(command, env={**SETTINGS, **os.environ}, stdout=sys.stderr, check=False)
    except FileNotFoundError:
        raise CommandError(f"{command[0]} is not installed", "Install it, or use STACK=embedded.") from None
    if done.returncode:
        raise CommandError(
            f"the stack did not {'start' if what == 'up' else 'end'}",
            "What is wrong stands above; `ml-guard doctor` says more.",
        )
