"""Is a worker of this machine alive? `python -m stream.healthcheck` exits 0 if one showed itself lately.

A worker touches a file each second while its parts run. A container has one worker and a temporary folder of its own.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

FRESH_S = 15.0


def heartbeat_file() -> Path:
    """What the worker touches."""
    return Path(tempfile.gettempdir()) / "ml-guard-worker.heartbeat"


def main() -> int:
    """Look how old the worker's last sign of life is."""
    try:
        age_s = time.time() - heartbeat_file().stat().st_mtime
    except FileNotFoundError:
        print("no worker has started here", file=sys.stderr)
        return 1
    if age_s > FRESH_S:
        print(f"the worker's last sign of life is {age_s:.0f} s old", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
