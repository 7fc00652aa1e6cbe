"""How is the API started? `python -m api`, with `ML_GUARD_*` settings."""

from __future__ import annotations

import logging
import sys

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from ml_guard.errors import ConfigError
from ml_guard.service_logs import set_up_logs
from ml_guard.service_settings import settings_of
from stream.production import DemoCredentialError
from stream.settings import Settings

log = logging.getLogger(__name__)

SHUTDOWN_S = 10
"""For requests that run when a signal comes; the bridge's own wait for Kafka is as long."""
KEEP_ALIVE_S = 30


def main() -> int:
    """Serve until a signal ends it. 2: refused to start."""
    settings = settings_of(Settings)
    set_up_logs(settings.log_format, {"aiokafka": "ERROR"})  # it repeats each second what `ready` says once
    try:
        app = create_app(settings)
    except (DemoCredentialError, ConfigError) as error:
        log.critical("%s", error)
        return 2
    uvicorn.Server(server_config(app, settings)).run()
    return 0


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How the app is served."""
    return uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,  # counted in /metrics; a line a request would cost more than the request
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )


if __name__ == "__main__":
    sys.exit(main())
