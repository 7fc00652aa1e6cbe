"""What does a worker know of projects, their days, their models and their baselines, and how new is it?

Every change in the database raises one number, `catalog.generation`. Workers look at it twice a second and read
everything again when it has risen; there is little of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import asyncpg
from pydantic import SecretStr

from stream.bins import FrozenBins
from stream.days import Calendar, UnknownZoneError
from stream.labels import LabelHash, label_hash
from stream.store import catalog as stored
from stream.store.catalog import BaselineKey, Capture, FeatureKey, ModelKey
from stream.store.pool import Pool
from stream.weekdays import Weekdays, version_on

log = logging.getLogger(__name__)

POLL_S = 0.5

Bins = dict[FeatureKey, FrozenBins]


@dataclass(slots=True)
class Project:
    """What folding needs of a project.

    Attributes
    ----------
    hide : LabelHash or None
        What takes the place of its labels.
    key_missing : bool
        Its labels are hashed with a key that this worker has not: nothing of it can be folded.
    models : set of (model, endpoint)
        Those that it has; also such as a checkpoint is still to write.
    registered : set of (model, endpoint)
        Those that the database is known to have.
    """

    project_id: str
    calendar: Calendar
    dedupe_by_event_id: bool = False
    hide: LabelHash | None = None
    key_missing: bool = False
    models: set[tuple[str, str]] = field(default_factory=set)
    registered: set[tuple[str, str]] = field(default_factory=set)


class Catalog:
    """Projects by id, active baseline versions by model, frozen bins by version."""

    def __init__(self, pool: Pool, label_secret: SecretStr | None = None) -> None:
        self._pool = pool
        self._label_secret = label_secret
        self.generation = 0
        self.projects: dict[str, Project] = {}
        self.active: dict[ModelKey, list[tuple[int, Weekdays]]] = {}
        self._bins: dict[BaselineKey, Bins] = {}
        self._captures: dict[BaselineKey, Capture] = {}

    async def load(self) -> None:
        """Read all of it, and the generation first, so that a change in between is read again."""
        async with self._pool.acquire() as connection:
            generation = await stored.read_generation(connection)
            projects = await stored.read_projects(connection)
            models = await stored.read_models(connection)
            active = await stored.read_active_versions(connection)
            wanted = {(*model, version) for model, versions in active.items() for version, _ in versions}
            captures = await stored.read_captures(connection, wanted | self._bins.keys())
            kept = {
                key: bins
                for key, bins in self._bins.items()
                if key in captures and captures[key] == self._captures.get(key)
            }
            self._bins = kept | await stored.read_bins(connection, wanted - kept.keys())
        self.projects = {
            row.project_id: project for row in projects if (project := self._project(row, models))
        }
        self._captures = captures
        self.active = active
        self.generation = generation

    async def poll(self) -> bool:
        """Load again if anything has changed."""
        async with self._pool.acquire() as connection:
            generation = await stored.read_generation(connection)
        if generation == self.generation:
            return False
        await self.load()
        return True

    async def follow(self) -> None:
        """Poll until cancelled; a database that is away is asked again."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.poll()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("the catalog could not be read: %s", type(error).__name__)

    async def look_again(self, project_ids: Iterable[str]) -> None:
        """Before projects are called unknown: they may have been made a moment ago. One query, whatever was asked before."""
        if not set(project_ids) <= self.projects.keys():
            await self.poll()

    def registered(self, models: Iterable[ModelKey]) -> None:
        """A checkpoint has made these models known."""
        for project_id, model_id, endpoint in models:
            if project_id in self.projects:
                self.projects[project_id].registered.add((model_id, endpoint))

    async def bins_of(self, keys: Iterable[BaselineKey]) -> dict[BaselineKey, Bins]:
        """The frozen bins of these versions, old ones too; empty for a version that does not exist."""
        wanted = set(keys)
        while missing := wanted - self._bins.keys():
            known = self._captures
            async with self._pool.acquire() as connection:
                captures = await stored.read_captures(connection, missing)
                found = await stored.read_bins(connection, missing)
            if known is self._captures:
                known.update(captures)
                self._bins.update({key: found.get(key, {}) for key in missing})
        return {key: self._bins[key] for key in wanted}

    def active_bins(self, model: ModelKey, day: date) -> tuple[int | None, Bins]:
        """What the local day of the model is pinned to if it begins now."""
        version = version_on(day, self.active.get(model, ()))
        return version, {} if version is None else self._bins.get((*model, version), {})

    def _project(self, row: stored.ProjectRow, models: dict[str, set[tuple[str, str]]]) -> Project | None:
        try:
            calendar = Calendar(row.zones)
        except UnknownZoneError as error:
            log.error("project %s cannot be folded: %s", row.project_id, error)
            return None
        known = models.get(row.project_id, set())
        hide = None if row.label_key_id is None else label_hash(self._label_secret, row.project_id)
        missing = row.label_key_id is not None and (hide is None or hide.key_id != row.label_key_id)
        if missing:
            log.error(
                "project %s: its events become dead letters, since ML_GUARD_LABEL_KEY is not the key that its labels "
                "are hashed with; set it, then `ml-guard dead replay --reason label_key_missing`",
                row.project_id,
            )
        return Project(
            row.project_id, calendar, row.dedupe_by_event_id, hide, missing, set(known), set(known)
        )
