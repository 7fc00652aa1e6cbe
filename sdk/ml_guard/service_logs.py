"""How do the services write their logs: a line for people, or a JSON object a line for programs?

Used by API, workers and dashboard; whoever only uses the SDK never imports it.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

LogFormat = Literal["console", "json"]
CONSOLE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_NOT_OURS = ("color_message", "websocket")
"""What uvicorn adds for its own formatter, and the objects that its protocol binds."""


class _Json(JsonFormatter):
    """Time, level, logger and message first, then whatever the call has bound with `extra`."""

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        message = record.getMessage()
        super().add_fields(log_data, record, message_dict)
        bound = {name: value for name, value in log_data.items() if name not in _NOT_OURS}
        log_data.clear()
        log_data["time"] = datetime.fromtimestamp(record.created, timezone.utc).isoformat()
        log_data |= {"level": record.levelname.lower(), "logger": record.name, "message": message}
        log_data |= {name: value for name, value in bound.items() if name not in log_data}


def set_up_logs(log_format: LogFormat, quiet: Mapping[str, str] | None = None) -> None:
    """Send every line to stderr in this format: logs, warnings, and what nobody caught.

    Parameters
    ----------
    quiet : mapping
        Loggers that say less, and from which level on they are heard.
    """
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(_Json("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter(CONSOLE))
    logging.basicConfig(level="INFO", handlers=[handler], force=True)
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):  # libraries that write lines of their own, as bokeh does
            logger.handlers.clear()
            logger.propagate = True
    for name, level in (quiet or {}).items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("ml_guard").critical("nobody caught this", exc_info=(kind, error, trace))
