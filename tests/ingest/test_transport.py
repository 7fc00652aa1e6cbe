"""What the consumer does with a fetch: the records of the log in order, and nothing that was aborted."""

from __future__ import annotations

import time
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka import codec as library
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from ml_guard.reporting import HEADER
from stream.ingest import packed, records
from stream.ingest.decode import RecordReader
from stream.ingest.packed import KeptRecords
from stream.ingest.records import UnreadableRecordsError, unpack

TP = TopicPartition("log", 3)
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def encoded(
    base: int,
    values: list[bytes | None],
    *,
    transactional: int = 0,
    producer: int = -1,
    codec: int = 0,
    at: int = 1_000,
) -> bytearray:
    """A batch of the log as the broker sends it."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=transactional,
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 23,
    )
    for position, value in enumerate(values):
        builder.append(position, at + position, None, value, [])
    batch = builder.build()
    batch[0:8] = base.to_bytes(
        8, "big"
    )  # brokers write the offset of the first record; the checksum leaves it out
    return batch


def fetched(data: bytes, position: int, aborted: Any = ()) -> PartitionRecords:
    return PartitionRecords(TP, KeptRecords(data), list(aborted), position, None, None, True, READ_COMMITTED)


def test_a_fetch_becomes_parallel_lists() -> None:
    data = bytes(encoded(10, [b"a", None, b"c"]) + encoded(13, [b"d"]))
    batch = unpack(fetched(data, 10))
    assert (batch.topic, batch.partition, batch.lo, batch.hi, batch.nbytes) == ("log", 3, 10, 14, 3)
    assert list(batch.offsets) == [10, 11, 12, 13]
    assert batch.values == [b"a", None, b"c", b"d"]
    assert batch.appended_ms == [1_000, 1_001, 1_002, 1_000]


def test_a_fetch_that_begins_inside_a_batch_leaves_out_what_was_read() -> None:
    batch = unpack(fetched(bytes(encoded(10, [b"a", b"b", b"c"])), 12))
    assert (batch.lo, batch.hi, list(batch.offsets), batch.values) == (12, 13, [12], [b"c"])


@pytest.mark.parametrize("at", [10**18, 10**13, -1, -(10**15)])
def test_an_arrival_that_a_producer_claims_is_one_that_there_may_have_been(at: int) -> None:
    """In a topic that takes producers' times, nanoseconds say; no date of ours reaches so far."""
    (arrival,) = unpack(fetched(bytes(encoded(0, [b"a"], at=at)), 0)).appended_ms
    assert arrival == 0 if at < 0 else 0 <= time.time() * 1000 - arrival < 600_000


def test_aborted_transactions_are_passed_over() -> None:
    data = bytes(
        encoded(0, [b"good"])
        + encoded(1, [b"bad", b"bad"], transactional=1, producer=7)
        + encoded(3, [b"good"])
    )
    batch = unpack(fetched(data, 0, aborted=[(7, 1)]))
    assert batch.values == [b"good", b"good"]
    assert (list(batch.offsets), batch.hi) == ([0, 3], 4)


def test_a_gap_in_the_log_keeps_the_offsets_right() -> None:
    batch = unpack(fetched(bytes(encoded(0, [b"a"]) + encoded(7, [b"b", b"c"])), 0))
    assert (list(batch.offsets), batch.lo, batch.hi) == ([0, 7, 8], 0, 9)
    cut = batch.from_offset(8)
    assert (list(cut.offsets), cut.values, cut.lo, cut.hi, cut.nbytes) == ([8], [b"c"], 8, 9, 1)


def test_damaged_records_are_refused_and_the_position_stays() -> None:
    data = encoded(0, [b"a value"])
    data[-2] ^= 0xFF
    found = fetched(bytes(data), 0)
    with pytest.raises(CorruptRecordException):
        unpack(found)
    assert found.next_fetch_offset == 0


