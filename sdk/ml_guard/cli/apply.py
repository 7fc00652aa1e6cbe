"""`ml-guard apply`: what must be changed so that a project is as a file in its repository says?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text

from ml_guard.cli import tables
from ml_guard.cli.connection import client
from ml_guard.cli.failures import CommandError, explain
from ml_guard.cli.guard_file import Entry, Guard, read_guard
from ml_guard.cli.output import AsJson, emit, say
from ml_guard.client import MLGuardClient
from ml_guard.errors import MLGuardError

_FEATURE_FIELDS = ("kind", "bins", "warning", "drift", "ignored")


class Change(msgspec.Struct, frozen=True):
    """One thing that is not as the file says."""

    line: int
    what: str
    field: str
    now: Any
    wanted: Any


class Applied(msgspec.Struct, frozen=True):
    """The difference, and whether it was made to go away."""

    project_id: str
    dry_run: bool
    changes: list[Change]


_Step = tuple[list[Change], Callable[[], object]]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(apply)


def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file, such as guard.yaml.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference; nothing is changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a project as a YAML file says: zone, hashed labels, how features are binned and judged, alert policies.

    Applying a file again changes nothing. What the file does not name stays as it is. The whole file is checked before
    anything is changed; keys that are not known are refused, with their lines.
    """
    guard = read_guard(file)
    with client(context) as api:
        steps = [step for step in _steps(api, guard) if step[0]]
        if not dry_run:
            for changes, make in steps:
                _made(file, changes[0].line, make)
    answer = Applied(guard.project_id, dry_run, [change for changes, _ in steps for change in changes])
    emit(answer, as_json, lambda: _drawn(answer))
    if answer.changes and dry_run:
        say("Nothing was changed: the same words without `--dry-run` do it.")


def _steps(api: MLGuardClient, guard: Guard) -> list[_Step]:
    known = {one.project_id: one for one in api.projects.list()}
    project = known.get(guard.project_id)
    if project is None and guard.zone is None:
        raise CommandError(
            f"{guard.file}: there is no project {guard.project_id}", "Name its zone, to have it made."
        )
    steps = [
        _zone(
            api, guard, None if project is None else project.zones[-1].zone if project.zones else project.zone
        ),
        _labels(api, guard, "plain" if project is None else project.labels),
    ]
    there = [] if project is None else api.feature_settings.list(project_id=guard.project_id)
    settings = {(one.model_id, one.endpoint, one.feature): one for one in there}
    steps += [_feature(api, guard, entry, settings.get(entry.place)) for entry in guard.features]
    policies = {} if project is None else {
        (one.name, one.model_id, one.endpoint, one.feature): one
        for one in api.alert_policies.list(project_id=guard.project_id)
        if one.project_id == guard.project_id
    }  # fmt: skip
    for entry in guard.policies:
        name = entry.values.get("name", entry.values["condition"])
        steps.append(_policy(api, guard, entry, policies.get((name, *entry.place))))
    return steps


def _zone(api: MLGuardClient, guard: Guard, now: str | None) -> _Step:
    zone = guard.zone
    if zone is None or zone == now:
        return [], lambda: None
    changes = [Change(guard.lines["zone"], f"project {guard.project_id}", "zone", now, zone)]
    if now is None:
        return changes, lambda: api.projects.create(guard.project_id, zone=zone)
    return changes, lambda: api.projects.update(guard.project_id, zone=zone)


def _labels(api: MLGuardClient, guard: Guard, now: str) -> _Step:
    if guard.labels in (None, now):
        return [], lambda: None
    change = Change(guard.lines["labels"], f"project {guard.project_id}", "labels", now, guard.labels)
    return [change], lambda: api.projects.update(guard.project_id, labels=guard.labels)


def _feature(api: MLGuardClient, guard: Guard, entry: Entry, now: Any) -> _Step:
    wanted = {name: entry.values.get(name) for name in _FEATURE_FIELDS}
    model, endpoint, feature = entry.place
    changes = _differences(entry, f"feature {feature} of {model}/{endpoint}", wanted, now)
    where: dict[str, Any] = {
        "project_id": guard.project_id,
        "model_id": model,
        "endpoint": endpoint,
        "feature": feature,
    }
    return changes, lambda: api.feature_settings.set(**(where | wanted))


def _policy(api: MLGuardClient, guard: Guard, entry: Entry, now: Any) -> _Step:
    model, endpoint, feature = entry.place
    what = f"policy {entry.values.get('name', entry.values['condition'])} of {model}/{endpoint} {feature}"
    changes = _differences(entry, what, entry.values, now)
    where: dict[str, Any] = {
        "project_id": guard.project_id,
        "model_id": model,
        "endpoint": endpoint,
        "feature": feature,
    }
    return changes, lambda: api.alert_policies.set(**(where | entry.values))


def _differences(entry: Entry, what: str, wanted: dict[str, Any], now: Any) -> list[Change]:
    return [
        Change(entry.lines.get(name, entry.line), what, name, getattr(now, name, None), value)
        for name, value in wanted.items()
        if value != getattr(now, name, None)
    ]


def _made(file: Path, line: int, make: Callable[[], object]) -> None:
    try:
        make()
    except MLGuardError as error:
        problem, remedy, code = explain(error)
        raise CommandError(f"{file}, line {line}: {problem}", remedy, code) from error


def _drawn(answer: Applied) -> RenderableType:
    made = tables.table(">line", "what", "field", "now", "file")
    for one in answer.changes:
        made.add_row(str(one.line), escape(one.what), one.field, _shown(one.now), _shown(one.wanted))
    return made if answer.changes else Text(f"{answer.project_id} is as the file says.", style="good")


def _shown(value: Any) -> str:
    return "[quiet]–[/]" if value is None else escape(str(value))
