"""How is one worker started? `python -m stream`; more of them share the partitions."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import uvloop

from stream.alerting.channels.base import ChannelSettingError
from stream.alerting.channels.configured import channels
from stream.app import Worker
from stream.production import DemoCredentialError, refuse_demo_credentials
from stream.settings import Settings

SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter from the others. A checkpoint is some forty short waits for the database;
at Python's 5 ms a rollup that computes beside it could lengthen each of them by as much."""


async def _main(settings: Settings) -> None:
    """Work, and end the process from here: what Faust has left behind would be waited for, sometimes for ever."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    worker = Worker(settings)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, worker.stop)
    status = 0
    try:
        await worker.run()
    except Exception:
        logging.getLogger("stream").exception("the worker ends")
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> int:
    """Run until SIGTERM; the exit status is not 0 if the worker failed or could not start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("faust", "mode", "aiokafka", "kafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = Settings()
    try:
        refuse_demo_credentials(settings)
        channels(settings)
    except (DemoCredentialError, ChannelSettingError) as error:
        print(error, file=sys.stderr)
        return 2
    # A policy, since Faust makes the loop of its consumer's thread itself.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_main(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
