"""How is one worker started? `python -m stream`; more of them share the partitions."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import uvloop

from ml_guard.errors import ConfigError
from ml_guard.service_logs import set_up_logs
from ml_guard.service_settings import settings_of
from stream.alerting.channels.base import ChannelSettingError
from stream.alerting.channels.configured import channels
from stream.app import Worker
from stream.kafka import NoBrokerError, connection
from stream.migrate import SchemaBehindError
from stream.production import DemoCredentialError, refuse_demo_credentials
from stream.settings import Settings
from stream.store.one_topic import OtherTopicError
from stream.store.refusal import NoDatabaseError
from stream.store.session import SessionError

log = logging.getLogger("stream")

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
    except (NoBrokerError, NoDatabaseError, OtherTopicError, SchemaBehindError, SessionError) as error:
        log.critical("the worker ends: %s", error)
        status = 1
    except Exception:
        log.exception("the worker ends")
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> int:
    """Run until SIGTERM; the exit status is not 0 if the worker failed or could not start."""
    settings = settings_of(Settings)
    set_up_logs(settings.log_format, dict.fromkeys(("faust", "mode", "aiokafka", "kafka"), "WARNING"))
    try:
        refuse_demo_credentials(settings)
        channels(settings)
        connection(settings)
    except (DemoCredentialError, ChannelSettingError, ConfigError) as error:
        log.critical("%s", error)
        return 2
    # A policy, since Faust makes the loop of its consumer's thread itself.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_main(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
