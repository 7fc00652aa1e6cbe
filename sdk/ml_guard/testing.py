"""What did my program send? A client that records, for the host's tests, and a pytest fixture of it.

In a conftest.py:

    pytest_plugins = ["ml_guard.testing"]

and in a test:

    def test_the_service_reports_its_prediction(ml_guard_client):
        service = Service(ml_guard_client)
        service.predict(age=29)
        (event,) = ml_guard_client.events
        assert event.features == {"age": 29}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ml_guard.client import MLGuardClient
from ml_guard.event import Event
from ml_guard.transports.recording import RecordingTransport

TIMEOUT_S = 10.0


class RecordingClient(MLGuardClient):
    """An `MLGuardClient` that keeps what it is given; `project_id` and `model_id` may be left out everywhere.

    >>> client = RecordingClient()
    >>> client.ingest_event(y_pred=1, features={"age": 29})
    True
    >>> client.events[0].features
    {'age': 29.0}
    >>> client.close()
    True
    """

    def __init__(self, project_id: str = "project", model_id: str = "model", **options: Any) -> None:
        self.transport = RecordingTransport()
        super().__init__(transport=self.transport, project_id=project_id, model_id=model_id, **options)

    @property
    def events(self) -> list[Event]:
        """The events so far, in order."""
        assert self.flush(TIMEOUT_S), "the events did not leave the queue"
        return self.transport.events

    def clear(self) -> None:
        """Forget the events so far."""
        assert self.flush(TIMEOUT_S), "the events did not leave the queue"
        self.transport.batches.clear()


try:
    import pytest
except ImportError:  # who has no pytest may still record
    pass
else:

    @pytest.fixture
    def ml_guard_client() -> Iterator[RecordingClient]:
        """A recording client; a test in which an event was lost, because it was not valid, fails."""
        client = RecordingClient()
        yield client
        client.close()
        lost = client.stats().dropped
        assert not lost, f"events were lost, the log says why: {lost}"