@pytest.mark.parametrize("codec", ["snappy", "lz4", "zstd"])
def test_records_that_nobody_can_unpack_are_refused_where_they_begin(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(encoded(0, [b"plain"]) + encoded(1, [b"packed" * 100] * 3, codec=CODECS[codec]))
    whole = unpack(fetched(data, 0))
    assert whole.values == [b"plain", *[b"packed" * 100] * 3]

    monkeypatch.setattr(f"aiokafka.codec.has_{codec}", lambda: False)
    found = fetched(data, 0)
    assert unpack(found).values == [b"plain"]
    assert found.next_fetch_offset == 1
    again = fetched(data, 1)
    with pytest.raises(UnreadableRecordsError, match="`cramjam`") as refused:
        unpack(again)
    assert (refused.value.offset, again.next_fetch_offset) == (1, 1)
    assert codec in refused.value.why


def test_packed_records_that_are_no_such_thing_are_refused_without_their_bytes() -> None:
    data = encoded(0, [b"secret" * 100], codec=CODECS["gzip"])
    data[61:] = b"secret, and no gzip"  # 61 bytes of header
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    data[17:21] = calc_crc32c(data[21:]).to_bytes(4, "big")
    with pytest.raises(UnreadableRecordsError) as refused:
        unpack(fetched(bytes(data), 0))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_unpacks_to_too_much_is_one_dead_letter_of_its_packed_bytes(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker takes a few kilobytes that come to gigabytes: what is before and behind them is counted."""
    for module in (packed, records):
        monkeypatch.setattr(module, "PLAIN_BYTES", 1_048_576)
    whole = b" " * 1_048_000
    most = bytes(encoded(1, [whole], codec=CODECS[codec]))
    assert unpack(fetched(most, 1)).values == [whole]
    bomb = bytes(encoded(1, [b"{}", whole, whole], codec=CODECS[codec]))
    data = bytes(encoded(0, [b"a"])) + bomb + bytes(encoded(4, [b"b"]))
    batch = unpack(fetched(data, 0))
    if codec == "snappy":  # snappy comes to 21 times its size at most
        assert batch.values == [b"a", b"{}", whole, whole]
        return
    assert (batch.values, list(batch.offsets), batch.hi) == ([b"a", bomb, b"b"], [0, 1, 4], 5)
    found = RecordReader(max_features=500, max_record_bytes=1 << 30).read(batch)
    assert [(dead.offset, dead.reason, dead.payload) for dead in found.dead if dead.offset == 1] == [
        (1, "record_too_large", bomb)
    ]
    assert f"{len(bomb)} bytes come to more than 1048576" in found.dead[1].detail


def test_what_a_fetch_comes_to_when_unpacked_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (packed, records):
        monkeypatch.setattr(module, "PLAIN_BYTES", 100_000)
    data = b"".join(bytes(encoded(at, [b" " * 60_000], codec=CODECS["zstd"])) for at in range(5))
    found = fetched(data, 0)
    assert list(unpack(found).offsets) == [0, 1]
    assert found.next_fetch_offset == 2


@pytest.mark.parametrize("codec", [None, *CODECS])
def test_a_headers_name_that_is_no_text_keeps_no_record_from_being_read(codec: str | None) -> None:
    """The name stands beside a report's: whoever writes in C may name a header as he likes."""
    values = [b"a" * 100, None, b""]
    headers: list[list[tuple[str, bytes | None]]] = [
        [("NAME", b"x"), ("NAME", None)],
        [("NAME", b"y"), (HEADER, b"{}")],
        [],
    ]
    good = unpack(fetched(with_headers(values, headers, codec, b"NAME"), 7))
    bad = unpack(fetched(with_headers(values, headers, codec, b"\xff\xfe\xfd\xfc"), 7))
    assert (bad.values, bad.reports, bad.nbytes, bad.hi) == (good.values, good.reports, good.nbytes, good.hi)
    assert (bad.values, list(bad.offsets), bad.appended_ms) == (values, [7, 8, 9], [1_000, 1_005, 1_010])
    assert bad.reports == {8: b"{}"}


def with_headers(
    values: list[bytes | None], headers: list[list[tuple[str, bytes | None]]], codec: str | None, name: bytes
) -> bytes:
    plain = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for position, (value, of) in enumerate(zip(values, headers, strict=True)):
        plain.append(position, 1_000 + 5 * position, b"key", value, of)
    data = bytearray(bytes(plain.build()).replace(b"NAME", name))
    if codec is not None:
        data[61:] = getattr(library, f"{codec}_encode")(bytes(data[61:]))
        data[22] |= CODECS[codec]
    data[0:8] = (7).to_bytes(8, "big")
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    data[17:21] = calc_crc32c(data[21:]).to_bytes(4, "big")
    return bytes(data)
