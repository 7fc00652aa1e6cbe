"""What happens while a page is open? It is laid out once, then painted again whenever its data change."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any, ClassVar

import panel as pn
from bokeh.io import curdoc
from panel.viewable import Viewable

from dashboards.live.address import Place
from dashboards.live.doors import Visitor
from dashboards.live.markup import Part
from dashboards.live.source import Source
from dashboards.live.theme import Scheme
from ml_guard.errors import MLGuardError, NotFoundError, UnauthorizedError
from ml_guard.shapes import LiveEvent

log = logging.getLogger(__name__)

TICK_MS = 250
BETWEEN_S = 0.75
"""A page is painted at most so often, however fast events come."""
ANYWAY_S = 20.0
"""And at least so often, since "5 min ago" grows old by itself."""


class EmptyPageError(Exception):
    """There is nothing to show here; the message says what to do."""


class Page(ABC):
    """One page for one visitor."""

    title: ClassVar[str]

    def __init__(self, source: Source, visitor: Visitor, place: Place, scheme: Scheme) -> None:
        self.source = source
        self.visitor = visitor
        self.place = place
        self.scheme = scheme

    @abstractmethod
    async def read(self) -> Any:
        """Everything that the page shows, from the API."""

    @abstractmethod
    def lay_out(self) -> list[Viewable]:
        """The parts of the page, made once."""

    @abstractmethod
    def paint(self, data: Any) -> None:
        """Put what was read into the parts."""

    def concerns(self, event: LiveEvent) -> bool:
        """Whether an event of the live stream changes this page."""
        return True

    def is_model(self, event: LiveEvent) -> bool:
        """Whether it is of the model that the place names."""
        metric = event.metric
        return metric is None or (metric.project_id, metric.model_id, metric.endpoint) == self.place.model_key


class View:
    """A page in a browser: loading, shown, stale, or not to be had."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.bar = Part(name="bar")
        self.trouble = Part(name="trouble")
        self.body = pn.Column(Part(name="loading", html=_LOADING), sizing_mode="stretch_width", margin=0)
        self._laid_out = False
        self._dirty = True
        self._read_at: datetime | None = None
        self._tried = 0.0
        self._problem = ""
        self._alerts = 0
        self._was_connected = True
        self._reading = asyncio.Lock()
        self._ahead: asyncio.Task[Any] | None = None
        self._show_bar()

    def open(self) -> None:
        """Begin to read, while the browser loads the scripts, and to listen until it has left."""
        self.page.source.listen(self._hear)
        pn.state.on_session_destroyed(lambda context: self.page.source.leave(self._hear))
        self.page.source.forget()  # who loads a page anew wants what is stored now
        self._ahead = asyncio.ensure_future(self._read())
        pn.state.onload(self._begin)

    async def _begin(self) -> None:
        """Once the browser has the page: what was changed sooner would not reach it."""
        await self._tick()
        pn.state.add_periodic_callback(self._tick, period=TICK_MS)

    def _hear(self, event: LiveEvent) -> None:
        if event.event != "metric" or self.page.concerns(event):
            self._dirty = True
            if self._ahead is not None:  # it may have been read before the event
                self._ahead.cancel()
                self._ahead = None

    async def _tick(self) -> None:
        if self._reading.locked():
            return
        connected = self.page.source.connected
        if connected != self._was_connected:  # what was missed is read, or why the stream broke is found out
            self._dirty = True
        self._was_connected = connected
        waited = time.monotonic() - self._tried
        if (self._dirty and waited >= BETWEEN_S) or waited >= ANYWAY_S or (self._problem and waited >= 2):
            async with self._reading:
                try:
                    await self._refresh()
                except Exception as error:  # a fault of ours: it is said, and the page tries again
                    log.exception("%s could not be shown", self.page.place)
                    self._problem = (
                        f"This page failed with {type(error).__name__}; the dashboard's log has more."
                    )
                    self._show_trouble()
        self._show_bar()

    async def _refresh(self) -> None:
        self._tried = time.monotonic()
        self._dirty = False
        ahead, self._ahead = self._ahead, None
        try:
            data = await (ahead or self._read())
        except UnauthorizedError:
            self._cannot("Your key is no longer valid.", "It was revoked, or it has changed.", login=True)
        except (NotFoundError, EmptyPageError) as error:
            self._cannot("There is nothing here.", str(error))
        except MLGuardError as error:
            self._problem = str(error)
            log.info("a page could not be read: %s", error)
        else:
            self._problem = ""
            self._read_at = datetime.now(UTC)
            self._paint(data)
        self._show_trouble()

    async def _read(self) -> Any:
        data = await self.page.read()
        self._alerts = len(await self.page.source.open_alerts())
        return data

    def _paint(self, data: Any) -> None:
        if not self._laid_out:
            parts = self.page.lay_out()
            self.page.paint(data)
            self.body.objects = parts
            self._laid_out = True
            return
        document = curdoc()
        document.hold("combine")
        try:
            self.page.paint(data)
        finally:
            document.unhold()

    def _cannot(self, title: str, detail: str, *, login: bool = False) -> None:
        self._problem, self._laid_out = "", False
        part = Part()
        part.show("cannot.html", title=title, detail=detail, login=login)
        self.body.objects = [part]

    def _show_trouble(self) -> None:
        self.trouble.show(
            "trouble.html",
            notice=self.page.place.notice,
            problem=self._problem,
            url=self.page.source.url,
            read_at=self._read_at,
        )

    def _show_bar(self) -> None:
        source = self.page.source
        live = source.connected and not self._problem
        state = (
            ("live" if live else "connecting" if self._read_at is None else "stale")
            if not source.refused
            else "out"
        )
        self.bar.show(
            "bar.html", place=self.page.place, visitor=self.page.visitor, state=state, alerts=self._alerts
        )


_LOADING = (
    '<div class="skeleton" role="status" aria-label="Loading"><i></i><i></i><i></i><i></i>'
    '<span class="hidden">Loading …</span></div>'
)
