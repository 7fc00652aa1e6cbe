"""A worker whose wall clock a test can set: the seconds in a file are added to the time. `python -m tests.chaos.shifted`"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import stream.__main__ as entry
from stream.app import Worker

VARIABLE = "ML_GUARD_TEST_CLOCK"


class Shift:
    """The file, from the test's side."""

    def __init__(self, path: Path) -> None:
        self.path, self.at = path, timedelta()
        self.set(self.at)

    def set(self, shift: timedelta) -> None:
        """From now on the clock is so much ahead."""
        self.at = shift
        written = self.path.with_suffix(".new")
        written.write_text(str(shift.total_seconds()))
        written.replace(self.path)

    def breaks(self) -> None:
        """From now on the clock raises."""
        self.path.write_text("no number")

    @property
    def environment(self) -> dict[str, str]:
        return {VARIABLE: str(self.path)}


def shifted() -> datetime:
    """The time, as the file says."""
    shift = float(Path(os.environ[VARIABLE]).read_text())
    return datetime.now(UTC) + timedelta(seconds=shift)


if __name__ == "__main__":
    cast(Any, entry).Worker = partial(Worker, clock=shifted)
    sys.exit(entry.main())
