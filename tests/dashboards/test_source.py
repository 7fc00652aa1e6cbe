"""Does a page that asks after an event get what the event told of?"""

from __future__ import annotations

from dashboards.live.source import Source
from ml_guard.shapes import LiveEvent
from tests.conftest import run_apart


def test_an_answer_from_before_an_event_is_not_given_after_it() -> None:
    run_apart(ask_around_an_event())


async def ask_around_an_event() -> None:
    source = Source("http://127.0.0.1:1", "key")
    stored = [217]

    async def requests() -> int:
        return stored[0]

    heard: list[LiveEvent] = []
    source._listeners.add(heard.append)
    assert await source.ask("metrics", requests) == 217
    stored[0] = 218
    assert await source.ask("metrics", requests) == 217, "asked at the same time, the answer is shared"
    source._tell(LiveEvent(event="metric", id="2", metric=None, alert=None, data={}))
    assert len(heard) == 1
    assert await source.ask("metrics", requests) == 218
    await source.client.close()
