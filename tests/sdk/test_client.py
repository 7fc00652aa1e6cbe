"""Does a client deliver, over real HTTP, what its host gave it, and never trouble the host?"""

from __future__ import annotations

import gc
import json
import logging
import statistics
import threading
import time
from typing import Any

import numpy as np
import pytest

import ml_guard
from ml_guard import AsyncMLGuardClient, ConfigError, MLGuardClient
from ml_guard.timestamps import parse_us
from ml_guard.transports.recording import RecordingTransport

EVENT: dict[str, Any] = {"project_id": "p", "model_id": "m"}


def wait_for(condition: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_the_minimal_example_of_the_product_works(bridge: Any) -> None:
    client = MLGuardClient(base_url=bridge.url, api_key="demo-key")
    client.ingest_event(
        project_id="proj_123",
        model_id="churn_model_v1",
        endpoint="predict",
        latency_ms=42,
        y_pred=1,
        y_proba=0.81,
        features={"age": 29, "balance": 1200.5, "country": "CA"},
    )
    assert client.flush()
    (event,) = bridge.events
    assert (event.project_id, event.model_id, event.endpoint) == ("proj_123", "churn_model_v1", "predict")
    assert (event.latency_ms, event.y_pred, event.y_proba) == (42.0, 1.0, 0.81)
    assert event.features == {"age": 29.0, "balance": 1200.5, "country": "CA"}
    (request,) = bridge.requests
    assert (request.method, request.path) == ("POST", "/api/v1/events")
    assert request.headers["x-api-key"] == "demo-key"
    assert request.headers["idempotency-key"]
    assert client.close()


def test_the_time_of_the_call_is_stamped_not_that_of_the_flush(bridge: Any) -> None:
    bridge.always = bridge.answer(503, headers={"Retry-After": "0.3"})
    with MLGuardClient(bridge.url) as client:
        before = time.time()
        client.ingest_event(**EVENT)
        after = time.time()
        wait_for(lambda: bridge.requests)
        bridge.always = None
        assert client.flush()
    stamped = parse_us(bridge.events[0].timestamp) / 1e6
    assert before - 1e-6 <= stamped <= after + 1e-6


def test_large_bodies_are_compressed_and_small_ones_are_not(bridge: Any) -> None:
    with MLGuardClient(bridge.url) as client:
        client.ingest_event(**EVENT)
        client.flush()
        client.ingest_batch([{**EVENT, "features": {"i": i}} for i in range(200)])
    small, *large = bridge.requests
    assert "content-encoding" not in small.headers
    assert {request.headers["content-encoding"] for request in large} == {"gzip"}
    assert [event.features["i"] for event in bridge.events[1:]] == list(range(200))


@pytest.mark.parametrize(
    "failure",
    [
        {"drop": True},
        {"drop_after_taking": True},
        {"status": 500},
        {"status": 502, "body": b"<html>bad gateway</html>"},
        {"status": 429, "headers": {"Retry-After": "0"}},
        {"status": 503, "headers": {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}},
        {"status": 200, "body": b"<html>a portal's login page</html>"},
        {"status": 302, "headers": {"Location": "/login"}},
    ],
    ids=lambda failure: "-".join(str(v)[:20] for v in failure.values()),
)
def test_a_failure_is_retried_under_the_same_id_and_counts_once(bridge: Any, failure: dict[str, Any]) -> None:
    bridge.answers.extend([bridge.answer(**{"status": 200, **failure})] if "body" not in failure else [])
    if "body" in failure:
        answer = bridge.answer(failure["status"])
        answer.body = failure["body"]
        bridge.answers.append(answer)
    with MLGuardClient(bridge.url, timeout_s=2) as client:
        client.ingest_batch([{**EVENT, "y_pred": i} for i in range(10)])
        assert client.flush(5) or client.flush(5)
        stats = client.stats()
    assert (stats.sent, stats.dropped) == (10, {})
    assert stats.retries == 1
    assert [event.y_pred for event in bridge.events] == list(range(10))
    assert len({request.headers["idempotency-key"] for request in bridge.requests}) == 1
    assert len({request.body for request in bridge.requests}) == 1


def test_a_server_that_hangs_is_given_up_at_the_timeout_and_tried_again(bridge: Any) -> None:
    bridge.answers.append(bridge.answer(200, delay_s=1.0))
    with MLGuardClient(bridge.url, timeout_s=0.2) as client:
        client.ingest_event(**EVENT)
        wait_for(lambda: len(bridge.requests) >= 2)
        assert client.flush()
        assert client.stats().sent == 1


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, "invalid_key", "unauthorized"),
        (403, "missing_scope", "forbidden"),
        (404, "unknown_project", "not_found"),
        (413, "payload_too_large", "too_large"),
        (422, "invalid_request", "invalid_request"),
        (400, "invalid_json", "refused"),
    ],
)
def test_a_refusal_is_not_retried_and_warns_once(
    bridge: Any, status: int, code: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    bridge.always = bridge.answer(
        status, {"title": "no", "detail": "because", "code": code, "status": status}
    )
    with MLGuardClient(bridge.url) as client:
        for _ in range(3):
            client.ingest_event(**EVENT)
            assert client.flush()
        assert client.stats().dropped == {reason: 3}
    assert len(bridge.requests) == 3
    assert len([r for r in caplog.records if r.name == "ml_guard"]) == 1


def test_a_body_of_nothing_but_bad_events_is_read_event_by_event(bridge: Any) -> None:
    results = [{"index": 0, "status": "error", "reason": "future_timestamp", "detail": "too far ahead"}]
    problem = {"title": "no", "status": 422, "accepted": 0, "rejected": 1, "results": results}
    bridge.always = bridge.answer(422, problem)
    with MLGuardClient(bridge.url) as client:
        client.ingest_event(**EVENT)
        client.flush()
        assert client.stats().rejected == {"future_timestamp": 1}


def test_verdicts_of_single_events_are_counted(bridge: Any) -> None:
    results = [{"index": 1, "status": "error", "reason": "cap_exceeded", "detail": "too many models"}]
    bridge.always = bridge.answer(200, {"accepted": 2, "rejected": 1, "results": results})
    with MLGuardClient(bridge.url) as client:
        client.ingest_batch([EVENT] * 3)
        client.flush()
        stats = client.stats()
    assert (stats.sent, stats.dropped, stats.rejected) == (2, {"rejected": 1}, {"cap_exceeded": 1})


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"features": {"image": [1, 2, 3]}}, "features.image"),
        ({"features": [1]}, "features must be a mapping"),
        ({"y_proba": 1.5}, "y_proba must be a finite number from 0 to 1"),
        ({"latency_ms": "42"}, "latency_ms must be a number"),
        ({"model_id": 7}, "model_id must be text"),
        ({"project_id": None}, "project_id is missing"),
        ({"timestamp": "2025-01-01T00:00:00"}, "end it with Z"),
        ({"feature": {"a": 1}}, "'feature' is no field of an event"),
        ({"features": {"a": "\ud800"}}, "half a surrogate pair"),
        ({"features": {f"f{i}": 1 for i in range(501)}}, "more than 500 features"),
    ],
)
def test_bad_input_never_raises_and_names_the_field(
    bad: dict[str, Any], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    transport = RecordingTransport()
    with MLGuardClient(transport=transport) as client:
        assert not client.ingest_event(**{**EVENT, **bad})
        assert not client.ingest_event(**{**EVENT, **bad})
        assert client.ingest_event(**EVENT)
        assert client.stats().dropped == {"invalid": 2}
    assert len(transport.events) == 1
    (record,) = (r for r in caplog.records if r.levelno == logging.WARNING)
    assert named in record.getMessage()


def test_a_call_without_what_is_needed_is_explained_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    with MLGuardClient(transport=RecordingTransport()) as client:
        assert not client.ingest_event(features={"a": 1})
    assert "project_id is missing" in caplog.text


def test_values_that_misbehave_do_not_raise_into_the_host() -> None:
    class Hostile(dict[str, object]):
        def items(self) -> Any:
            raise RuntimeError("no")

    def broken_rows() -> Any:
        yield EVENT
        raise OSError("the file ended")

    with MLGuardClient(transport=RecordingTransport()) as client:
        assert not client.ingest_event(**EVENT, features=Hostile())
        assert client.ingest_batch(broken_rows()) == 1
        assert client.ingest_batch(7) == 0  # type: ignore[arg-type]
        assert client.ingest_batch([EVENT, 7, EVENT]) == 2  # type: ignore[list-item]


def test_numpy_rows_arrive_as_numbers() -> None:
    transport = RecordingTransport()
    matrix = np.array([[1.5, np.nan], [np.inf, 2.0]])
    with MLGuardClient(transport=transport) as client:
        for row in matrix:
            client.ingest_event(**EVENT, y_pred=np.int64(1), features=dict(zip("ab", row, strict=True)))
    raws = [raw for batch in transport.batches for raw in batch.events]
    assert b"1e999" in raws[1]
    assert [json.loads(raw)["features"] for raw in raws] == [{"a": 1.5, "b": None}, {"a": np.inf, "b": 2.0}]


def test_a_dead_bridge_fills_the_queue_and_nothing_else() -> None:
    with MLGuardClient("http://127.0.0.1:9", max_queue=100) as client:
        taken = [client.ingest_event(**EVENT) for _ in range(150)]
        assert taken == [True] * 100 + [False] * 50
        assert client.stats().dropped == {"queue_full": 50}
        assert not client.flush(0.05)
        start = time.monotonic()
    assert time.monotonic() - start < 2
    assert client.stats().dropped == {"queue_full": 50, "unsent_at_close": 100}


def test_a_call_costs_the_host_microseconds() -> None:
    """`make bench` holds the 99th percentile to 25 us on a quiet machine; the median shows on a busy one too."""
    features = {**{f"f{i}": i * 1.37 for i in range(10)}, "country": "CA", "active": True}
    took: list[int] = []
    with MLGuardClient("http://127.0.0.1:9") as client:
        for _ in range(5000):
            start = time.perf_counter_ns()
            client.ingest_event(**EVENT, latency_ms=4.2, y_pred=1, y_proba=0.8, features=features)
            took.append(time.perf_counter_ns() - start)
    assert statistics.median(took) < 50_000


def test_a_bridge_that_comes_back_gets_everything(bridge: Any) -> None:
    bridge.always = bridge.answer(drop=True)
    with MLGuardClient(bridge.url) as client:
        client.ingest_batch([{**EVENT, "y_pred": i} for i in range(1200)])
        wait_for(lambda: client.stats().retries)
        bridge.always = None
        assert client.flush(10)
        assert client.stats().sent == 1200
    assert [event.y_pred for event in bridge.events] == list(range(1200))


def test_threads_share_a_client(bridge: Any) -> None:
    client = MLGuardClient(bridge.url)
    threads = [
        threading.Thread(target=lambda: [client.ingest_event(**EVENT) for _ in range(200)]) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.close()
    assert len(bridge.events) == 1200
    assert client.stats().sent == 1200


def test_a_client_that_is_let_go_sends_what_it_has_and_ends_its_thread(bridge: Any) -> None:
    client = MLGuardClient(bridge.url)
    client.ingest_event(**EVENT)
    thread = client._ingestion._outbox._thread
    assert thread is not None
    del client
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
    assert len(bridge.events) == 1


def test_a_closed_client_counts_and_warns(caplog: pytest.LogCaptureFixture) -> None:
    client = MLGuardClient(transport=RecordingTransport())
    assert client.close()
    assert not client.ingest_event(**EVENT)
    assert client.stats().dropped == {"closed": 1}
    assert "the client is closed" in caplog.text


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x", "http://", 7])
def test_an_address_that_cannot_work_is_said_at_once(url: Any) -> None:
    with pytest.raises(ConfigError, match="base_url must be an address such as"):
        MLGuardClient(url)


async def test_the_async_client_sends_and_closes(bridge: Any) -> None:
    async with AsyncMLGuardClient(bridge.url, "k") as client:
        assert client.ingest_event(**EVENT)
        assert client.ingest_batch([EVENT, EVENT]) == 2
        assert await client.flush()
        assert client.stats().sent == 3
    assert len(bridge.events) == 3


def test_the_public_names_are_what_they_were() -> None:
    assert sorted(ml_guard.__all__) == [
        "AsyncMLGuardClient",
        "Check",
        "ConfigError",
        "EventError",
        "FrameReceipt",
        "IncompleteBatchError",
        "MLGuardClient",
        "MLGuardError",
        "Stats",
        "TransportError",
    ]
    assert all(getattr(ml_guard, name) for name in ml_guard.__all__)
