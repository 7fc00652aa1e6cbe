"""What is one Kafka record of the synthetic topic, and what must become of it?"""

from __future__ import annotations

from dataclasses import dataclass

PARTITIONS = 256
"""Slots that a record's partition is drawn from; the producer takes them modulo the topic's partitions."""


@dataclass(frozen=True)
class Record:
    """One Kafka record.

    Attributes:
        value: its bytes.
        at_us: when it is sent, relative to the others.
        slot: which partition it goes to, modulo their number.
        events: the events in it, counted as the ledger does.
        dead: index in the record and reason of every event that must become a dead letter.
        repeated: whether the same batch was sent before, so that it must not count.
    """

    value: bytes
    at_us: int
    slot: int
    events: int = 1
    dead: tuple[tuple[int, str], ...] = ()
    repeated: bool = False
