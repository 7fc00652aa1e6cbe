"""Into which records does a body with an `Idempotency-Key` go? A frozen rule: the same body gives the same parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from api.bridge.verdicts import Taken, Verdict
from ml_guard.event import encode_batch

PART_BYTES = 1_000_000
"""Events of a part, in bytes. Below the broker's usual limit of 1,048,588 a record, with room for the batch's head.
Never changed: a client may retry over an upgrade."""

STAMP_BYTES = 48
"""Counted for each event beside its own bytes: the comma, and a timestamp that the bridge may add."""


def split(raws: Sequence[bytes], part_bytes: int = PART_BYTES) -> Iterator[range]:
    """The events of each part, in order: as many as fit. Looks at the body alone, not at what is taken of it.

    >>> list(split([b"x" * 52, b"x" * 52, b"x" * 52], part_bytes=200))
    [range(0, 2), range(2, 3)]
    """
    start = size = 0
    for index, raw in enumerate(raws):
        length = len(raw) + STAMP_BYTES
        if size + length > part_bytes and index > start:
            yield range(start, index)
            start, size = index, 0
        size += length
    if start < len(raws):
        yield range(start, len(raws))


def records(
    raws: Sequence[bytes], verdicts: Sequence[Verdict], batch_id: str, part_bytes: int = PART_BYTES
) -> Iterator[bytes]:
    """The records of a body: one for each part and project in it."""
    for part, indexes in enumerate(split(raws, part_bytes)):
        projects: dict[str, list[bytes]] = {}
        for index in indexes:
            verdict = verdicts[index]
            if isinstance(verdict, Taken):
                projects.setdefault(verdict.project_id, []).append(verdict.raw)
        for project_id, events in projects.items():
            yield encode_batch(events, project_id=project_id, batch_id=batch_id, part=part)
