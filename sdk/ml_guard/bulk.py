"""Into which batches are the rows of a job divided, so that the job can be repeated and still counts once?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ml_guard.naming import part_id
from ml_guard.outbox import BATCH_BYTES
from ml_guard.stats import Tally
from ml_guard.transports.base import Batch

PART_ROWS = 500
"""Rows of a part. Never to be changed: a job that is repeated after an upgrade must be divided as before."""
PART_BYTES = BATCH_BYTES


def parts(batch_id: str, rows: Iterable[tuple[str, bytes]], tally: Tally | None = None) -> Iterator[Batch]:
    """Batches of neighbouring rows of one project, numbered from 0; the same rows give the same batches.

    >>> [(b.batch_id, len(b.events)) for b in parts("nightly", [("p", b"{}")] * 501)]
    [('nightly/0', 500), ('nightly/1', 1)]
    """
    number = size = 0
    project = ""
    events: list[bytes] = []
    for project_id, raw in rows:
        if events and (project_id != project or len(events) == PART_ROWS or size + len(raw) > PART_BYTES):
            yield Batch(part_id(batch_id, number), project, tuple(events), tally)
            number, size, events = number + 1, 0, []
        project = project_id
        events.append(raw)
        size += len(raw)
    if events:
        yield Batch(part_id(batch_id, number), project, tuple(events), tally)
