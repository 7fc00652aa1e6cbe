"""Can the host's own tests assert what was sent, without a server?"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ml_guard.errors import ConnectionLostError
from ml_guard.testing import RecordingClient


def host_tests(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text('pytest_plugins = ["ml_guard.testing"]\n')
    (folder / "test_host.py").write_text(textwrap.dedent(body))
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(folder),
            str(folder),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )


def test_a_recording_client_shows_what_was_sent() -> None:
    with RecordingClient("shop", "churn") as client:
        client.ingest_event(y_pred=1)
        assert [(e.project_id, e.model_id, e.y_pred) for e in client.events] == [("shop", "churn", 1)]
        client.clear()
        assert client.events == []
        client.ingest_event(y_pred=2, model_id="other")
        assert [e.model_id for e in client.events] == ["other"]


def test_failures_of_a_server_can_be_played() -> None:
    with RecordingClient() as client:
        client.transport.answer_next(ConnectionLostError("away"))
        client.ingest_event(y_pred=1)
        assert len(client.events) == 1
        assert client.stats().retries == 1


def test_the_fixture_serves_a_hosts_test(tmp_path: Path) -> None:
    done = host_tests(
        tmp_path,
        """
        def test_sent(ml_guard_client):
            ml_guard_client.ingest_event(y_pred=1, features={"age": 29})
            (event,) = ml_guard_client.events
            assert event.features == {"age": 29}

        def test_each_test_has_its_own(ml_guard_client):
            assert ml_guard_client.events == []
        """,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_a_hosts_test_that_sends_an_invalid_event_fails(tmp_path: Path) -> None:
    done = host_tests(
        tmp_path,
        """
        def test_sent(ml_guard_client):
            ml_guard_client.ingest_event(y_proba=7)
        """,
    )
    assert done.returncode == 1
    assert "events were lost, the log says why: {'invalid': 1}" in done.stdout
    assert "y_proba must be a finite number from 0 to 1" in done.stdout


def test_pytest_is_not_needed_to_record(monkeypatch: pytest.MonkeyPatch) -> None:
    script = """
import sys
sys.modules["pytest"] = None
from ml_guard.testing import RecordingClient
with RecordingClient() as client:
    client.ingest_event(y_pred=1)
    assert len(client.events) == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
