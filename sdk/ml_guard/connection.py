"""How is a `Call` made over HTTP, sync and async? Only the await differs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar, cast

import httpx
import msgspec

from ml_guard.answers import error_of
from ml_guard.call import PAGE, PREFIX, Call, Listing, Page
from ml_guard.errors import ConnectionLostError, TransportError
from ml_guard.live import LiveParser
from ml_guard.shapes import LiveEvent
from ml_guard.transports.address import checked_base_url, tls

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
RECONNECT_S = 1.0
"""Pause before a broken live stream is taken up again."""
SILENCE_S = 60.0
"""A live stream has a comment every 15 s; after four without one the connection is dead."""


class _Requests:
    """What both kinds of connection share: requests out of calls, values out of answers."""

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float, verify: bool | str) -> None:
        self._options: dict[str, Any] = {
            "base_url": checked_base_url(base_url) + PREFIX,
            "headers": {"X-API-Key": api_key} if api_key else {},
            "timeout": httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
            "verify": tls(base_url, verify),
        }

    @staticmethod
    def _arguments(call: Call[Any]) -> dict[str, Any]:
        arguments: dict[str, Any] = {"params": {k: _text(v) for k, v in call.query.items()}}
        if call.body is not None:
            arguments["content"] = msgspec.json.encode(call.body)
            arguments["headers"] = {"Content-Type": "application/json"}
        elif call.stream is not None:
            arguments["content"] = call.stream()
            arguments["headers"] = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        return arguments

    @staticmethod
    def _value(call: Call[T], response: httpx.Response) -> T:
        if response.status_code >= 400 and response.status_code not in call.also_ok:
            raise error_of(response)
        if call.answer is None:
            return None  # type: ignore[return-value]
        try:
            if call.in_items:
                items = msgspec.json.decode(response.content, type=Page).items
                value = [msgspec.json.decode(item, type=call.answer) for item in items]
            else:
                value = msgspec.json.decode(response.content, type=call.answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _unreadable(response, error) from error
        return cast("T", value)

    @staticmethod
    def _page_call(listing: Listing[Any], cursor: str | None, have: int) -> Call[Page]:
        wanted = PAGE if listing.limit is None else min(PAGE, listing.limit - have)
        query = {**listing.query, "limit": wanted} | ({} if cursor is None else {"cursor": cursor})
        return Call("GET", listing.path, Page, query)

    @staticmethod
    def _items(listing: Listing[T], page: Page) -> list[T]:
        return [msgspec.json.decode(raw, type=listing.item) for raw in page.items]

    @staticmethod
    def _live_arguments(project_id: str | None, model_id: str | None, parser: LiveParser) -> dict[str, Any]:
        names = {"project_id": project_id, "model_id": model_id}
        headers = {"Accept": "text/event-stream"}
        if parser.last_id is not None:
            headers["Last-Event-ID"] = parser.last_id
        return {
            "method": "GET",
            "url": "/live",
            "params": {name: value for name, value in names.items() if value is not None},
            "headers": headers,
            "timeout": httpx.Timeout(SILENCE_S, connect=CONNECT_TIMEOUT_S),
        }


class Connection(_Requests):
    """Calls from any thread; pooled connections, made at first use."""

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float, verify: bool | str) -> None:
        super().__init__(base_url, api_key, timeout_s, verify)
        self._client: httpx.Client | None = None

    def run(self, call: Call[T]) -> T:
        """The answer, or a `TransportError`."""
        try:
            response = self._opened().request(call.method, call.path, **self._arguments(call))
        except httpx.HTTPError as error:
            raise _lost(error) from error
        return self._value(call, response)

    def rows(self, listing: Listing[T]) -> list[T]:
        """All rows, over as many pages as there are."""
        rows: list[T] = []
        cursor: str | None = None
        while listing.limit is None or len(rows) < listing.limit:
            page = self.run(self._page_call(listing, cursor, len(rows)))
            rows += self._items(listing, page)
            if (cursor := page.next_cursor) is None:
                break
        return rows

    def live(self, project_id: str | None, model_id: str | None, reconnect: bool) -> Iterator[LiveEvent]:
        """Events as they come; a broken stream is taken up where it broke."""
        parser = LiveParser()
        while True:
            try:
                with self._opened().stream(**self._live_arguments(project_id, model_id, parser)) as response:
                    if response.status_code != 200:
                        response.read()
                        raise error_of(response)
                    for line in response.iter_lines():
                        if (event := parser.line(line)) is not None:
                            yield event
            except (httpx.HTTPError, TransportError) as error:
                _raise_unless(reconnect, error)
            if not reconnect:
                return
            parser.restart()
            time.sleep(RECONNECT_S)

    def close(self) -> None:
        """Close what is open."""
        if self._client is not None:
            self._client.close()

    def _opened(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(**self._options)
        return self._client


class AsyncConnection(_Requests):
    """Calls from one event loop; pooled connections, made at first use."""

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float, verify: bool | str) -> None:
        super().__init__(base_url, api_key, timeout_s, verify)
        self._client: httpx.AsyncClient | None = None

    async def run(self, call: Call[T]) -> T:
        """The answer, or a `TransportError`."""
        try:
            response = await self._opened().request(call.method, call.path, **self._arguments(call))
        except httpx.HTTPError as error:
            raise _lost(error) from error
        return self._value(call, response)

    async def rows(self, listing: Listing[T]) -> list[T]:
        """All rows, over as many pages as there are."""
        rows: list[T] = []
        cursor: str | None = None
        while listing.limit is None or len(rows) < listing.limit:
            page = await self.run(self._page_call(listing, cursor, len(rows)))
            rows += self._items(listing, page)
            if (cursor := page.next_cursor) is None:
                break
        return rows

    async def live(
        self, project_id: str | None, model_id: str | None, reconnect: bool
    ) -> AsyncIterator[LiveEvent]:
        """Events as they come; a broken stream is taken up where it broke."""
        parser = LiveParser()
        while True:
            try:
                request = self._live_arguments(project_id, model_id, parser)
                async with self._opened().stream(**request) as response:
                    if response.status_code != 200:
                        await response.aread()
                        raise error_of(response)
                    async for line in response.aiter_lines():
                        if (event := parser.line(line)) is not None:
                            yield event
            except (httpx.HTTPError, TransportError) as error:
                _raise_unless(reconnect, error)
            if not reconnect:
                return
            parser.restart()
            await asyncio.sleep(RECONNECT_S)

    async def close(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.aclose()

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(**self._options)
        return self._client


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _lost(error: httpx.HTTPError) -> ConnectionLostError:
    return ConnectionLostError(f"{error.request.url} does not answer ({type(error).__name__}: {error})")


def _raise_unless(reconnect: bool, error: httpx.HTTPError | TransportError) -> None:
    if isinstance(error, TransportError):
        if not (reconnect and error.retriable):
            raise error
    elif not reconnect:
        raise _lost(error) from error


def _unreadable(response: httpx.Response, error: Exception) -> TransportError:
    return TransportError(
        f"{response.request.url} was answered, but not as ML Guard's API does ({error}): check base_url=",
        response.status_code,
    )
