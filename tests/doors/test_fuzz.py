"""Does any sequence of bytes break what reads them: the event decoder, and the embedded database's framing?"""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedded.database import launch
from embedded.process import HOST, free_port
from ml_guard.decoding import EventDecoder, split_events
from ml_guard.errors import REASONS, EventError
from ml_guard.event import Event, EventBatch, encode_batch
from stream.ingest.decode import RecordReader
from stream.ingest.records import PartitionBatch

EXAMPLES = int(os.environ.get("ML_GUARD_FUZZ_EXAMPLES", "400"))
FRAMING = Path(launch.__file__).parent / "framing.mjs"
STEADY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="ML_GUARD_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
GOOD = b'{"project_id":"p","model_id":"m","timestamp":"2025-01-01T00:00:00Z","y_pred":1,"features":{"a":1.5,"b":"x"}}'
SEEDS = [GOOD, encode_batch([GOOD, GOOD], project_id="p", batch_id="b"), b'{"events":[1,{}]}', b"[1]"]
TOKENS = st.sampled_from(
    [
        *map(
            str.encode, ["{", "}", "[", "]", '"', "-", ",", ":", "null", "NaN", "1e999", '"events":', '"v":2']
        ),
        b"\\u0000",
        b"\\ud800",
        b"\xff",
        b"\0",
        b"[" * 2000,
    ]
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A record that was good once: cut, doubled and sprinkled with what parsers dislike."""
    raw = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(raw)))
        end = draw(st.integers(start, min(len(raw), start + 20)))
        raw = raw[:start] + draw(TOKENS | st.binary(max_size=4)) + raw[end:]
    return raw


def batch_of(values: list[bytes | None]) -> PartitionBatch:
    size = len(values)
    return PartitionBatch("t", 0, 1, 0, size, list(range(size)), [0] * size, values, 0)


@STEADY
@given(st.lists(broken() | st.binary(max_size=60) | st.none(), min_size=1, max_size=6))
def test_every_record_is_events_or_a_reason_and_never_an_exception(values: list[bytes | None]) -> None:
    records = RecordReader(max_features=500, max_record_bytes=1_048_576).read(batch_of(values))
    seen = set(records.record) | {letter.offset for letter in records.dead}
    empty_batches = {at for at, raws in records.raws.items() if not raws}
    assert seen | empty_batches | {at for at, value in enumerate(values) if value is None} == set(
        range(len(values))
    )
    assert {letter.reason for letter in records.dead} <= set(REASONS)
    assert len(records.record) == len(records.index) == len(records.events)
    decoder = EventDecoder()
    for value in filter(None, values):
        verdict = outcome(decoder, value)
        assert isinstance(verdict, Event | EventBatch) or verdict in REASONS
        for ndjson in (False, True):
            with suppress(EventError):
                split_events(value, ndjson=ndjson)


def outcome(decoder: EventDecoder, value: bytes) -> Event | EventBatch | str:
    """What the decoder makes of a record, or the reason why it does not."""
    try:
        return decoder.record(value)
    except EventError as error:
        return error.reason


CUTTER = """
import { MessageReader } from %s;
import { readFileSync } from 'node:fs';
const answers = JSON.parse(readFileSync(0, 'utf8')).map((chunks) => {
  const reader = new MessageReader(); const found = []; let opened = false;
  try {
    for (const chunk of chunks) {
      reader.push(Buffer.from(chunk, 'hex'));
      for (;;) {
        const message = opened ? reader.next() : reader.nextStartup();
        if (message === null) break;
        opened = true; found.push(message.toString('hex'));
      }
    }
  } catch (error) { if (!(error instanceof RangeError)) throw error; found.push('refused'); }
  return found;
});
console.log(JSON.stringify(answers));
"""


def expected(stream: bytes) -> list[str]:
    """What PostgreSQL's protocol makes of a stream, read plainly."""
    found: list[str] = []
    at, head, least, most = 0, 0, 8, 10_000
    while len(stream) - at >= head + 4:
        (length,) = struct.unpack_from("!i", stream, at + head)
        if not least <= length <= most:
            return [*found, "refused"]
        if len(stream) - at < head + length:
            return found
        found.append(stream[at : at + head + length].hex())
        at += head + length
        head, least, most = 1, 4, (1 << 30) - 1
    return found


def streams(seed: int, count: int) -> list[list[bytes]]:
    """Openings and messages, some with lengths that lie, cut anywhere."""
    dice = random.Random(seed)
    made = []
    for _ in range(count):
        parts = []
        for number in range(dice.randint(1, 6)):
            body = dice.randbytes(dice.choice((0, 1, 4, 4, 30, 300)))
            length = len(body) + 4
            if dice.random() < 0.15:
                length = dice.choice((0, -1, 3, 7, 2**31 - 1, -(2**31), 1 << 30, 9_999, length + 1))
            parts.append((b"" if number == 0 else dice.randbytes(1)) + struct.pack("!i", length) + body)
        whole = b"".join(parts)[: dice.randint(1, 2_000)]
        cuts = sorted(dice.randint(0, len(whole)) for _ in range(dice.randint(0, 8)))
        made.append([whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) if a < b])
    return made


def test_messages_are_cut_where_the_protocol_says_however_they_arrive() -> None:
    tried = streams(11, EXAMPLES * 5)
    done = subprocess.run(
        ["node", "--input-type=module", "-e", CUTTER % json.dumps(FRAMING.as_uri())],
        input=json.dumps([[chunk.hex() for chunk in chunks] for chunks in tried]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    wanted = [expected(b"".join(chunks)) for chunks in tried]
    assert answers == wanted
    assert sum("refused" in found for found in wanted) > EXAMPLES / 2
    assert sum(len(found) > 2 for found in wanted) > EXAMPLES / 2


@pytest.fixture(scope="module")
def own_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own: what is sent here might end it."""
    folder = tmp_path_factory.mktemp("fuzzed")
    port = free_port()
    part = launch.start(folder / "database", port, folder / "log")
    yield launch.url(port)
    part.stop()


def unknown(url: str) -> socket.socket:
    """A connection that has said nothing yet."""
    return socket.create_connection((HOST, urlsplit(url).port or 0), timeout=10)


def logged_in(url: str) -> socket.socket:
    where = urlsplit(url)
    client = unknown(url)
    opening = struct.pack("!i", 196_608) + b"user\0ml_guard\0database\0ml_guard\0\0"
    client.sendall(struct.pack("!i", len(opening) + 4) + opening)
    client.recv(64)
    password = (where.password or "").encode() + b"\0"
    client.sendall(b"p" + struct.pack("!i", len(password) + 4) + password)
    return client


async def test_garbage_from_one_client_ends_nobody_elses_work(own_database: str) -> None:
    dice = random.Random(5)
    other = await asyncpg.connect(own_database)
    try:
        for number, chunks in enumerate(streams(3, 60)):
            client = logged_in(own_database) if number % 2 else unknown(own_database)
            with client, suppress(OSError):  # it may be thrown out before it has said everything
                for chunk in chunks:
                    client.sendall(chunk)
                if dice.random() < 0.5:
                    client.shutdown(socket.SHUT_WR)
            assert await other.fetchval("select $1::int", number, timeout=20) == number
    finally:
        await other.close()
