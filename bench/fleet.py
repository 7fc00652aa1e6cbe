"""How are worker processes started, killed and watched from outside?"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

WAIT_S = 120.0


@dataclass
class Fleet:
    """Worker processes that share a topic. Use as a context: what still runs at its end is killed."""

    kafka: str
    database_url: str
    topic: str
    log_dir: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    module: str = "stream"
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: int = 0

    def __enter__(self) -> Fleet:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def environment(self, **more: str) -> dict[str, str]:
        """What a worker finds in its environment."""
        return {
            **os.environ,
            "ML_GUARD_KAFKA": self.kafka,
            "ML_GUARD_DATABASE_URL": self.database_url,
            "ML_GUARD_TOPIC": self.topic,
            "ML_GUARD_DEAD_TOPIC": f"{self.topic}.dead",
            "ML_GUARD_GROUP": self.topic,
            "ML_GUARD_SESSION_TIMEOUT_S": "2",
            **{f"ML_GUARD_{name.upper()}": value for name, value in self.settings.items()},
            **more,
        }

    def start(self, module: str | None = None, **more: str) -> subprocess.Popen[bytes]:
        """Start one worker, or another program beside them; `more` is added to its environment."""
        self.started += 1
        with (self.log_dir / f"worker-{self.started}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module or self.module],
                env=self.environment(**more),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def log_of(self, process: subprocess.Popen[bytes]) -> str:
        """All that a worker has said."""
        path = self.log_dir / f"worker-{self.processes.index(process) + 1}.log"
        return path.read_text(errors="replace")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """`kill -9`."""
        process.send_signal(signal.SIGKILL)
        process.wait()

    def terminate(self, process: subprocess.Popen[bytes]) -> int:
        """SIGTERM, and its exit status."""
        process.terminate()
        return process.wait(30)

    def logs(self) -> str:
        """The last lines of every worker."""
        return "\n".join(
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-12:])
            for path in sorted(self.log_dir.glob("worker-*.log"))
        )

    async def end_offsets(self) -> dict[int, int]:
        """The last stable end offset of every partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, isolation_level="read_committed")
        await consumer.start()
        try:
            await consumer._client.force_metadata_update()
            partitions = await _partitions(consumer, self.topic)
            ends = await consumer.end_offsets([TopicPartition(self.topic, p) for p in partitions])
            return {tp.partition: end for tp, end in ends.items()}
        finally:
            await consumer.stop()

    async def fences(self) -> dict[int, int]:
        """Where each partition's fence is."""
        connection = await asyncpg.connect(self.database_url)
        try:
            rows = await connection.fetch(
                'select "partition", next_offset from ml_guard.stream_fence where topic = $1', self.topic
            )
            return {row[0]: row[1] for row in rows}
        finally:
            await connection.close()

    async def reading(self, *, wait_s: float = WAIT_S) -> None:
        """Wait until a worker has claimed every partition."""
        wanted = await self.end_offsets()
        until = time.monotonic() + wait_s
        while (await self.fences()).keys() != wanted.keys():
            if time.monotonic() > until:
                raise TimeoutError(f"nobody reads {self.topic}\n{self.logs()}")
            await asyncio.sleep(0.1)

    async def shared_by(self, *processes: subprocess.Popen[bytes], wait_s: float = WAIT_S) -> None:
        """Wait until these processes have every partition, each at least one of them."""
        wanted = {process.pid for process in processes}
        until = time.monotonic() + wait_s
        while (owners := await self._owners()) != wanted:
            if time.monotonic() > until:
                raise TimeoutError(f"{owners} have the partitions, not {wanted}\n{self.logs()}")
            await asyncio.sleep(0.1)

    async def _owners(self) -> set[int]:
        connection = await asyncpg.connect(self.database_url)
        try:
            rows = await connection.fetch(
                "select owner from ml_guard.stream_fence where topic = $1", self.topic
            )
            return {int(row["owner"].rpartition(":")[2]) for row in rows}
        finally:
            await connection.close()

    async def drained(
        self, *, wait_s: float = WAIT_S, meanwhile: Callable[[], None] = lambda: None
    ) -> dict[int, int]:
        """Wait until every fence is at its log's end."""
        ends = await self.end_offsets()
        until = time.monotonic() + wait_s
        while True:
            fences = await self.fences()
            if all(fences.get(partition, 0) >= end for partition, end in ends.items()):
                return fences
            if time.monotonic() > until:
                raise TimeoutError(f"after {wait_s} s: fences {fences}, log ends {ends}\n{self.logs()}")
            meanwhile()
            await asyncio.sleep(0.1)


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.add_topic(topic)
    return set(consumer.partitions_for_topic(topic) or ())
