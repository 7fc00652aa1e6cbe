"""How does a synthetic topic go through the product: projects, baseline days, capture, scored days, late events?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from typing import Protocol

from ml_guard.client import MLGuardClient
from ml_guard.errors import ConflictError
from ml_guard.replay import waiting
from ml_guard.replay.claims import ModelKey
from ml_guard.replay.oracle import DayKey, Truth
from ml_guard.replay.produce import Sent, produce
from ml_guard.replay.record import Record
from ml_guard.replay.records import Phase, make_records
from ml_guard.replay.topic import Topic
from ml_guard.shapes import BaselineDetail

Tamper = Callable[[Phase, list[Record]], list[Record]]
"""Changes what is sent without the oracle's knowledge: how a test sees whether the validation can fail."""


class Reporter(Protocol):
    """Shows a person how far things have come."""

    def sending(self, label: str, events: int) -> AbstractContextManager[Callable[[int], None]]:
        """For a number of events that is known."""

    def waiting(self, label: str) -> AbstractContextManager[Callable[[str], None]]:
        """For a condition."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def sending(self, label: str, events: int) -> Iterator[Callable[[int], None]]:
        yield lambda done: None

    @contextmanager
    def waiting(self, label: str) -> Iterator[Callable[[str], None]]:
        yield lambda text: None


class Session:
    """One synthetic topic on its way through one product. The steps are called in the order in which they stand here."""

    def __init__(
        self,
        client: MLGuardClient,
        topic: Topic,
        kafka: str,
        *,
        events_topic: str = "ml_guard.events",
        rate: float | None = None,
        reporter: Reporter | None = None,
        tamper: Tamper | None = None,
        quiet_s: float = waiting.QUIET_S,
    ) -> None:
        self.client = client
        self.topic = topic
        self.truth = Truth({topic.project_id(project): project.zone for project in topic.projects})
        self.ends: dict[int, int] = {}
        self._kafka = kafka
        self._events_topic = events_topic
        self._rate = rate
        self._reporter = reporter or Silent()
        self._tamper = tamper
        self._quiet_s = quiet_s

    def create_projects(self) -> int:
        """Create the projects that are not there yet; how many were not."""
        created = 0
        for project in self.topic.projects:
            try:
                self.client.projects.create(
                    self.topic.project_id(project), zone=project.zone, name=project.name
                )
                created += 1
            except ConflictError:
                pass
        return created

    def present(self) -> frozenset[tuple[str, date]]:
        """The baseline days, by slug and day, that are closed and hold all that would be sent."""
        truth = Truth(self.truth.zones)
        truth.add(make_records(self.topic, "baseline"))
        complete = set()
        for project in self.topic.projects:
            project_id = self.topic.project_id(project)
            rows = self.client.metrics_daily(project_id=project_id)
            counted = {DayKey(project_id, row.model_id, row.endpoint, row.day): row for row in rows}
            for day in self.topic.baseline_days(project):
                keys = [DayKey(project_id, one.model_id, one.endpoint, day) for one in project.endpoints]
                if all(
                    key in counted
                    and counted[key].status == "final"
                    and counted[key].requests == truth.days[key].events
                    for key in keys
                ):
                    complete.add((project.slug, day))
        return frozenset(complete)

    def send(self, phase: Phase, skip: frozenset[tuple[str, date]] = frozenset(), label: str = "") -> int:
        """Send a phase's records and count them in the truth; the number of events sent."""
        records = make_records(self.topic, phase, skip)
        sent = self._tamper(phase, list(records)) if self._tamper else records
        events = sum(record.events for record in sent)
        with self._reporter.sending(label or f"Sent the {phase} events", events) as progress:
            answer = asyncio.run(self._produce(sent, progress))
        places = {id(record): place for record, place in zip(sent, answer.positions, strict=True)}
        self.truth.add(records, [places.get(id(record), (-1, -1)) for record in records])
        for partition, end in answer.ends.items():
            self.ends[partition] = max(end, self.ends.get(partition, 0))
        return events

    async def _produce(self, records: list[Record], progress: Callable[[int], None]) -> Sent:
        return await produce(records, self._kafka, self._events_topic, rate=self._rate, progress=progress)

    def wait_folded(self) -> None:
        """Wait until the workers have passed everything that was sent."""
        with self._reporter.waiting("The workers have folded them") as update:
            waiting.wait_for("the workers to fold", waiting.folded(self.client, self.ends), update=update)

    def wait_settled(self, *, restated: bool = False) -> None:
        """Wait until the past days are closed and every day shows what was sent."""
        look = waiting.settled(self.client, self.topic, self.truth, restated=restated, quiet_s=self._quiet_s)
        with self._reporter.waiting("The past days are closed") as update:
            waiting.wait_for("the past days to close", look, update=update)

    def capture(self) -> dict[ModelKey, BaselineDetail]:
        """Capture a baseline of every endpoint that has none."""
        present = {
            (row.project_id, row.model_id, row.endpoint)
            for project in self.topic.projects
            for row in self.client.baselines.list(project_id=self.topic.project_id(project))
        }
        captured = {}
        for project, endpoint in self.topic.endpoints():
            model = (self.topic.project_id(project), endpoint.model_id, endpoint.endpoint)
            if model not in present:
                captured[model] = self.client.baselines.capture(
                    project_id=model[0],
                    model_id=model[1],
                    endpoint=model[2],
                    days=self.topic.baseline_days(project),
                    note="synthetic topic",
                )
        return captured

    def wait_counting(self) -> None:
        """Wait until the workers count against the baselines that there are now."""
        with self._reporter.waiting("The workers count against the baselines") as update:
            waiting.wait_for(
                "the workers to load the baselines", waiting.counting(self.client), update=update
            )
