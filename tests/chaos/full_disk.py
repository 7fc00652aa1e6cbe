"""How does a database run out of room? Its folder is a small file system of its own, seen by nobody else."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from embedded.database import launch
from embedded.downloads import DATABASE_DIR, database_modules
from embedded.process import Part, accepts, free_port

ROOM_MB = 160


class CappedDatabase:
    """The embedded database on a file system in memory, in a mount namespace that ends with its keeper.

    A keeper process holds the namespace, so that the folder outlives the server; the server enters it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder / "capped", free_port()
        self._folder.mkdir()
        self._log = folder / "capped.log"
        self._keeper: subprocess.Popen[bytes] | None = None
        self._part: Part | None = None
        self.starts = 0

    @property
    def url(self) -> str:
        return launch.url(self._port)

    @property
    def _inside(self) -> Path:
        """The folder, as one sees it from outside of the namespace."""
        assert self._keeper is not None
        return Path(f"/proc/{self._keeper.pid}/root{self._folder}")

    def _start(self) -> None:
        assert self._keeper is not None
        enter = ["nsenter", f"--target={self._keeper.pid}", "--mount"]
        if os.getuid() != 0:
            enter += ["--user", "--preserve-credentials"]
        command = [*enter, "node", str(DATABASE_DIR / "server.mjs"), "--data", str(self._folder / "data")]
        command += ["--port", str(self._port), "--user", launch.USER, "--database", launch.DATABASE]
        environment = {"ML_GUARD_DATABASE_PASSWORD": launch.DEMO_PASSWORD}
        self._part = Part("the database", command, self._log, env=environment)
        self.starts += 1

    def fill(self) -> None:
        """Leave no byte."""
        with (self._inside / "balloon").open("wb", buffering=0) as balloon, contextlib.suppress(OSError):
            while True:
                balloon.write(bytes(65_536))

    def make_room(self) -> None:
        (self._inside / "balloon").unlink()

    def full(self) -> bool:
        """Whether the server has ended for want of room."""
        self.supervise()
        return "No space left" in self._log.read_text(errors="replace")

    def supervise(self) -> None:
        """Start it again if it has ended, as the supervisor does."""
        assert self._part is not None
        if self._part.exit_code is not None:
            self._start()

    def __enter__(self) -> CappedDatabase:
        database_modules()
        unshare: Sequence[str] = [
            "unshare",
            "--mount",
            *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
        ]
        script = (
            f"mount -t tmpfs -o size={ROOM_MB}m tmpfs '{self._folder}' && echo mounted && exec sleep infinity"
        )
        self._keeper = subprocess.Popen([*unshare, "sh", "-c", script], stdout=subprocess.PIPE)
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == b"mounted\n", "no file system could be mounted"
        self._start()
        assert self._part is not None
        self._part.wait_until(lambda: accepts(self._port), launch.START_TIMEOUT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._part is not None
        assert self._keeper is not None
        self._part.stop()
        self._keeper.kill()
        self._keeper.wait()
