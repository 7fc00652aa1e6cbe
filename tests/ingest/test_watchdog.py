"""A worker that gets nowhere although there is work ends; one without work, or without a database, does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stream.app import PATIENCE_S
from stream.ingest.failpoints import Failpoints
from stream.ingest.pace import DUTY, LONGEST_PAUSE_S, Pace
from stream.ingest.stall import STILL_S, Stalls
from stream.ingest.watchdog import EXIT_STUCK, Progress, Watchdog
from stream.ingest.work import Partition

PATIENCE = 0.5


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def watch(show: list[Progress | None]) -> list[int]:
    """The exits of a watchdog with ten seconds of patience that is shown one of these each second."""
    clock, ended = Clock(), []
    watchdog = Watchdog(10.0, clock=clock, end=ended.append)
    for progress in show:
        clock.now += 1
        if progress is not None:
            watchdog.show(progress)
        watchdog.check()
        if ended:
            break
    return ended


def test_standing_still_behind_the_log_ends_the_worker() -> None:
    assert watch([Progress(5, behind=True)] * 15) == [EXIT_STUCK]


def test_getting_on_does_not() -> None:
    assert watch([Progress(position, behind=True) for position in range(40)]) == []


def test_an_idle_worker_does_not_end() -> None:
    assert watch([Progress(5, behind=False)] * 40) == []


def test_waiting_for_the_database_does_not_end_it() -> None:
    assert watch([Progress(5, behind=True, waiting=True)] * 40) == []


def test_an_event_loop_that_hangs_ends_it() -> None:
    """A process of its own, since only what runs beside the loop can end it."""
    hanging = f"""
import asyncio, time
from stream.ingest.watchdog import Progress, Watchdog
async def main():
    watchdog = Watchdog({PATIENCE})
    watchdog.start()
    watchdog.show(Progress(5, behind=False))
    time.sleep(8)
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", hanging], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (EXIT_STUCK, "")
    assert "the event loop has not moved" in ended.stderr


def test_a_failpoint_is_refused_if_nobody_passes_it_and_ignored_in_production() -> None:
    with pytest.raises(ValueError, match="no such point"):
        Failpoints("after_lunch")
    Failpoints("after_fold", production=True).passing("after_fold")


def test_checkpoints_take_a_bounded_share_of_the_time() -> None:
    pace = Pace(0.25)
    assert pace.due(100.0)
    pace.done(100.0, 100.01)
    assert not pace.due(100.24)
    assert pace.due(100.25)
    pace.done(200.0, 203.0)
    assert not pace.due(200.0 + 3.0 / DUTY - 0.01)
    pace.hurry()
    assert pace.due(203.0)


def test_a_very_slow_database_does_not_make_a_worker_pause_until_it_seems_stuck() -> None:
    pace = Pace(0.25)
    pace.done(100.0, 140.0)
    assert not pace.due(140.0 + LONGEST_PAUSE_S - 0.01)
    assert pace.due(140.0 + LONGEST_PAUSE_S)
    assert LONGEST_PAUSE_S < PATIENCE_S / 2


def test_a_partition_lies_still_when_its_log_goes_on_and_nothing_of_it_is_under_way() -> None:
    stalls, partition = Stalls(), Partition(0, 1, 5, 5, 5)
    one = {0: partition}
    assert stalls.found(one, {0: 3}, 0.0) == []
    assert stalls.found(one, {0: 3}, STILL_S - 0.1) == []
    assert stalls.found(one, {0: 3}, STILL_S) == [0]
    partition.next_offset = 6  # something has arrived
    assert stalls.found(one, {0: 3}, STILL_S + 1) == []
    partition.written = 6
    assert stalls.found(one, {0: 2}, STILL_S + 2) == []
    assert stalls.found(one, {0: 0}, 2 * STILL_S) == []
    assert stalls.found(one, {0: 2}, 3 * STILL_S) == []
    assert stalls.found({0: Partition(0, 2, 6, 6, 6)}, {0: 2}, 4 * STILL_S) == [], "claimed anew meanwhile"
