"""How does what cannot be folded get into the dead letter topic, before its checkpoint commits?

A record there has the original bytes as its value, `topic/partition/offset/index` as its key, and headers that say
why: `reason`, `detail`, `project_id` (if known), `appended_at` (milliseconds), and `truncated` if its value was cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from stream.days import from_us
from stream.ingest.decode import DeadLetter
from stream.store.dead_letters import DeadLetterRow

MOST_BYTES = 900_000
"""Of a dead letter's value; brokers take records of one mebibyte unless they are set otherwise."""
IN_FLIGHT = 500


class DeadLetters:
    """Sends dead letters; acknowledged by all in-sync replicas."""

    def __init__(self, kafka: Mapping[str, Any], dead_topic: str) -> None:
        self._topic = dead_topic
        self._producer = AIOKafkaProducer(
            **kafka,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_request_size=2 * 1_048_576,
        )

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def send(self, topic: str, partition: int, letters: Sequence[DeadLetter]) -> list[DeadLetterRow]:
        """Send these; return when all are acknowledged, with their rows for the index."""
        rows: list[DeadLetterRow] = []
        for begin in range(0, len(letters), IN_FLIGHT):
            some = letters[begin : begin + IN_FLIGHT]
            rows += await asyncio.gather(*(self._send(topic, partition, letter) for letter in some))
        return rows

    async def _send(self, topic: str, partition: int, letter: DeadLetter) -> DeadLetterRow:
        most = min(MOST_BYTES, len(letter.payload))
        while True:
            try:
                sent = await self._producer.send_and_wait(
                    self._topic,
                    letter.payload[:most],
                    key=f"{topic}/{partition}/{letter.offset}/{letter.index}".encode(),
                    headers=_headers(letter, most),
                )
                break
            except MessageSizeTooLargeError:
                if most < 1024:
                    raise
                most //= 2
        return DeadLetterRow(
            topic,
            partition,
            letter.offset,
            letter.index,
            letter.project_id,
            letter.reason,
            letter.detail,
            from_us(letter.appended_ms * 1000),
            sent.partition,
            sent.offset,
        )


def _headers(letter: DeadLetter, most: int) -> list[tuple[str, bytes]]:
    headers = [
        ("reason", letter.reason.encode()),
        ("detail", letter.detail.encode()),
        ("appended_at", str(letter.appended_ms).encode()),
    ]
    if letter.project_id is not None:
        headers.append(("project_id", letter.project_id.encode()))
    if most < len(letter.payload):
        headers.append(("truncated", str(len(letter.payload)).encode()))
    return headers
