"""How is the dashboard started? `python -m dashboards.live`, with `ML_GUARD_*` settings."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from tornado.ioloop import IOLoop

from dashboards.live.server import make_server
from dashboards.live.settings import DashboardSettings
from ml_guard.service_logs import set_up_logs
from ml_guard.service_settings import settings_of

log = logging.getLogger(__name__)

QUIET = ("httpx", "tornado.access", "bokeh.server.views.ws")


def main() -> int:
    """Serve until a signal ends it. 2: refused to start."""
    settings = settings_of(DashboardSettings)
    set_up_logs(settings.log_format, dict.fromkeys(QUIET, "WARNING"))
    if settings.env == "production" and settings.demo_key:
        log.critical("ML_GUARD_ENV=production refuses demo credentials: unset ML_GUARD_DEMO_KEY.")
        return 2
    try:
        server = make_server(settings)
    except OSError as error:
        log.critical(
            "port %d, where the dashboard would answer, cannot be had (%s): "
            "end the other program, or choose another with ML_GUARD_DASHBOARD_PORT",
            settings.dashboard_port,
            error.strerror,
        )
        return 2
    server.start()
    where = f"http://{settings.dashboard_host}:{settings.dashboard_port}{settings.prefix}/"
    log.info("the dashboard is at %s, of the API at %s", where, settings.url)
    loop = IOLoop.current()
    running = asyncio.get_event_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, loop.stop)
    loop.start()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
