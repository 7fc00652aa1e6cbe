"""What can happen to a connection? A TCP proxy on loopback that cuts, delays, throttles, and swallows replies.

It runs on a thread with a loop of its own. What a test sets on it counts for the next bytes; what it has counted
proves that the fault happened.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from embedded.process import HOST, free_port

CHUNK = 65_536


class Link:
    """One client's connection, and the proxy's to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.loses_reply = False

    def cut(self) -> None:
        """Both sides see a reset, whatever was on its way."""
        for writer in (self.client, self.server):
            writer.transport.abort()


class Proxy:
    """Between clients of `port` and a server at `target`.

    Attributes
    ----------
    delay_s : float
        Every chunk waits so long, in both directions.
    bytes_per_s : float or None
        As much passes, in both directions together.
    half_open : bool
        Requests pass; replies are swallowed, and the connections stay up.
    refuses : bool
        New connections are ended at once.
    up, down, swallowed, cuts, refused : int
        Bytes to the server and to clients, bytes of replies that nobody got, connections cut and refused.
    delayed, lost_replies, throttled : int
        Requests held up by `slow`, replies lost by `lose_reply`, bytes held up by `bytes_per_s`.
    """

    def __init__(self, target: int) -> None:
        self.target, self.port = target, free_port()
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None
        self.half_open = self.refuses = False
        self.up = self.down = self.swallowed = self.cuts = self.refused = 0
        self.delayed = self.lost_replies = self.throttled = 0
        self._slow: tuple[bytes, float] | None = None
        self._lose: tuple[bytes, int] | None = None
        self._cut_behind: int | None = None
        self._links: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fault proxy", daemon=True)

    def __enter__(self) -> Proxy:
        listening = threading.Event()
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(listening), self._loop)
        if not listening.wait(10):
            raise TimeoutError(f"the fault proxy does not listen on {self.port}")
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def cut(self) -> None:
        """End every connection."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(self._cut_all, done)
        done.wait(10)

    @contextmanager
    def gone(self) -> Iterator[None]:
        """The server is away: connections end, and no new one is taken."""
        self.refuses = True
        self.cut()
        try:
            yield
        finally:
            self.refuses = False

    def slow(self, request: bytes, seconds: float) -> None:
        """Hold up every chunk of a request that has these bytes; none if it is 0 s."""
        self._slow = (request, seconds) if seconds else None

    def lose_reply(self, request: bytes, times: int = 1) -> None:
        """The next such requests reach the server; its reply is lost, and the connection with it."""
        self._lose = (request, times)

    def cut_behind(self, nbytes: int | None) -> None:
        """End every connection as soon as so many more bytes have gone to the server."""
        self._cut_behind = nbytes

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self, listening: threading.Event) -> None:
        await asyncio.start_server(self._serve, HOST, self.port)
        listening.set()

    def _cut_all(self, done: threading.Event | None = None) -> None:
        for link in list(self._links):
            self.cuts += 1
            link.cut()
        if done is not None:
            done.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            self.refused += 1
            writer.transport.abort()
            return
        try:
            answers, server = await asyncio.open_connection(HOST, self.target)
        except OSError:
            self.refused += 1
            writer.transport.abort()
            return
        link = Link(writer, server)
        self._links.add(link)
        try:
            ways = (self._pass(reader, link, self._request), self._pass(answers, link, self._reply))
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._links.discard(link)
            link.cut()

    async def _pass(
        self, reader: asyncio.StreamReader, link: Link, way: Callable[[Link, bytes], Awaitable[None]]
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.bytes_per_s is not None:
                    self.throttled += len(chunk)
                    await asyncio.sleep(len(chunk) / self.bytes_per_s)
                await way(link, chunk)

    async def _request(self, link: Link, chunk: bytes) -> None:
        if self._slow is not None and self._slow[0] in chunk:
            self.delayed += 1
            await asyncio.sleep(self._slow[1])
        if self._lose is not None and self._lose[0] in chunk:
            request, times = self._lose
            self._lose = (request, times - 1) if times > 1 else None
            link.loses_reply = True
        self.up += len(chunk)
        link.server.write(chunk)
        await link.server.drain()
        if self._cut_behind is not None:
            self._cut_behind -= len(chunk)
            if self._cut_behind <= 0:
                self._cut_behind = None
                self._cut_all()

    async def _reply(self, link: Link, chunk: bytes) -> None:
        if link.loses_reply:
            self.lost_replies += 1
            self.swallowed += len(chunk)
            self.cuts += 1
            link.cut()
            return
        if self.half_open:
            self.swallowed += len(chunk)
            return
        self.down += len(chunk)
        link.client.write(chunk)
        await link.client.drain()
