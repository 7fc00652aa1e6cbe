"""Does a fault's test go red when what guards against the fault is taken out?

`python -m tests.chaos.unguarded [word ...]` copies the sources, takes out one guard after the other, and runs the fault's
test, which must fail then.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.chaos.guards import GUARDS, Guard

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("api", "bench", "dashboards", "embedded", "sdk", "sql", "stream", "tests")
HELD, FAILED = 0, 1
"""Of pytest's exit codes."""
WIDTH = 300
"""Of what pytest says, so that a failure's reason is not cut off."""


def sources(copy: Path) -> None:
    """The sources as they are now."""
    for name in FOLDERS:
        shutil.copytree(
            ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
        )
    if (modules := ROOT / "embedded/database/node_modules").exists():
        (copy / "embedded/database/node_modules").symlink_to(modules)
    shutil.copy(ROOT / "pyproject.toml", copy)


def tried(copy: Path, guard: Guard, test: str) -> tuple[str, str]:
    """How the test goes without the guard, and what it says: a test that could not begin proves nothing."""
    path = copy / guard.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(guard.text, guard.without), encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{copy}{os.pathsep}{copy / 'sdk'}",
        "ML_GUARD_CACHE": os.environ.get("ML_GUARD_CACHE", str(ROOT / ".ml-guard" / "cache")),
        "COLUMNS": str(WIDTH),
    }
    command = [sys.executable, "-m", "pytest", "-q", "--override-ini=addopts=", "--import-mode=importlib"]
    try:
        done = subprocess.run(
            [*command, test], cwd=copy, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        path.write_text(whole, encoding="utf-8")
    lines = done.stdout.splitlines() or done.stderr.splitlines() or [""]
    if done.returncode == HELD:
        return "green", lines[-1]
    failures = [line.partition(" - ")[2] for line in lines if line.startswith("FAILED ")]
    began = done.returncode == FAILED and failures and "error" not in lines[-1]
    return ("red", failures[0]) if began else ("nowhere", lines[-1])


def main() -> int:
    """0 only if every test went red."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only guards whose name or test has one of these words")
    given = parser.parse_args()
    chosen = [
        (guard, test)
        for guard in GUARDS
        for test in guard.tests
        if not given.words or any(word in f"{guard.name} {test}" for word in given.words)
    ]
    console, weak = Console(), 0
    table = Table(title=f"Guards taken out, {datetime.now(UTC):%Y-%m-%d}")
    for column in ("guard that was taken out", "test", "went", "because", "seconds"):
        table.add_column(column, overflow="fold", justify="right" if column == "seconds" else "left")
    with tempfile.TemporaryDirectory(prefix="ml-guard-guards-") as name:
        copy = Path(name)
        sources(copy)
        for guard, test in chosen:
            began = time.monotonic()
            went, said = tried(copy, guard, test)
            verdict = f"[{'green' if went == 'red' else 'red'}]{went}[/]"
            weak += went != "red"
            seconds = f"{time.monotonic() - began:.0f}"
            row = (guard.name, test.rpartition("::")[2], verdict, escape(said), seconds)
            table.add_row(*row)
            Console(stderr=True).print(*row, highlight=False, soft_wrap=True)
    console.print(table)
    return 1 if weak or not chosen else 0


if __name__ == "__main__":
    raise SystemExit(main())
