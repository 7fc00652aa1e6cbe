"""What does a batch of records hold that aiokafka would unpack to any size, or refuse for a header's name?

Brokers take both: they look into what is packed piece by piece, and at no name of a header. Here a packed batch
becomes a plain one of bounded size, and names that are no UTF-8 keep no record from being read.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
from aiokafka import codec
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

PLAIN_BYTES = 64 * 1_048_576
"""Of a batch's records: far more than a producer puts into one, and less than a worker has."""
_GZIP, _LZ4, _ZSTD = 1, 3, 4
_HEAD = 61
_LENGTH, _CODEC = slice(8, 12), 22
_BEFORE_LENGTH_COUNTS = 12


class TooLargeError(Exception):
    """The batch comes to more than `PLAIN_BYTES`."""


class Record(NamedTuple):
    """What is read of a record."""

    offset: int
    timestamp: int
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class KeptRecords(MemoryRecords):  # type: ignore[misc]
    """The batches of a fetch, each with its bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data, self._at = memoryview(data), 0

    def next_with_bytes(self) -> tuple[Any, memoryview]:
        """The next batch."""
        begin = self._at
        head = self._data[begin : begin + _BEFORE_LENGTH_COUNTS]
        self._at += _BEFORE_LENGTH_COUNTS + int.from_bytes(head[_LENGTH], "big")
        return self.next_batch(), self._data[begin : self._at]


def records_of(batch: Any, data: memoryview) -> list[Any]:
    """A batch's records: its own, or `Record`.

    Raises
    ------
    TooLargeError
    """
    plain = data
    payload = _unpacked(batch.compression_type, data[_HEAD:]) if batch.magic == 2 else None
    if payload is not None:
        batch, plain = _plain(data, payload)
    try:
        return list(batch)
    except UnicodeDecodeError:
        if batch.compression_type:  # snappy, which bounds itself: 64 bytes for three
            batch, plain = _plain(data, codec.snappy_decode(bytes(data[_HEAD:])))
        return _with_any_names(batch, bytes(plain[_HEAD:]))


def _plain(data: memoryview, payload: bytes) -> tuple[Any, memoryview]:
    head = bytearray(data[:_HEAD])
    head[_LENGTH] = (_HEAD - _BEFORE_LENGTH_COUNTS + len(payload)).to_bytes(4, "big")
    head[_CODEC] &= ~7
    plain = bytes(head) + payload
    return MemoryRecords(plain).next_batch(), memoryview(plain)


def _unpacked(kind: int, packed: memoryview) -> bytes | None:
    """None: it is plain, or aiokafka's to unpack or to refuse."""
    if kind == _GZIP:
        return _gzip(packed)
    if (kind == _LZ4 and codec.has_lz4()) or (kind == _ZSTD and codec.has_zstd()):
        return _framed(kind, packed)
    return None


def _gzip(packed: memoryview) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    found = unpacker.decompress(packed, PLAIN_BYTES + 1)
    if len(found) > PLAIN_BYTES:
        raise TooLargeError
    if not unpacker.eof:
        raise zlib.error
    return found


def _framed(kind: int, packed: memoryview) -> bytes:
    import cramjam  # may be missing: then the partition stops, and says so

    room = np.empty(PLAIN_BYTES, np.uint8).data  # takes memory where it is written only
    unpack = cramjam.lz4.decompress_into if kind == _LZ4 else cramjam.zstd.decompress_into
    try:
        size = unpack(bytes(packed), room)
    except cramjam.DecompressionError as error:
        if "whole buffer" in str(error):
            raise TooLargeError from None
        raise
    return room[:size].tobytes()


def _with_any_names(batch: Any, data: bytes) -> list[Record]:
    found: list[Record] = []
    at = 0

    def number() -> int:
        nonlocal at
        value, at = decode_varint(data, at)
        return int(value)

    def piece() -> bytes | None:
        nonlocal at
        size = number()
        begin, at = at, at + max(size, 0)
        return None if size < 0 else data[begin:at]

    while at < len(data):
        number()  # its length
        at += 1  # its attributes
        timestamp, offset = batch.first_timestamp + number(), batch.base_offset + number()
        piece()  # its key
        value = piece()
        headers = [((piece() or b"").decode("utf-8", "replace"), piece()) for _ in range(number())]
        found.append(Record(offset, timestamp, value, headers))
    return found
