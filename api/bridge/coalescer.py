"""How do many small requests become few records, while each waits for the acknowledgement of its own events?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from ml_guard.event import encode_batch

LINGER_S = 0.004
"""How long a record waits for more events. A worker's cost is per record as well as per event; a caller's
round trip is longer than this anyway."""

RECORD_BYTES = 262_144
"""A record is sent when it has this much: large enough to be cheap, small enough to spread over the partitions."""


@dataclass(slots=True)
class _Open:
    acknowledged: asyncio.Future[None]
    timer: asyncio.TimerHandle
    events: list[bytes] = field(default_factory=list)
    size: int = 0


class Coalescer:
    """Gathers events by project into records without a `batch_id`.

    `send` gets a record and its project, and returns when the broker has it. What it raises, every request in that
    record hears.
    """

    def __init__(self, send: Callable[[bytes, str], Awaitable[None]]) -> None:
        self._send = send
        self._open: dict[str, _Open] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def add(self, project_id: str, events: Sequence[bytes]) -> set[asyncio.Future[None]]:
        """What has to be waited for until the broker has these events; may be several records."""
        waits = set()
        for event in events:
            record = self._open.get(project_id)
            if record is not None and record.size + len(event) > RECORD_BYTES:
                self._seal(project_id)
                record = None
            if record is None:
                loop = asyncio.get_running_loop()
                record = _Open(loop.create_future(), loop.call_later(LINGER_S, self._seal, project_id))
                self._open[project_id] = record
            record.events.append(event)
            record.size += len(event) + 1
            waits.add(record.acknowledged)
        return waits

    async def drain(self) -> None:
        """Send what is gathered and wait for all of it."""
        for project_id in list(self._open):
            self._seal(project_id)
        if self._sending:
            await asyncio.wait(self._sending)

    def _seal(self, project_id: str) -> None:
        record = self._open.pop(project_id)
        record.timer.cancel()
        task = asyncio.get_running_loop().create_task(self._deliver(project_id, record))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver(self, project_id: str, record: _Open) -> None:
        try:
            await self._send(encode_batch(record.events, project_id=project_id), project_id)
        except Exception as error:
            if not record.acknowledged.done():
                record.acknowledged.set_exception(error)
                record.acknowledged.exception()  # its requests may all have gone; nothing more to say then
        else:
            if not record.acknowledged.done():
                record.acknowledged.set_result(None)
