"""Do a client's counts reach the server, each once, without troubling anybody when they cannot?"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from ml_guard import MLGuardClient
from ml_guard.errors import ConnectionLostError
from ml_guard.reporting import AFTER_FAILURE_S, INTERVAL_S, MAX_COUNTS, NEVER, Reporter, encode
from ml_guard.stats import DAYS_KEPT, MAX_PROJECTS, NO_PROJECT, Count, Counters
from ml_guard.transports.kafka import MAX_REQUEST_BYTES
from ml_guard.transports.recording import RecordingTransport
from tests.sdk.test_client import wait_for

EVENT: dict[str, Any] = {"project_id": "p", "model_id": "m"}


class Clerk(RecordingTransport):
    """Takes reports, or fails; some projects it does not know."""

    reports = True

    def __init__(self, unknown: Sequence[str] = (), failing: bool = False) -> None:
        super().__init__()
        self.taken: list[list[Count]] = []
        self.unknown, self.failing = frozenset(unknown), failing

    def report(self, client_id: str, counts: Sequence[Count], timeout_s: float) -> frozenset[str]:
        if self.failing:
            raise ConnectionLostError("x")
        self.taken.append(list(counts))
        return self.unknown


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_sent_retried_and_lost_events_reach_the_server_at_the_end(bridge: Any) -> None:
    bridge.answers.append(bridge.answer(503, headers={"Retry-After": "0"}))
    with MLGuardClient(bridge.url, max_queue=3) as client:
        taken = sum(client.ingest_event(**EVENT) for _ in range(5))
        client.ingest_event(**EVENT, features={"image": [1]})
        client.ingest_event(model_id="m")
        assert client.flush(10)
    counted = bridge.counted()
    assert counted["p", "sent", ""] == taken
    assert counted["p", "retried", ""] == 1
    assert counted["p", "dropped", "queue_full"] == 5 - taken
    assert counted["p", "dropped", "invalid"] == 1
    assert counted[NO_PROJECT, "dropped", "invalid"] == 1


def test_a_client_whose_every_event_is_invalid_reports_it_too(bridge: Any) -> None:
    with MLGuardClient(bridge.url, project_id="p") as client:
        for _ in range(3):
            assert not client.ingest_event(model_id="m", y_proba=7)
        assert client.flush()
        wait_for(lambda: bridge.counted().get(("p", "dropped", "invalid")) == 3)
    assert bridge.requests == []


def test_a_flush_tells_of_losses_without_waiting_for_the_interval(bridge: Any) -> None:
    """What a function that is frozen between its calls needs."""
    client = MLGuardClient(bridge.url)
    client.ingest_event(**EVENT)
    client.ingest_event(**EVENT, y_proba=2)
    assert client.flush()
    wait_for(lambda: bridge.counted().get(("p", "dropped", "invalid")) == 1)
    client.close()


def test_a_report_that_fails_warns_of_nothing_and_is_made_up_for(bridge: Any, caplog: Any) -> None:
    bridge.refuse_reports = bridge.answer(500)
    with MLGuardClient(bridge.url) as client:
        client.ingest_event(**EVENT)
        client.ingest_event(**EVENT, y_proba=2)
        assert client.flush()
        assert bridge.reports == []
        bridge.refuse_reports = None
    assert bridge.counted() == {("p", "sent", ""): 1, ("p", "dropped", "invalid"): 1}
    assert [r.getMessage() for r in caplog.records if "report" in r.getMessage()] == []


def test_a_forked_child_counts_for_itself(bridge: Any) -> None:
    script = textwrap.dedent("""
    import os, sys
    from ml_guard import MLGuardClient
    client = MLGuardClient(sys.argv[1], project_id="p", model_id="m")
    client.ingest_batch([{"y_pred": 1}] * 3)
    client.ingest_event(y_proba=2)
    assert client.flush()
    if os.fork() == 0:
        client.ingest_batch([{"y_pred": 1}] * 4)
        client.close()
        os._exit(0)
    assert os.wait()[1] == 0
    """)
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, bridge.url], check=True, timeout=60)
    assert len({report["client_id"] for report in bridge.reports}) == 2
    assert bridge.counted() == {("p", "sent", ""): 7, ("p", "dropped", "invalid"): 1}


def test_reports_keep_their_interval_and_say_only_what_is_new() -> None:
    clock, clerk, counters = Clock(), Clerk(), Counters()
    reporter = Reporter(clerk, counters, clock)
    assert reporter.turn() == NEVER
    counters.sent(1, "p")
    assert reporter.turn() == INTERVAL_S
    clock.now += INTERVAL_S
    assert reporter.turn() == NEVER
    counters.sent(2, "p")
    counters.dropped("closed", 5, "q")
    clock.now += 1
    assert reporter.turn() == INTERVAL_S - 1
    clock.now += INTERVAL_S
    reporter.turn()
    said = [{(c.project_id, c.outcome, c.reason): c.events for c in counts} for counts in clerk.taken]
    assert said == [{("p", "sent", ""): 1}, {("p", "sent", ""): 3, ("q", "dropped", "closed"): 5}]


def test_after_a_failure_even_a_hurried_report_waits() -> None:
    clock, clerk, counters = Clock(), Clerk(failing=True), Counters()
    reporter = Reporter(clerk, counters, clock)
    counters.dropped("closed", 1, "p")
    reporter.hurry()
    assert reporter.turn() == AFTER_FAILURE_S
    clerk.failing = False
    reporter.hurry()
    assert reporter.turn() == AFTER_FAILURE_S
    clock.now += AFTER_FAILURE_S
    assert reporter.turn() == NEVER
    assert len(clerk.taken) == 1


def test_what_the_server_does_not_know_yet_is_said_again() -> None:
    clock, clerk, counters = Clock(), Clerk(unknown=["new"]), Counters()
    reporter = Reporter(clerk, counters, clock)
    counters.sent(1, "old")
    counters.sent(1, "new")
    reporter.report(1.0)
    assert [count.project_id for count in counters.untold()] == ["new"]


def test_counts_are_kept_by_day_for_a_week_and_memory_is_bounded() -> None:
    clock = Clock()
    counters = Counters(clock)
    for day in range(20):
        clock.now = day * 86_400.0
        counters.dropped("closed", day + 1, "p")
    kept = counters.untold()
    assert [(count.day, count.events) for count in kept] == [
        (f"1970-01-{day + 1:02}", day + 1) for day in range(19 - DAYS_KEPT, 20)
    ]
    for i in range(3 * MAX_PROJECTS):
        counters.dropped("not_found", 1, f"project {i}")
    assert len(counters.untold()) <= MAX_PROJECTS + len(kept) + 1
    assert sum(count.events for count in counters.untold() if count.reason == "not_found") == 3 * MAX_PROJECTS


def test_more_counts_than_a_report_holds_go_in_several_and_each_fits_a_record_of_kafka() -> None:
    clerk, counters = Clerk(), Counters()
    for i in range(MAX_COUNTS + 1):
        counters.sent(1, f"{i}".ljust(256, "\x01"))
    Reporter(clerk, counters).report(1.0)
    assert [len(counts) for counts in clerk.taken] == [MAX_COUNTS, 1]
    assert counters.untold() == []
    assert len(encode(counters.client_id, clerk.taken[0])) < MAX_REQUEST_BYTES


def test_a_name_that_no_request_can_hold_ends_nothing(bridge: Any) -> None:
    with MLGuardClient(bridge.url, model_id="m") as client:
        client.ingest_event(project_id="\ud800")
        assert client.flush()
        wait_for(lambda: bridge.counted() == {("?", "dropped", "invalid"): 1})
        client.ingest_event(project_id="p")
        assert client.flush(10)
        assert client.stats().sent == 1


def test_a_client_of_kafka_reports_to_the_bridge_where_one_is_named(bridge: Any) -> None:
    with MLGuardClient(bridge.url, kafka="127.0.0.1:9", project_id="p", model_id="m") as client:
        for _ in range(3):
            client.ingest_event(y_proba=1.5)
    assert bridge.counted() == {("p", "dropped", "invalid"): 3}
