"""When does the interpreter end, early enough that threads can still work?"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - its own hook must stand before ours, to run after it
import contextlib
import sys
import threading
from collections.abc import Callable


def at_end_of_celery_child(function: Callable[[], None]) -> None:
    """In a child that Celery forked, call `function` when it shuts down: it ends by `os._exit`, where no hook runs."""
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        signals.worker_process_shutdown.connect(
            lambda **_: function(), weak=False, dispatch_uid="ml_guard outboxes"
        )


def at_exit(function: Callable[[], None]) -> None:
    """Call `function` when the main thread ends.

    `atexit` comes too late for a transport that looks up a host name in asyncio's thread pool: by then the pool
    takes no work. `threading` calls its own hooks before that, last one first, and in the children of
    `multiprocessing` too, where `atexit` calls nothing. They are private: where they are missing it is `atexit`.
    """
    register = getattr(threading, "_register_atexit", None)
    if register is None:
        atexit.register(function)
    else:
        with contextlib.suppress(
            RuntimeError
        ):  # imported while the interpreter ends: nothing can be sent any more
            register(function)
