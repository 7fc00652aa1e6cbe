"""`ml-guard costs`: what does a project cost on AWS, and which of AWS's costs are its own?"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ml_guard import cost_shapes as s
from ml_guard.cli import wording as w
from ml_guard.cli.connection import client
from ml_guard.cli.failures import CommandError
from ml_guard.cli.options import Limit, Project, maybe_day
from ml_guard.cli.output import AsJson, emit
from ml_guard.cli.tables import rows_or, table

group = typer.Typer(no_args_is_help=True, help="Show what projects cost on AWS, by UTC day, and pull it.")

PULL_TIMEOUT_S = 180.0
"""Cost Explorer takes seconds a page, and is asked again when it throttles."""
SERVICES = 2

ProjectId = Annotated[str, typer.Option("--project", help="The project's id.")]
OneDay = Annotated[str | None, typer.Option("--day", help="Only this UTC day, YYYY-MM-DD.")]
From = Annotated[str | None, typer.Option("--from", help="From this UTC day on, YYYY-MM-DD.")]
To = Annotated[str | None, typer.Option("--to", help="Up to this UTC day, YYYY-MM-DD.")]


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(group, name="costs")


@group.command()
def show(
    context: typer.Context,
    project: Project = None,
    day: OneDay = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show costs beside the traffic, a row a UTC day and currency."""
    with client(context) as api:
        rows = api.costs_daily(
            project_id=project,
            day=maybe_day(day, "--day"),
            from_=maybe_day(from_, "--from"),
            to=maybe_day(to, "--to"),
            limit=limit,
        )
    emit(_plain(rows), as_json, lambda: days(rows))


@group.command()
def pull(
    context: typer.Context,
    project: ProjectId,
    day: OneDay = None,
    from_: From = None,
    to: To = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Ask for days that are there as well, and replace them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask AWS for UTC days that have ended; without any, for yesterday.

    AWS charges for each request of its Cost Explorer; a range of days is usually one. Days that are there are not
    asked for again, unless with --overwrite.
    """
    with client(context, timeout_s=PULL_TIMEOUT_S) as api:
        done = api.costs.pull(
            project,
            day=maybe_day(day, "--day"),
            from_=maybe_day(from_, "--from"),
            to=maybe_day(to, "--to"),
            overwrite=overwrite or None,
        )
    emit(_plain(done), as_json, lambda: pulled(done))


@group.command("filter")
def filter_(
    context: typer.Context,
    project: ProjectId,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", help="A cost allocation tag, KEY=VALUE; give it once for each value."),
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option("--service", help="An AWS service by Cost Explorer's name; give it once for each."),
    ] = None,
    account: Annotated[
        list[str] | None, typer.Option("--account", help="A linked account; give it once for each.")
    ] = None,
    currency: Annotated[str | None, typer.Option("--currency", help="The one that AWS bills in.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Pull no more; what was pulled stays.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show which costs are a project's, or say it: all that is named must fit, each with one of its values.

    From then on the last days are pulled every day.
    """
    chosen: dict[str, Any] = {
        "tags": _tags(tag),
        "services": service or None,
        "accounts": account or None,
        "currency": currency,
    }
    with client(context) as api:
        if off:
            if any(chosen.values()):
                raise CommandError("--off takes no other filter", "Leave out one of them.")
            api.costs.delete_filter(project)
            emit({"off": project}, as_json, lambda: f"No more costs of {escape(project)} are pulled.")
            return
        row = api.costs.set_filter(project, **chosen) if any(chosen.values()) else api.costs.filter(project)
    emit(row, as_json, lambda: filter_table(row))


def days(rows: Sequence[s.CostDay]) -> RenderableType:
    """Costs, a row a day and currency."""
    made = table("project", "UTC day", "", ">amount", "", ">requests", ">per 1,000", "most of it")
    for row in rows:
        made.add_row(
            escape(row.project_id),
            str(row.day),
            "[warn]estimated[/]" if row.estimated else "final",
            w.money(row.amount),
            row.currency,
            w.count(row.requests),
            w.ABSENT if row.cost_per_1000 is None else w.money(row.cost_per_1000),
            escape(_most(row)),
        )
    return rows_or(
        "No costs: `ml-guard costs filter` says which are a project's, `costs pull` asks AWS.", made
    )


def pulled(done: s.PulledCosts) -> RenderableType:
    """What became of a pull."""
    said = [
        f"{_days(len(done.pulled))} pulled with {done.aws_requests} request{_s(done.aws_requests)} to AWS"
    ]
    if done.kept:
        said.append(f"{_days(len(done.kept))} there already (--overwrite asks again)")
    if done.unanswered:
        said.append(f"{_days(len(done.unanswered))} of which AWS said nothing")
    return Group(days(done.items), Text("; ".join(said) + "."))


def filter_table(row: s.CostFilter) -> RenderableType:
    """A project's filter, and how its schedule stands."""
    made = table("project", "tags", "services", "accounts", "currency", "last pull", "next pull", "set by")
    tags = "\n".join(f"{key} = {' or '.join(values)}" for key, values in row.tags.items())
    made.add_row(
        escape(row.project_id),
        escape(tags) or "any",
        escape("\n".join(row.services)) or "all",
        "\n".join(row.accounts) or "all",
        row.currency,
        w.instant(row.pulled_at),
        w.instant(row.next_pull_at),
        escape(row.updated_by),
    )
    error = Text(f"The last pull failed: {row.last_error}.", style="bad") if row.last_error else None
    return Group(made, error) if error else made


def _most(row: s.CostDay) -> str:
    largest = sorted(row.services.items(), key=lambda part: -abs(part[1]))[:SERVICES]
    return ", ".join(f"{name} {w.money(part)}" for name, part in largest)


def _tags(given: list[str] | None) -> dict[str, list[str]] | None:
    tags: dict[str, list[str]] = {}
    for text in given or []:
        key, separator, value = text.partition("=")
        if not (key and separator and value):
            raise CommandError(f"--tag {text} is not KEY=VALUE", "Write it as team=ml.")
        tags.setdefault(key, []).append(value)
    return tags or None


def _plain(value: Any) -> Any:
    """As the API has it in JSON: amounts as text, never with an exponent."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


def _days(count: int) -> str:
    return f"{count} day{_s(count)}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
