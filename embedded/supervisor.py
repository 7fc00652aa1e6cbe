"""Who keeps the stack running? `python -m embedded.supervisor FOLDER`: starts the parts, restarts what crashes.

It writes `run/state.json` at every change, so that `status` can name the part that crashed, when, and what it said
last. SIGTERM ends the parts in order: dashboard and workers, API, database, Kafka.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import urllib.request
from collections.abc import Awaitable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from embedded.database import launch as database
from embedded.errors import PartFailedError
from embedded.folder import Folder, birth, read_json, write_json
from embedded.kafka import broker
from embedded.plan import REPOSITORY, Plan
from embedded.process import Part
from embedded.settings import StackSettings
from embedded.watched import Watched
from ml_guard.transports.kafka_security import NAMES
from stream.migrate import MigrationError, apply_policies, migrate
from stream.reader import SERVICES, set_login, set_page, set_service_login
from stream.topics import ensure_topics

log = logging.getLogger(__name__)

WATCH_EVERY_S = 0.2
API_START_TIMEOUT_S = 60


class Supervisor:
    """Starts and watches the parts of one plan over one folder."""

    def __init__(self, folder: Folder, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.stopping = asyncio.Event()
        self.phase = "starting"
        self.failure: str | None = None
        self.kafka = Watched("kafka", plan.kafka, self._start_kafka)
        self.database = Watched("database", f"127.0.0.1:{plan.database_port}", self._start_database)
        self.api = Watched("api", plan.url, self._start_api)
        names = [f"worker-{number}" for number in range(1, plan.workers + 1)]
        self.dashboard = Watched("dashboard", plan.dashboard_url, self._start_dashboard)
        self.workers = [Watched(name, None, partial(self._start_worker, name)) for name in names]

    @property
    def parts(self) -> list[Watched]:
        return [self.kafka, self.database, self.api, *self.workers, self.dashboard]

    async def run(self) -> int:
        """The exit code: 0 after SIGTERM, 1 if the stack could not be started."""
        starting = asyncio.ensure_future(self._start())
        await self._first(starting, self.stopping.wait())
        if starting.done() and (failure := starting.exception()) is not None:
            self.failure = str(failure)
            log.error("the stack could not be started: %s", failure)
            await self._stop()
            self._enter("failed")
            return 1
        if not self.stopping.is_set():
            self._enter("running")
            await self._watch()
        else:
            await asyncio.wait([starting])
        self._enter("stopping")
        await self._stop()
        self._enter("stopped")
        return 0

    async def _start(self) -> None:
        await self._start_parts([self.kafka, self.database])
        self._enter("migrating")
        own: dict[str, Any] = {f"kafka_{name}": None for name in NAMES} | {
            "kafka_security_protocol": "PLAINTEXT"
        }  # not the environment's
        settings = StackSettings(kafka=self.plan.kafka, database_url=self.plan.database_url, **own)
        try:
            await migrate(settings.database_url)
            await apply_policies(settings.database_url, retention_days=settings.retention_days)
        except MigrationError as failure:
            raise PartFailedError(f"the schema could not be brought up to date: {failure}") from failure
        await set_page(settings.database_url, settings.public_url or self.plan.dashboard_url)
        if (password := settings.initial_grafana_password) is not None:
            await set_login(settings.database_url, password)
        for login in SERVICES:
            await set_service_login(settings.database_url, login, self.plan.service_password)
        await ensure_topics(settings)
        self._enter("starting")
        await self._start_parts([self.api, *self.workers, self.dashboard])

    async def _start_parts(self, parts: Sequence[Watched]) -> None:
        """Side by side; the first failure is raised after all have ended starting."""
        results = await asyncio.gather(
            *(asyncio.to_thread(part.start) for part in parts), return_exceptions=True
        )
        self._write()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _watch(self) -> None:
        restarting: set[asyncio.Future[None]] = set()
        while not self.stopping.is_set():
            changed = [part for part in self.parts if part.check()]
            for part in self.parts:
                if part.is_due:
                    part.state = "starting"
                    task = asyncio.ensure_future(asyncio.to_thread(part.restart))
                    task.add_done_callback(lambda _: self._write())
                    restarting.add(task)
                    changed.append(part)
            if changed:
                self._write()
            restarting = {task for task in restarting if not task.done()}
            await self._first(asyncio.sleep(WATCH_EVERY_S), self.stopping.wait())
        await asyncio.gather(*restarting, return_exceptions=True)

    async def _stop(self) -> None:
        for group in ([*self.workers, self.dashboard], [self.api], [self.database], [self.kafka]):
            await asyncio.gather(*(asyncio.to_thread(part.stop) for part in group))
            self._write()

    @staticmethod
    async def _first(*work: Awaitable[Any]) -> None:
        tasks = [asyncio.ensure_future(each) for each in work]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks[1:] if tasks[0].done() else []:
            task.cancel()

    def _start_kafka(self) -> Part:
        return broker.start(self.folder.root / "kafka", self.plan.kafka_port, self.folder.log("kafka"))

    def _start_database(self) -> Part:
        data, log_file = self.folder.root / "database", self.folder.log("database")
        return database.start(data, self.plan.database_port, log_file, self.plan.database_password)

    def _start_api(self) -> Part:
        part = self._python("api", "api", self.plan.api_environment)
        try:
            part.wait_until(self._api_answers, API_START_TIMEOUT_S)
        except PartFailedError:
            part.kill()
            raise
        return part

    def _start_worker(self, name: str) -> Part:
        return self._python(name, "stream", self.plan.worker_environment)

    def _start_dashboard(self) -> Part:
        """Not waited for: events flow without it, and it answers soon after."""
        return self._python("dashboard", "dashboards.live", self.plan.dashboard_environment)

    def _python(self, name: str, module: str, environment: dict[str, str]) -> Part:
        command = [sys.executable, "-m", module]
        return Part(name, command, self.folder.log(name), environment, cwd=REPOSITORY)

    def _api_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.plan.url}/api/v1/health", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self._write()

    def _write(self) -> None:
        write_json(
            self.folder.state_file,
            {
                "phase": self.phase,
                "failure": self.failure,
                "supervisor": {"pid": os.getpid(), "birth": birth(os.getpid())},
                "parts": [part.to_json() for part in self.parts],
            },
        )


async def _supervise(folder: Folder) -> int:
    supervisor = Supervisor(folder, Plan.from_json(read_json(folder.plan_file)))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stopping.set)
    return await supervisor.run()


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return asyncio.run(_supervise(Folder(Path(sys.argv[1]))))


if __name__ == "__main__":
    sys.exit(main())
