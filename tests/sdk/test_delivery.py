"""Is each failure retried, or counted and explained once?"""

import logging
import time

import pytest

from ml_guard.delivery import SERVER_ATTEMPTS, Delivery
from ml_guard.errors import (
    ConnectionLostError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    OverloadedError,
    RefusedError,
    ServerError,
    TooLargeError,
    TransportError,
    UnauthorizedError,
)
from ml_guard.notices import Notices
from ml_guard.outbox import Outbox
from ml_guard.stats import Counters
from ml_guard.transports.base import Batch, Receipt, Rejection
from ml_guard.transports.recording import RecordingTransport

BATCH = Batch("b-1", "p", (b'{"project_id":"p","model_id":"m"}',) * 4)


class Clock(Outbox):
    """An outbox that only notes how long it was asked to pause."""

    def __init__(self) -> None:
        super().__init__(lambda batch, outbox: None, lambda reason, n, project_id: None)
        self.pauses: list[tuple[float, bool]] = []

    def pause(self, seconds: float, *, patient: bool = False) -> None:
        self.pauses.append((seconds, patient))


def delivered(
    answers: list[TransportError | Receipt], clock: Clock | None = None
) -> tuple[RecordingTransport, Counters, Clock]:
    transport, counters, clock = RecordingTransport(answers), Counters(), clock or Clock()
    Delivery(transport, counters, Notices(), jitter=lambda: 1.0).deliver(BATCH, clock)
    return transport, counters, clock


def test_a_retry_is_the_same_batch_under_the_same_id() -> None:
    transport, counters, _ = delivered([ConnectionLostError("x"), OverloadedError("x"), ServerError("x")])
    assert transport.attempts == [BATCH] * 4
    stats = counters.read(0, 0)
    assert (stats.sent, stats.retries, stats.dropped) == (4, 3, {})


def test_pauses_double_up_to_a_bound() -> None:
    _, _, clock = delivered([ConnectionLostError("x")] * 9)
    assert [seconds for seconds, _ in clock.pauses] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_retry_after_is_kept_even_if_a_flush_hurries() -> None:
    _, _, clock = delivered([OverloadedError("x", 429, 7.0), OverloadedError("x", 503, 1e9)])
    assert clock.pauses == [(7.0, True), (300.0, True)]


@pytest.mark.parametrize(
    ("error", "reason", "cure"),
    [
        (UnauthorizedError("x", 401), "unauthorized", "give api_key= a key"),
        (ForbiddenError("x", 403), "forbidden", "use a key with the scope `ingest`"),
        (NotFoundError("x", 404), "not_found", "create the project, check base_url="),
        (InvalidError("x", 422), "invalid_request", "the server does not accept the request (422): x"),
        (RefusedError("x", 400), "refused", "the server refused the request: x"),
        (UnauthorizedError("Kafka: x"), "unauthorized", "events are lost: Kafka: x"),
    ],
)
def test_a_refusal_is_counted_and_explained_once(
    error: TransportError, reason: str, cure: str, caplog: pytest.LogCaptureFixture
) -> None:
    counters, notices = Counters(), Notices()
    delivery = Delivery(RecordingTransport([error, error, error]), counters, notices)
    for _ in range(3):
        delivery.deliver(BATCH, Clock())
    assert counters.read(0, 0).dropped == {reason: 12}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert cure in record.getMessage()


def test_a_batch_that_is_too_large_is_halved_until_the_culprit_is_alone() -> None:
    class SmallDoor(RecordingTransport):
        def send(self, batch: Batch, timeout_s: float) -> Receipt:
            if len(batch.events) > 1 or batch.events[0] == b"huge":
                raise TooLargeError("x", 413)
            return super().send(batch, timeout_s)

    door, counters = SmallDoor(), Counters()
    Delivery(door, counters, Notices()).deliver(Batch("b", "p", (b"1", b"2", b"huge", b"3", b"4")), Clock())
    assert [event for batch in door.batches for event in batch.events] == [b"1", b"2", b"3", b"4"]
    assert len({batch.batch_id for batch in door.batches}) == 4
    assert counters.read(0, 0).dropped == {"too_large": 1}


def test_a_batch_that_breaks_the_server_does_not_hold_up_the_others_for_ever() -> None:
    transport, counters, _ = delivered([ServerError("x")] * 50)
    assert len(transport.attempts) == SERVER_ATTEMPTS
    assert counters.read(0, 0).dropped == {"server_error": 4}


def test_verdicts_are_counted_event_by_event(caplog: pytest.LogCaptureFixture) -> None:
    receipt = Receipt((Rejection(1, "future_timestamp", "too far ahead"), Rejection(3, "future_timestamp")))
    _, counters, _ = delivered([receipt])
    stats = counters.read(0, 0)
    assert (stats.sent, stats.dropped, stats.rejected) == (2, {"rejected": 2}, {"future_timestamp": 2})
    (record,) = caplog.records
    assert "future_timestamp" in record.getMessage()
    assert "too far ahead" in record.getMessage()


def test_a_closing_client_gives_up_on_a_server_that_is_gone() -> None:
    clock = Clock()
    clock.begin_close(10)
    transport, counters, _ = delivered([ConnectionLostError("x")] * 5, clock)
    assert len(transport.attempts) == 1
    assert counters.read(0, 0).dropped == {"unsent_at_close": 4}


def test_a_closing_client_still_waits_for_a_server_that_is_busy() -> None:
    clock = Clock()
    clock.begin_close(10)
    _, counters, _ = delivered([OverloadedError("x", 503, 0.1)], clock)
    assert counters.read(0, 0).sent == 4


def test_warnings_of_a_kind_come_once_an_interval_with_the_number_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    notices = Notices(60, lambda: now[0])
    for _ in range(5):
        notices.warn("a", "first")
    notices.warn("b", "second")
    now[0] = 61
    notices.warn("a", "third")
    assert [r.getMessage() for r in caplog.records] == [
        "ML Guard: first",
        "ML Guard: second",
        "ML Guard: third (4 more like it since the last warning)",
    ]


def test_a_pause_ends_at_a_flush_but_a_patient_one_does_not() -> None:
    outbox = Outbox(lambda batch, outbox: outbox.pause(60), lambda reason, n, project_id: None, linger_s=0)
    outbox.put("p", b"0")
    time.sleep(0.1)
    start = time.monotonic()
    assert outbox.flush(30)
    assert time.monotonic() - start < 5
    patient = Outbox(
        lambda batch, outbox: outbox.pause(0.5, patient=True), lambda reason, n, project_id: None, linger_s=0
    )
    patient.put("p", b"0")
    time.sleep(0.1)
    assert not patient.flush(0.1)
    assert patient.close(5)
    assert outbox.close(5)
