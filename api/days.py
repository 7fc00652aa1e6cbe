"""Which days does a request ask for? Parameters and paging that the daily lists share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request

from api.door.access import Read, the_projects
from api.paging import Cursor, Limit, cut, decode, encode
from api.problems import invalid
from api.services import Services, services_of
from stream.store.reading import Days, Order, Row

FIRST, LAST = date(1970, 1, 1), date(8999, 12, 31)

ProjectId = Annotated[str | None, Query(max_length=256, description="Left out: every project of the key.")]
ModelId = Annotated[str | None, Query(max_length=256)]
Endpoint = Annotated[str | None, Query(max_length=256)]
DayParameter = Annotated[date | None, Query(ge=FIRST, le=LAST)]
Verdict = Literal[
    "ok",
    "warning",
    "drift",
    "insufficient_data",
    "missing_baseline",
    "type_changed",
    "missing_feature",
    "new_feature",
    "ignored",
]


def span(day: date | None, first: date | None, last: date | None) -> tuple[date | None, date | None]:
    """First and last day of a question. Raises a 422 for one that asks twice or backwards."""
    if day is not None:
        if first is not None or last is not None:
            raise invalid("day", "give either `day`, or `from` and `to`")
        return day, day
    if first is not None and last is not None and first > last:
        raise invalid("to", "it lies before `from`; both days are included")
    return first, last


@dataclass(frozen=True, slots=True)
class DailyQuestion:
    """What all daily lists take."""

    services: Services
    days: Days
    order: Order
    cursor: str | None
    limit: int

    def only(self, **more: Any) -> DailyQuestion:
        """The question, narrowed further."""
        return replace(self, days=replace(self.days, **more))


async def daily_question(
    request: Request,
    who: Read,
    project_id: ProjectId = None,
    model_id: ModelId = None,
    endpoint: Endpoint = None,
    day: Annotated[DayParameter, Query(description="One local day.")] = None,
    first: Annotated[DayParameter, Query(alias="from", description="First local day.")] = None,
    last: Annotated[DayParameter, Query(alias="to", description="Last local day, included.")] = None,
    order: Annotated[Order, Query(description="By day.")] = "desc",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> DailyQuestion:
    """The dependency that reads them."""
    services = services_of(request)
    first, last = span(day, first, last)
    projects = await the_projects(services, who, project_id)
    days = Days(project_ids=projects, model_id=model_id, endpoint=endpoint, first=first, last=last)
    return DailyQuestion(services, days, order, cursor, limit)


Question = Annotated[DailyQuestion, Depends(daily_question)]

Read_rows = Callable[..., Awaitable[list[Row]]]


async def answer(
    question: DailyQuestion, name: str, read: Read_rows, key: Sequence[str], **more: Any
) -> dict[str, Any]:
    """A page of the list `name`, whose rows are in the order of `key`."""
    days = question.days
    asked = [
        name, sorted(days.project_ids) if days.project_ids is not None else None, days.model_id, days.endpoint,
        days.feature, days.kind, days.verdicts, days.first, days.last, question.order,
    ]  # fmt: skip
    after = decode(question.cursor, asked, tuple[(datetime, *(str for _ in key[1:]))])  # type: ignore[misc]
    async with question.services.database.connection() as connection:
        rows = await read(
            connection, days, after=after, order=question.order, limit=question.limit + 1, **more
        )
    rows, last = cut(rows, question.limit)
    following = None if last is None else encode([last[column] for column in key], asked)
    return {"items": rows, "next_cursor": following}
