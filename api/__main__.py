"""How is the API started? `python -m api`, with `ML_GUARD_*` settings."""

from __future__ import annotations

import logging
import sys

import uvicorn

from api.app import create_app
from stream.production import DemoCredentialError
from stream.settings import Settings


def main() -> int:
    """Serve until a signal ends it. 2: refused to start."""
    settings = Settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiokafka").setLevel("ERROR")  # it repeats each second what `ready` says once
    try:
        app = create_app(settings)
    except DemoCredentialError as error:
        print(error, file=sys.stderr)
        return 2
    uvicorn.run(
        app,
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,  # counted in /metrics; a line a request would cost more than the request
        server_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=65_536,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
