"""Is this part running? One child process: its log, its readiness, its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from embedded.errors import PartFailedError

HOST = "127.0.0.1"
LOG_TAIL_LINES = 15
LONGEST_LOG_BYTES = 20 * 1024 * 1024
"""A log that is longer when its part starts makes room; one older log is kept."""
READY_POLL_S = 0.05


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def tail(log: Path, since: int = 0, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log after byte `since`, "" while there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(since, log.stat().st_size - 16_384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


class Part:
    """A running child process named `name`, writing to `log`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LONGEST_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,  # a Ctrl-C in the terminal is the owner's to pass on, in order
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.poll()

    @property
    def last_lines(self) -> str:
        """What it said last, and nothing that an earlier run said."""
        return tail(self.log, self._log_start)

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.exit_code is not None:
                raise PartFailedError(f"{self.name} ended with code {self.exit_code}:\n{self.last_lines}")
            if time.monotonic() > deadline:
                raise PartFailedError(
                    f"{self.name} was not ready within {timeout_s:.0f} s:\n{self.last_lines}"
                )
            time.sleep(READY_POLL_S)

    def stop(self, timeout_s: float = 15) -> None:
        """Asks it to end, and ends it if it does not."""
        if self.exit_code is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """`kill -9`, as a test or a last resort."""
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
