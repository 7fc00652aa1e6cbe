"""What events are in a request's body? Read with bounds on its size, its unpacked size, its time and the memory of all."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from api.bridge.budget import Budget
from api.problems import Problem
from ml_guard.decoding import split_events
from ml_guard.errors import EventError

JSON = frozenset({"", "application/json"})
NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})

READ_S = 30.0
"""The longest that a body may take to arrive: slow senders must not hold the buffer."""

STEP = 65_536
MEMBERS = 100
GZIP = 16 + zlib.MAX_WBITS


class Body:
    """A request's body, counted in the budget while it is held."""

    def __init__(self, request: Request, budget: Budget, most: int, holder: str) -> None:
        self._request, self._budget, self._most, self._holder = request, budget, most, holder
        self._taken = 0

    def release(self) -> None:
        """The body is no longer held."""
        self._budget.give(self._taken, self._holder)
        self._taken = 0

    async def events(self) -> list[bytes]:
        """The raw events in it. Raises the problems of a body that is too large, too slow or not what it says."""
        headers = self._request.headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in JSON and kind not in NDJSON:
            raise Problem(
                "unsupported_media_type",
                "Send application/json or application/x-ndjson.",
                headers={"Accept": "application/json, application/x-ndjson"},
            )
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip"):
            raise Problem(
                "unsupported_media_type",
                "Content-Encoding may be gzip or left out.",
                headers={"Accept-Encoding": "gzip"},
            )
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._most:
            raise self._too_large()
        try:
            async with asyncio.timeout(READ_S):
                raw = await (self._unpacked() if encoding == "gzip" else self._plain())
        except TimeoutError:
            raise Problem("request_timeout", f"The body did not arrive within {READ_S:g} s.") from None
        try:
            return split_events(raw, ndjson=kind in NDJSON)
        except EventError as error:
            raise Problem("invalid_json", f"The body is {error.detail}.") from error

    async def _plain(self) -> bytes:
        parts: list[bytes] = []
        async for chunk in self._request.stream():
            self._hold(len(chunk))
            parts.append(chunk)
        return b"".join(parts)

    async def _unpacked(self) -> bytes:
        parts: list[bytes] = []
        async for part in gunzipped(self._packed()):
            self._hold(len(part))
            parts.append(part)
        return b"".join(parts)

    async def _packed(self) -> AsyncIterator[bytes]:
        packed = 0
        async for chunk in self._request.stream():
            packed += len(chunk)
            if packed > self._most:
                raise self._too_large()
            yield chunk

    def _hold(self, size: int) -> None:
        if self._taken + size > self._most:
            raise self._too_large()
        self._budget.take(size, self._holder)
        self._taken += size

    def _too_large(self) -> Problem:
        return Problem(
            "payload_too_large",
            f"A body may have {self._most} bytes, unpacked too; send it in parts.",
            most_bytes=self._most,
            limit="max_body_bytes",
        )


async def gunzipped(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A gzip body unpacked, a small part at a time. Raises the problem `invalid_encoding`."""
    members = 0
    unpacker = zlib.decompressobj(GZIP)
    try:
        async for chunk in chunks:
            rest = chunk
            while rest:
                if unpacker.eof:  # gzip files may follow one another
                    unpacker = zlib.decompressobj(GZIP)
                    members += 1
                    if members > MEMBERS:
                        raise Problem("invalid_encoding", f"More than {MEMBERS} gzip files in one body.")
                yield unpacker.decompress(rest, STEP)
                rest = unpacker.unconsumed_tail or unpacker.unused_data
                await asyncio.sleep(0)
        while not unpacker.eof and (part := unpacker.decompress(b"", STEP)):
            yield part
    except zlib.error as error:
        raise Problem("invalid_encoding", f"The body is not gzip: {error}.") from error
    if not unpacker.eof:
        raise Problem("invalid_encoding", "The gzip body is cut off.")
