"""What the consumer does with a fetch: the records of the log in order, and nothing that was aborted."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from stream.ingest.records import UnreadableRecordsError, unpack

TP = TopicPartition("log", 3)
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def encoded(
    base: int, values: list[bytes | None], *, transactional: int = 0, producer: int = -1, codec: int = 0
) -> bytearray:
    """A batch of the log as the broker sends it."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=transactional,
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 20,
    )
    for position, value in enumerate(values):
        builder.append(position, 1_000 + position, None, value, [])
    batch = builder.build()
    batch[0:8] = base.to_bytes(
        8, "big"
    )  # brokers write the offset of the first record; the checksum leaves it out
    return batch


def fetched(data: bytes, position: int, aborted: Any = ()) -> PartitionRecords:
    return PartitionRecords(
        TP, MemoryRecords(data), list(aborted), position, None, None, True, READ_COMMITTED
    )


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
