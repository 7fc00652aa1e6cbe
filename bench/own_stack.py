"""Where does a bench run? On a stack of its own, with the schema and a topic, of which nothing is left."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.fleet import Fleet
from embedded import stack
from stream.migrate import migrate
from stream.settings import Settings
from stream.topics import ensure_topics


@dataclass(frozen=True)
class OwnStack:
    """A running stack, its folder, and the topic of the bench."""

    running: stack.Stack
    folder: Path
    topic: str

    @property
    def workers(self) -> Path:
        """Where their logs go."""
        return self.folder / "workers"

    def fleet(self) -> Fleet:
        """Workers of the topic; none has been started."""
        return Fleet(self.running.kafka, self.running.database_url, self.topic, self.workers)


@asynccontextmanager
async def own_stack(topic: str) -> AsyncIterator[OwnStack]:
    """A new stack; it ends with the block, and its data go."""
    with tempfile.TemporaryDirectory(prefix="ml-guard-bench-") as folder:
        running = stack.start(Path(folder))
        try:
            await migrate(running.database_url)
            await ensure_topics(
                Settings(
                    kafka=running.kafka,
                    database_url=running.database_url,
                    topic=topic,
                    dead_topic=f"{topic}.dead",
                )
            )
            yield OwnStack(running, Path(folder), topic)
        finally:
            running.stop()
