"""Where do pages get their data? One client and one live stream a key and process, shared by all its open pages."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from ml_guard import AsyncMLGuardClient
from ml_guard.alert_shapes import Alert
from ml_guard.errors import MLGuardError, UnauthorizedError
from ml_guard.shapes import LiveEvent

log = logging.getLogger(__name__)
T = TypeVar("T")

FRESH_S = 0.4
"""Pages that ask for the same within this time share one answer."""
RETRY_S = 1.0
LINGER_S = 60.0
"""A stream that nobody watches is kept for so long: a page that is loaded anew finds it open."""
MOST_ANSWERS = 16
"""Old answers are let go of beyond so many; some hold thousands of rows."""

Listener = Callable[[LiveEvent], None]


class Source:
    """What a key may see, now."""

    def __init__(self, url: str, secret: str) -> None:
        self.client = AsyncMLGuardClient(base_url=url, api_key=secret)
        self.url = url
        self.connected = False
        self.refused = False
        self.heard_at: datetime | None = None
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._answers: dict[Hashable, tuple[float, asyncio.Task[Any]]] = {}
        self._alone_since = time.monotonic()

    async def ask(self, what: str, call: Callable[..., Awaitable[T]], **query: Any) -> T:
        """The answer of a call, shared by those who ask at the same time."""
        now = time.monotonic()
        if len(self._answers) > MOST_ANSWERS:
            self._answers = {key: one for key, one in self._answers.items() if now - one[0] < FRESH_S}
        key = (what, repr(sorted(query.items(), key=lambda item: item[0])))
        known = self._answers.get(key)
        if known is None or now - known[0] >= FRESH_S:
            known = (now, asyncio.ensure_future(_awaited(call(**query))))
            self._answers[key] = known
        return cast("T", await asyncio.shield(known[1]))

    async def open_alerts(self) -> list[Alert]:
        """Those that nobody has taken on."""
        going_on = await self.ask("alerts", self.client.alerts.list, state="open")
        return [one for one in going_on if one.state == "open"]

    def forget(self) -> None:
        """What was answered is old: something has been changed."""
        self._answers.clear()

    def listen(self, listener: Listener) -> None:
        """Tell it every event from now on."""
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._follow())

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        self._alone_since = time.monotonic()

    async def _follow(self) -> None:
        """Until nobody has watched for a while; a broken stream is opened again, and pages read everything anew."""
        while self._listeners or time.monotonic() - self._alone_since < LINGER_S:
            try:
                async for event in self.client.live(reconnect=False):
                    self.connected, self.refused = True, False
                    self.heard_at = datetime.now(UTC)
                    self._tell(event)
                    if not self._listeners and time.monotonic() - self._alone_since >= LINGER_S:
                        return
            except UnauthorizedError:
                self.refused = True
            except MLGuardError as error:
                log.info("the live stream broke: %s", error)
            self.connected = False
            await asyncio.sleep(RETRY_S)

    def _tell(self, event: LiveEvent) -> None:
        self.forget()  # or a page that asks at once is answered from before the event, and hears of no other
        for listener in list(self._listeners):
            listener(event)


async def _awaited(answer: Awaitable[T]) -> T:
    return await answer
