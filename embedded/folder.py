"""Where does the embedded stack keep what it knows? The layout of its folder, and which process is whose."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

END_POLL_S = 0.05


@dataclass(frozen=True)
class Folder:
    """`.ml-guard/`: `stack.json` says where the stack answers, `run/` what runs, `logs/` what it said."""

    root: Path

    @property
    def stack_file(self) -> Path:
        return self.root / "stack.json"

    @property
    def plan_file(self) -> Path:
        return self.root / "run" / "plan.json"

    @property
    def state_file(self) -> Path:
        return self.root / "run" / "state.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "run" / "up.lock"

    def log(self, part: str) -> Path:
        return self.root / "logs" / f"{part}.log"

    def state(self) -> dict[str, Any]:
        """What the supervisor wrote last; empty if it never ran or was ended in order."""
        return read_json(self.state_file)

    def delete_data(self) -> None:
        """Everything but the downloads, which belong to the source tree and not to the data."""
        for name in ("kafka", "database", "logs", "run"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        for path in (self.stack_file, self.root / "database.lock"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.root.rmdir()


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Whole or not at all, and for its owner only: it may hold a password."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(data, file, indent=2)
    draft.replace(path)


def birth(pid: int) -> str | None:
    """When the process began, as its system tells it; None when there is no such process. An id alone may be reused."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except OSError:
        if Path("/proc/self").exists():
            return None
    command = ["ps", "-p", str(pid), "-o", "lstart="]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None


def is_running(process: dict[str, Any]) -> bool:
    """Whether the process that was written down as `{"pid": .., "birth": ..}` is still that process."""
    pid = process.get("pid")
    return pid is not None and process.get("birth") is not None and birth(pid) == process["birth"]


def end(process: dict[str, Any], timeout_s: float) -> None:
    """Asks a process that was written down to end, and ends it if it does not."""
    for number, patience_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, 10.0)):
        if not is_running(process):
            return
        with suppress(ProcessLookupError):
            os.kill(process["pid"], number)
        deadline = time.monotonic() + patience_s
        while is_running(process) and time.monotonic() < deadline:
            time.sleep(END_POLL_S)
