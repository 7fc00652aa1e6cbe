"""Is what the arguments leave out taken from the environment, and can everything be turned into nothing?"""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from ml_guard import AsyncMLGuardClient, ConfigError, MLGuardClient
from ml_guard.config import setup
from ml_guard.stats import Stats
from ml_guard.transports.recording import RecordingTransport

ALL = {
    "ML_GUARD_URL": "http://bridge:8000",
    "ML_GUARD_API_KEY": "secret",
    "ML_GUARD_KAFKA": "kafka:9092",
    "ML_GUARD_PROJECT": "shop",
    "ML_GUARD_MODEL": "churn",
    "ML_GUARD_ENDPOINT": "score",
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ALL, "ML_GUARD_ENABLED"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_says_what_the_arguments_do_not() -> None:
    made = setup(environment=ALL)
    assert (made.base_url, made.api_key, made.kafka) == ("http://bridge:8000", "secret", "kafka:9092")
    assert made.defaults == {"project_id": "shop", "model_id": "churn", "endpoint": "score"}
    assert made.bridge_known


def test_arguments_overrule_the_environment() -> None:
    made = setup("http://other:1", "k", None, "p", "m", "e", environment=ALL)
    assert (made.base_url, made.api_key, made.kafka) == ("http://other:1", "k", None)
    assert made.defaults == {"project_id": "p", "model_id": "m", "endpoint": "e"}
    assert setup(kafka="own:9092", environment=ALL).kafka == "own:9092"


def test_without_both_it_is_the_local_bridge() -> None:
    made = setup(environment={})
    assert (made.base_url, made.api_key, made.kafka, made.defaults) == (
        "http://localhost:8000",
        None,
        None,
        {},
    )
    assert not made.bridge_known


def test_a_client_of_the_environment_sends_where_it_says(
    bridge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**ALL, "ML_GUARD_URL": bridge.url, "ML_GUARD_KAFKA": ""}.items():
        monkeypatch.setenv(name, value)
    with MLGuardClient() as client:
        client.ingest_event(y_pred=1)
        client.ingest_event(model_id="other", endpoint="rank", y_pred=0)
    assert [(e.project_id, e.model_id, e.endpoint) for e in bridge.events] == [
        ("shop", "churn", "score"),
        ("shop", "other", "rank"),
    ]
    assert bridge.requests[0].headers["x-api-key"] == "secret"


@pytest.mark.parametrize("off", ["0", "false", "No", "OFF"])
def test_turned_off_everything_is_nothing(off: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_GUARD_ENABLED", off)
    transport = RecordingTransport()

    def predict(age: int) -> int:
        return age

    with MLGuardClient(transport=transport, project_id="p", model_id="m") as client:
        assert not client.enabled
        assert not client.ingest_event(y_pred=1)
        assert client.ingest_batch([{"y_pred": 1}], batch_id="b") == 0
        assert client.monitor()(predict) is predict
        with client.observe() as seen:
            seen.y_pred = 1
        assert client.ingest_dataframe(object()).sent == 0
        assert client.flush()
        assert client.stats() == Stats()
        assert "ML_GUARD_ENABLED=0" in str(client.check())
    assert transport.attempts == []


async def test_turned_off_the_async_client_is_nothing_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_GUARD_ENABLED", "0")
    async with AsyncMLGuardClient() as client:
        assert not client.ingest_event(y_pred=1)
        assert await client.flush()


def test_turned_off_no_thread_is_started_and_no_transport_loaded() -> None:
    script = textwrap.dedent("""
    import sys, threading
    from ml_guard import MLGuardClient
    with MLGuardClient(kafka="127.0.0.1:9", project_id="p", model_id="m", spill_dir="/nowhere/at/all") as client:
        for _ in range(100):
            client.ingest_event(y_pred=1)
        assert threading.active_count() == 1
    loaded = {"httpx", "aiokafka", "ml_guard.transports.http", "ml_guard.transports.kafka"} & set(sys.modules)
    assert not loaded, loaded
    """)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env={"ML_GUARD_ENABLED": "0"})


def test_a_switch_that_is_neither_on_nor_off_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_GUARD_ENABLED", "perhaps")
    with pytest.raises(ConfigError, match="ML_GUARD_ENABLED is neither on nor off"):
        MLGuardClient()


def test_a_dry_run_logs_names_kinds_and_counts_but_no_value(
    bridge: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml_guard")
    with MLGuardClient(bridge.url, dry_run=True, project_id="shop", model_id="churn") as client:
        for country in ("CA", "FR"):
            client.ingest_event(y_pred=7, latency_ms=41.5, features={"age": 29, "country": country})
        client.ingest_event(y_pred=float("inf"), endpoint="other")
        assert client.flush()
        assert client.stats().sent == 3
    assert bridge.requests == []
    assert bridge.reports == []
    assert caplog.messages == [
        (
            "ML Guard (dry run): would send 2 events of shop/churn/predict: latency_ms number, y_pred number; "
            "features age number, country text"
        ),
        "ML Guard (dry run): would send 1 events of shop/churn/other: y_pred number; features none",
    ]
