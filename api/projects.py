"""Which projects are there, and in which zone are their days? `/api/v1/projects`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from api.door.access import Admin, Read, unknown_project
from api.label_keys import hash_of
from api.paging import Cursor, Limit, Page, cut, decode, encode
from api.problems import Problem, invalid
from api.receipts import RowsRemoved, TopicKept, kept_until, rows_removed, topics_kept
from api.services import services_of
from api.shapes import Project, Strict
from stream.store import deletion, projects
from stream.store.aggregates import refresh_traffic
from stream.store.hashing import hash_labels

router = APIRouter(prefix="/projects", tags=["projects"])

NewId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Letters, digits, `.`, `_`, `-`.",
        examples=["proj_456"],
    ),
]
Name = Annotated[str, Field(max_length=256, examples=["Customer churn"])]
ZoneName = Annotated[str, Field(max_length=64, description="An IANA name.", examples=["America/Toronto"])]
Labels = Literal["plain", "hashed"]
Id = Annotated[str, Path(max_length=256, examples=["proj_123"])]


class NewProject(Strict):
    """A project to be made. Its days are those of its zone."""

    project_id: NewId
    zone: ZoneName
    name: Name = ""
    dedupe_by_event_id: bool = Field(
        False, description="Count events of one `event_id` once; costs memory with traffic."
    )
    labels: Labels = Field(
        "plain",
        description="`hashed`: category labels are stored as keyed hashes only; needs the setting `ML_GUARD_LABEL_KEY`.",
    )


class ProjectChange(Strict):
    """What is to be changed. A new zone takes effect at its next midnight."""

    name: Name | None = Field(None, examples=["Customer churn"])
    zone: ZoneName | None = Field(None, examples=["America/Toronto"])
    dedupe_by_event_id: bool | None = None
    labels: Labels | None = Field(
        None, description="`hashed`, for good: those that are stored are replaced by their hashes too."
    )


class DeletionReceipt(BaseModel):
    """What was removed with a project, and what stays in Kafka until when."""

    receipt_id: str
    project_id: str
    deleted_at: datetime
    rows: list[RowsRemoved]
    kafka: list[TopicKept]


def _shown(project: projects.Project) -> dict[str, Any]:
    return {
        "project_id": project.project_id,
        "name": project.name,
        "zone": project.zone_at(datetime.now(UTC)),
        "zones": [{"zone": z.zone, "effective_from": z.effective_from} for z in project.zones],
        "dedupe_by_event_id": project.dedupe_by_event_id,
        "labels": "plain" if project.label_key_id is None else "hashed",
        "created_at": project.created_at,
    }


@router.get("", response_model=Page[Project])
async def list_projects(request: Request, who: Read, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """The key's projects, by id."""
    ids = None if who.project_ids is None else sorted(who.project_ids)
    asked = ["projects", ids]
    after = decode(cursor, asked, tuple[str])
    async with services_of(request).database.connection() as connection:
        rows = await projects.read(
            connection, project_ids=ids, after=after[0] if after else None, limit=limit + 1
        )
    rows, last = cut(rows, limit)
    return {
        "items": [_shown(row) for row in rows],
        "next_cursor": None if last is None else encode([last.project_id], asked),
    }


@router.post("", response_model=Project, status_code=201)
async def create_project(request: Request, who: Admin, new: NewProject) -> Any:
    """A new project; needs a key for all projects."""
    if who.project_ids is not None:
        raise Problem("missing_scope", "Only a key for all projects may make one.", scope="admin")
    services = services_of(request)
    hide = hash_of(services, new.project_id) if new.labels == "hashed" else None
    async with services.database.connection() as connection:
        try:
            made = await projects.create(
                connection,
                new.project_id,
                new.zone,
                name=new.name,
                dedupe_by_event_id=new.dedupe_by_event_id,
                label_key_id=None if hide is None else hide.key_id,
            )
        except projects.ProjectExistsError as error:
            raise Problem("conflict", f"There is a project {new.project_id!r} already.") from error
    return _shown(made)


@router.get("/{project_id}", response_model=Project)
async def read_project(request: Request, who: Read, project_id: Id) -> Any:
    """One project."""
    if not who.sees(project_id):
        raise unknown_project(project_id)
    async with services_of(request).database.connection() as connection:
        found = await projects.read(connection, project_ids=[project_id])
    if not found:
        raise unknown_project(project_id)
    return _shown(found[0])


@router.patch("/{project_id}", response_model=Project)
async def change_project(request: Request, who: Admin, project_id: Id, change: ProjectChange) -> Any:
    """A changed zone stands in `zones` with the midnight from which it holds.

    `labels: hashed` replaces every label that the project has in the database, in one transaction, and there is no way back.
    """
    if not change.model_fields_set:
        raise invalid("body", "name at least one of name, zone, dedupe_by_event_id, labels")
    if not who.sees(project_id):
        raise unknown_project(project_id)
    services = services_of(request)
    hide = hash_of(services, project_id) if change.labels == "hashed" else None
    async with services.database.connection() as connection:
        if change.labels == "plain":
            found = await projects.read(connection, project_ids=[project_id])
            if any(project.label_key_id is not None for project in found):
                raise Problem("conflict", "Hashed labels stay so: nobody can make them readable again.")
        if hide is not None:
            await hash_labels(connection, project_id, hide)
        changed = await projects.change(connection, project_id, **change.model_dump(exclude={"labels"}))
    if changed is None:
        raise unknown_project(project_id)
    return _shown(changed)


@router.delete("/{project_id}", response_model=DeletionReceipt)
async def delete_project(
    request: Request,
    who: Admin,
    project_id: Id,
    confirm: Annotated[
        str, Query(max_length=256, description="The project's id once more.", examples=["proj_123"])
    ],
) -> Any:
    """Every row of the project and its keys are removed, for good. Events in Kafka stay until the topic's retention."""
    services = services_of(request)
    if not who.sees(project_id):
        raise unknown_project(project_id)
    if confirm != project_id:
        raise invalid("confirm", "must be the project's id, since nothing brings the project back")
    topics = await kept_until(services)
    async with services.database.connection() as connection:
        receipt = await deletion.delete_project(
            connection, project_id, deleted_by=who.key.key_id, topics=topics
        )
        if receipt is None:
            raise unknown_project(project_id)
        services.projects.forget(project_id)
        services.keyring.forget_all()
        if receipt.traffic is not None:
            first, last = receipt.traffic
            await refresh_traffic(connection, first, last + timedelta(minutes=1))
    return {
        "receipt_id": receipt.receipt_id,
        "project_id": project_id,
        "deleted_at": receipt.deleted_at,
        "rows": rows_removed(receipt.rows),
        "kafka": topics_kept(receipt.topics),
    }
