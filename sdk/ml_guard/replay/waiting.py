"""When has the product digested what was sent? Waits are for conditions, never for a length of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ml_guard.client import MLGuardClient
from ml_guard.errors import MLGuardError, TransportError
from ml_guard.replay.oracle import DayKey, Truth
from ml_guard.replay.records import late_day
from ml_guard.replay.topic import Topic
from ml_guard.shapes import MetricDay

POLL_S = 0.2
TIMEOUT_S = 180.0
QUIET_S = 45.0
"""When nothing has changed for so long, what is wrong will stay wrong, on a busy machine too; only then is it waited for."""

READY_IS_KEPT_S = 0.6
"""The API answers `ready` from what it saw up to half a second ago; asked sooner, it may not know the newest baseline."""

Update = Callable[[str], None]


class WaitError(MLGuardError):
    """What was waited for did not come; the message says how far it had come."""


def wait_for(
    what: str, look: Callable[[], str | None], *, update: Update, timeout_s: float = TIMEOUT_S
) -> None:
    """Look until there is nothing left to say; a server that is away for a moment is asked again.

    Args:
        what: completes the sentence "waiting for ...".
        look: gives what is still missing, or None when nothing is.
        update: told what is still missing, for a spinner.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            missing = look()
        except TransportError as error:
            if not error.retriable:
                raise
            missing = str(error)
        if missing is None:
            return
        if time.monotonic() > deadline:
            raise WaitError(f"gave up after {timeout_s:g} s waiting for {what}: {missing}")
        update(missing)
        time.sleep(POLL_S)


def folded(client: MLGuardClient, ends: Mapping[int, int]) -> Callable[[], str | None]:
    """Whether the workers have passed these offsets, partition by partition."""

    def look() -> str | None:
        ready = client.ready()
        if ready.database is not None and ready.database.schema not in (None, "current"):
            raise WaitError(" ".join(ready.reasons))
        stopped = [
            f"partition {p.partition} stopped: {p.stopped_reason}"
            for p in ready.partitions
            if p.stopped_reason
        ]
        if stopped:
            raise WaitError("; ".join(stopped))
        reached = {p.partition: p.next_offset or 0 for p in ready.partitions}
        behind = sum(max(end - reached.get(partition, 0), 0) for partition, end in ends.items())
        return f"{behind:,} records to go" if behind else None

    return look


def counting(client: MLGuardClient) -> Callable[[], str | None]:
    """Whether every worker knows of the baselines and settings that there are now."""
    time.sleep(READY_IS_KEPT_S)
    wanted = client.ready().catalog_generation

    def look() -> str | None:
        ready = client.ready()
        if wanted is None or not ready.partitions:
            return "no worker has a partition yet; is one running?"
        late = [p.partition for p in ready.partitions if (p.catalog_generation or 0) < wanted]
        return f"{len(late)} of {len(ready.partitions)} partitions have an older catalog" if late else None

    return look


def settled(
    client: MLGuardClient, topic: Topic, truth: Truth, *, restated: bool = False, quiet_s: float = QUIET_S
) -> Callable[[], str | None]:
    """Whether every day shows what was sent, the past ones closed; or shows something else and stays so.

    Args:
        restated: whether the days with late events must have their second revision.
        quiet_s: how long nothing may change before what is there counts as the answer.
    """
    late = (
        {(topic.project_id(project), late_day(topic, project)) for project in topic.projects}
        if restated
        else set()
    )
    before: dict[DayKey, MetricDay] = {}
    since = time.monotonic()

    def look() -> str | None:
        nonlocal before, since
        rows: dict[DayKey, MetricDay] = {}
        for project_id in truth.zones:
            for row in client.metrics_daily(project_id=project_id):
                rows[DayKey(project_id, row.model_id, row.endpoint, row.day)] = row
        if rows != before:
            before, since = rows, time.monotonic()
        open_days = [key for key in truth.days if key not in rows or not _as_it_should(rows[key], topic)]
        short = [key for key, day in truth.days.items() if key not in rows or rows[key].requests < day.events]
        old = [key for key, row in rows.items() if (key.project_id, key.day) in late and row.revision < 2]
        if not (open_days or short or old):
            return None
        if time.monotonic() - since > quiet_s:
            return None
        told = (
            (len(short), "model-days not complete"),
            (len(open_days), "not closed"),
            (len(old), "not restated"),
        )
        return ", ".join(f"{number} {what}" for number, what in told if number)

    return look


def _as_it_should(row: MetricDay, topic: Topic) -> bool:
    """Whether a day that is over is closed."""
    return row.status == "final" or row.day_end > topic.now
