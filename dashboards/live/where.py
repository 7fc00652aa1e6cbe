"""Where is the dashboard of this machine's stack? `python -m dashboards.live.where` waits for it and tells."""

from __future__ import annotations

import sys
import time

import httpx

from ml_guard.cli.connection import DOCKER_DASHBOARD, find

WAIT_S = 60.0


def main() -> int:
    """Print the address once it answers."""
    where = find()
    url = where.dashboard_url or DOCKER_DASHBOARD
    deadline = time.monotonic() + WAIT_S
    while not answers(url):
        if time.monotonic() > deadline:
            print(f"nobody answers at {url}: see `ml-guard status`, or `docker compose ps`", file=sys.stderr)
            return 1
        time.sleep(0.3)
    print(f"{url}/   (key: {where.api_key or 'one of your own'})")
    return 0


def answers(url: str) -> bool:
    """Whether the dashboard is there."""
    try:
        return httpx.get(f"{url}/health", timeout=3.0).status_code == 200
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    sys.exit(main())
