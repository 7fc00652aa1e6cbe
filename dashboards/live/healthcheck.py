"""Is the dashboard of this machine alive? `python -m dashboards.live.healthcheck` exits 0 if it is."""

from __future__ import annotations

import sys

import httpx

from dashboards.live.settings import DashboardSettings

TIMEOUT_S = 3.0


def main() -> int:
    """Ask its health page, where the settings say that it listens."""
    settings = DashboardSettings()
    host = settings.dashboard_host
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
    url = f"http://{host}:{settings.dashboard_port}{settings.prefix}/health"
    try:
        answer = httpx.get(url, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        print(f"no answer from {url}: {type(error).__name__}", file=sys.stderr)
        return 1
    return 0 if answer.status_code == 200 and answer.json() == {"status": "ok"} else 1


if __name__ == "__main__":
    sys.exit(main())
