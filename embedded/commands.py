"""Which commands control the stack? `ml-guard up`, `down`, `status` and `doctor`."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from embedded import doctor as examination
from embedded import lifecycle
from embedded import status as observed
from embedded.settings import StackSettings
from ml_guard.cli import tables
from ml_guard.cli.connection import read_stack
from ml_guard.cli.failures import NEGATIVE
from ml_guard.cli.output import AsJson, emit, say, spinner
from stream.settings import DEMO_KEY, Settings

SHOWN_LINES = 5
STYLES = {"running": "good", "stopped": "quiet", "not running": "bad", "crashed": "bad"}


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (up, down, status, doctor):
        app.command()(command)


def up(
    workers: Annotated[int | None, typer.Option(min=0, help="How many workers (ML_GUARD_WORKERS).")] = None,
    as_json: AsJson = False,
) -> None:
    """Start Kafka, TimescaleDB, the API and workers on this machine, without Docker; keep them running."""
    settings = StackSettings() if workers is None else StackSettings(workers=workers)
    with spinner("Starting ML Guard") as step:
        plan = lifecycle.up(settings, say, step)
    if plan.api_key == DEMO_KEY:
        say(
            f"[warn]Demo settings: the key `{DEMO_KEY}` and the database's password are known to all; loopback only.[/warn]"
        )
    emit(observed.read(settings), as_json, lambda: _parts(observed.read(settings)))


def down(
    delete: Annotated[bool, typer.Option("--delete", help="Remove the data too.")] = False,
    as_json: AsJson = False,
) -> None:
    """End the stack's processes. The data stays, unless --delete is given."""
    with spinner("Ending ML Guard"):
        ran = lifecycle.down(delete=delete)
    kept = "its data is removed" if delete else "its data is kept"
    emit(
        {"was_running": ran, "deleted": delete},
        as_json,
        lambda: f"ML Guard {'has ended' if ran else 'was not running'}; {kept}.",
    )


def status(as_json: AsJson = False) -> None:
    """Show each part of the stack: whether it runs, where it answers, when and why it crashed last."""
    state = observed.read()
    emit(state, as_json, lambda: _parts(state))
    if not state["ok"]:
        raise typer.Exit(NEGATIVE)


def doctor(as_json: AsJson = False) -> None:
    """Ask every part how it is: broker, topics, database, schema, workers, lag, ledger, API."""
    settings = _settings()
    findings = [*examination.parts(), *asyncio.run(examination.examine(settings))]
    ok = all(finding.ok for finding in findings)
    emit({"ok": ok, "findings": [each.to_json() for each in findings]}, as_json, lambda: _findings(findings))
    if not ok:
        raise typer.Exit(NEGATIVE)


def _settings() -> Settings:
    """The environment's settings, and where it says nothing those of the stack that runs here."""
    stack = read_stack()
    known = {name: stack.get(name) for name in ("kafka", "database_url")}
    known["api_port"] = urlsplit(stack.get("url", "")).port
    unset = {name for name in known if not os.environ.get(f"ML_GUARD_{name.upper()}")}
    return Settings.model_validate({name: value for name, value in known.items() if value and name in unset})


def _parts(state: dict[str, Any]) -> RenderableType:
    if not state["parts"]:
        return f"ML Guard is {state['phase']} ({state['folder']}). Start it with `ml-guard up`."
    table = tables.table("part", "state", ">?process", "address", "?since", ">restarts")
    for part in state["parts"]:
        style = STYLES.get(part["state"], "warn")
        shown = f"[{style}]{part['state']}[/{style}]"
        process = str(part["pid"] or "")
        table.add_row(
            part["name"], shown, process, part["address"] or "", part["since"], str(part["restarts"])
        )
    said = Text(f"{state['phase']}, logs in {state['folder']}/logs", style="quiet")
    return Group(table, said, *(_crash(part) for part in state["parts"] if part["last_crash"]))


def _crash(part: dict[str, Any]) -> str:
    crash = part["last_crash"]
    said = "".join(f"\n  {escape(line)}" for line in crash["last_lines"][-SHOWN_LINES:])
    return f"[warn]{part['name']} {crash['how']} at {crash['at']}[/warn]" + (
        f"; it said last:{said}" if said else ""
    )


def _findings(findings: list[examination.Finding]) -> RenderableType:
    table = tables.table("", "what", "seen", "what to do")
    for finding in findings:
        mark = "[good]ok[/good]" if finding.ok else "[bad]BAD[/bad]"
        table.add_row(mark, finding.what, escape(finding.seen), "" if finding.ok else finding.remedy)
    return table
