"""What becomes of one request of events? Read, judged, produced; answered when the broker has what was taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request

from api.bridge.body import Body
from api.bridge.budget import Budget
from api.bridge.coalescer import Coalescer
from api.bridge.parts import PART_BYTES, records
from api.bridge.producer import Producer
from api.bridge.turns import LARGE_BYTES, Lines
from api.bridge.verdicts import DAY_US, Limits, Taken, Verdict, judge, stamped
from ml_guard.decoding import EventDecoder
from ml_guard.event import Event
from stream.settings import Settings

HEAD_BYTES = 4_096
"""Room in a record for what stands around its events: project and batch names, braces."""

REPLAY = "replay"
"""In whose name dead letters wait that are sent again."""


class Bridge:
    """From HTTP into Kafka. Memory is bounded by `bridge_buffer_bytes`, whatever clients and broker do."""

    def __init__(self, settings: Settings, kafka: Mapping[str, Any]) -> None:
        self.budget = Budget(settings.bridge_buffer_bytes, settings.bridge_project_share)
        self.producer = Producer(
            kafka, settings.topic, self.budget, settings.bridge_ack_s, settings.max_record_bytes
        )
        self._lines = Lines()
        self._coalescer = Coalescer(self.producer.send)
        self._decoder = EventDecoder(max_features=settings.max_features)
        self._ack_s = settings.bridge_ack_s
        # A body and its records are held at once: one that can never fit is too large, not to be tried again.
        self._body_bytes = min(settings.max_body_bytes, self.budget.most_of_one // 2)
        self._part_bytes = min(PART_BYTES, settings.max_record_bytes - HEAD_BYTES)
        self._limits = Limits(
            event_bytes=self._part_bytes,
            future_us=int(settings.future_s * 1e6),
            retention_us=None if settings.retention_days is None else settings.retention_days * DAY_US,
        )
        self._keyed: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin to connect to the broker."""
        await self.producer.open()

    async def close(self) -> None:
        """Deliver what was gathered, as far as the broker answers, and end."""
        pending = asyncio.ensure_future(self._drain())
        await asyncio.wait([pending], timeout=self._ack_s)
        await self.producer.close()
        await asyncio.wait([pending], timeout=1)

    async def receive(
        self,
        request: Request,
        known_projects: Callable[[set[str]], Awaitable[set[str]]],
        now_us: int,
        batch_id: str | None,
        holder: str,
    ) -> list[Verdict]:
        """The verdicts on the request's events; what was taken is in Kafka. Raises problems.

        `holder`: in whose name the body is held and waits for its turn; its records are in that of their project.
        """
        self.producer.check()
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) >= LARGE_BYTES:
            self._lines.check(holder)
        body = Body(request, self.budget, self._body_bytes, holder)
        try:
            raws = await body.events()
            async with self._lines.turn(len(raws), holder):
                verdicts = await judge(raws, self._decoder, self._limits, now_us, known_projects)
                waits = self._waits(raws, verdicts, batch_id, holder)
            await self._acknowledged(waits)
        finally:
            body.release()
        return verdicts

    async def again(self, raw: bytes, first_at: datetime) -> None:
        """Send a dead letter's bytes again; an event without a timestamp keeps the time of its first arrival."""
        event = self._decoder.verdict(raw)
        if isinstance(event, Event) and event.timestamp is None:
            raw = stamped(raw, first_at)
        await self._acknowledged([self._start(self.producer.send(raw, REPLAY))])

    def _waits(
        self, raws: Sequence[bytes], verdicts: Sequence[Verdict], batch_id: str | None, holder: str
    ) -> set[asyncio.Future[None]]:
        if batch_id is not None:
            return {
                self._start(self.producer.send(record, holder))
                for record in records(raws, verdicts, batch_id, self._part_bytes)
            }
        projects: dict[str, list[bytes]] = {}
        for verdict in verdicts:
            if isinstance(verdict, Taken):
                projects.setdefault(verdict.project_id, []).append(verdict.raw)
        waits: set[asyncio.Future[None]] = set()
        for project_id, events in projects.items():
            waits |= self._coalescer.add(project_id, events)
        return waits

    def _start(self, sending: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # A task of its own: a caller that goes away does not take its record back.
        task = asyncio.get_running_loop().create_task(sending)
        self._keyed.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._keyed.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits has it; else nobody needs it

    async def _acknowledged(self, waits: Iterable[asyncio.Future[None]]) -> None:
        waits = set(waits)
        if not waits:
            return
        done, late = await asyncio.wait(waits, timeout=self._ack_s, return_when=asyncio.FIRST_EXCEPTION)
        for future in done:
            future.result()
        if late:
            raise self.producer.away()

    async def _drain(self) -> None:
        await self._coalescer.drain()
        if self._keyed:
            await asyncio.wait(self._keyed)
