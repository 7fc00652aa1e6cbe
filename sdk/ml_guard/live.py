"""What does a stream of server-sent events say, line by line?"""

from __future__ import annotations

from typing import Any

import msgspec

from ml_guard.alert_shapes import Alert
from ml_guard.shapes import LiveEvent, MetricDay


class LiveParser:
    """Turns the lines of a text/event-stream into events, and keeps the last id for taking the stream up again.

    >>> parser = LiveParser()
    >>> [parser.line(text) for text in ("event: hello", 'data: {"change_id": 7}', "")][-1].data
    {'change_id': 7}
    """

    def __init__(self) -> None:
        self.last_id: str | None = None
        self._event = "message"
        self._data: list[str] = []

    def line(self, line: str) -> LiveEvent | None:
        """The event that this line completes, if it does."""
        if line:
            self._field(line)
            return None
        name, data = self._event, "\n".join(self._data)
        self.restart()
        if not data:
            return None
        value: Any = msgspec.json.decode(data)
        metric = msgspec.json.decode(data, type=MetricDay) if name == "metric" else None
        alert = msgspec.json.decode(data, type=Alert) if name == "alert" else None
        return LiveEvent(event=name, id=self.last_id, metric=metric, alert=alert, data=value)

    def restart(self) -> None:
        """Forget a half-read event: the connection broke, or the event is complete."""
        self._event = "message"
        self._data = []

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
