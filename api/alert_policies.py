"""What is alerted on? `/api/v1/alert-policies`: the defaults and what replaces them, tried over the past beforehand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, model_validator

from api.days import ProjectId
from api.door.access import Operate, Read, the_project, the_projects, writing
from api.door.keyring import Principal
from api.paging import Cursor, Limit, Page, cut, decode, encode
from api.problems import Problem, invalid
from api.services import Services, services_of
from api.shapes import Strict
from stream.alerting.channels.configured import channel_names
from stream.alerting.policies import CONDITIONS, DEFAULTS, EVERY, Policy, default_of
from stream.alerting.tryout import try_policy
from stream.store import alerts
from stream.store.alert_facts import PERCENTILES
from stream.store.reading import Row

router = APIRouter(prefix="/alert-policies", tags=["alerts"])

Name = Annotated[str, Field(min_length=1, max_length=256)]
Of = Annotated[str, Query(min_length=1, max_length=256)]
Severity = Literal["info", "warning", "critical"]
ConditionName = Literal[
    "drift",
    "prediction",
    "latency",
    "silence",
    "missing_values",
    "feature_set",
    "type_change",
    "ledger",
    "expected_by",
    "cost",
]


class AlertPolicy(BaseModel):
    """What is looked for, where, and who is told. Of one name the narrowest holds, whole."""

    name: str
    condition: str
    project_id: str
    model_id: str
    endpoint: str
    feature: str
    threshold: float | None
    days: int
    minutes: int
    percentile: float
    local_time: str | None
    rise_percent: float | None
    open_day: bool
    severity: Severity
    cooldown_minutes: int
    channels: list[str] | None = Field(description="Null: every channel that is set up.")
    enabled: bool
    is_default: bool = Field(description="Whether it is one that nobody has set.")
    updated_at: datetime | None
    updated_by: str | None


class NewAlertPolicy(Strict):
    """`*` is every project, model, endpoint or feature. What is left out is the condition's default."""

    name: Name | None = Field(None, description="Left out: the condition's; a default's name replaces it.")
    condition: ConditionName = Field(examples=["drift"])
    project_id: Name = Field(EVERY, examples=["proj_123"])
    model_id: Name = EVERY
    endpoint: Name = EVERY
    feature: Name = EVERY
    threshold: float | None = Field(None, gt=0, le=1e9)
    days: int | None = Field(None, ge=1, le=14)
    minutes: int | None = Field(None, ge=1, le=1440)
    percentile: float | None = Field(None, description=f"One of {', '.join(map(str, PERCENTILES))}.")
    local_time: str | None = Field(None, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    rise_percent: float | None = Field(
        None, gt=0, le=1e6, description="Of `cost`: per cent above the mean of the days before."
    )
    open_day: bool = False
    severity: Severity | None = None
    cooldown_minutes: int | None = Field(None, ge=1, le=366 * 24 * 60)
    channels: list[Name] | None = Field(None, max_length=20)
    enabled: bool = True

    @model_validator(mode="after")
    def _fits_its_condition(self) -> NewAlertPolicy:
        condition = CONDITIONS[self.condition]
        if self.condition == "expected_by" and self.local_time is None:
            raise ValueError("`expected_by` needs `local_time`, such as 06:00")
        if self.condition == "cost" and self.threshold is None and self.rise_percent is None:
            raise ValueError("`cost` needs `threshold` or `rise_percent`")
        if self.rise_percent is not None and self.condition != "cost":
            raise ValueError(f"`{self.condition}` has no `rise_percent`")
        if condition.per_project and (self.model_id, self.endpoint) != (EVERY, EVERY):
            raise ValueError(f"`{self.condition}` is about a whole project")
        if self.open_day and not condition.may_look_at_open_day:
            raise ValueError(f"`{self.condition}` does not look at the open day")
        if self.percentile is not None and self.percentile not in PERCENTILES:
            raise ValueError(f"`percentile` is one of {', '.join(map(str, PERCENTILES))}")
        if self.feature != EVERY and not condition.per_feature:
            raise ValueError(f"`{self.condition}` is not about a feature")
        if any(one.name == self.name and one.condition != self.condition for one in DEFAULTS):
            raise ValueError(f"`{self.name}` is the name of the default for another condition")
        return self

    def policy(self) -> Policy:
        """With the condition's defaults filled in."""
        default = default_of(self.condition)
        values = self.model_dump(exclude={"past_days"})
        for field in ("threshold", "days", "minutes", "percentile", "severity", "cooldown_minutes"):
            if values[field] is None:
                values[field] = getattr(default, field)
        values["channels"] = None if self.channels is None else tuple(self.channels)
        return Policy(**{**values, "name": self.name or self.condition})


class TriedPolicy(NewAlertPolicy):
    """The policy, and over how many of the last days to try it."""

    past_days: int = Field(30, ge=1, le=90)


class WouldHaveFired(BaseModel):
    """An alert that there would have been; `until` null: to this day."""

    project_id: str
    model_id: str
    endpoint: str
    since: datetime
    opened_at: datetime
    until: datetime | None
    headline: str


class NotJudged(BaseModel):
    """A model of which the policy cannot say anything now, and why."""

    project_id: str
    model_id: str
    endpoint: str
    reason: str


class TryOut(BaseModel):
    """What the stored past says of a policy."""

    summary: str = Field(examples=["would have fired 3 times in 30 days"])
    fired: int
    past_days: int
    models: int
    models_left_out: int
    alerts: list[WouldHaveFired]
    not_judged: list[NotJudged]


@router.get("", response_model=Page[AlertPolicy])
async def list_alert_policies(
    request: Request, who: Read, project_id: ProjectId = None, limit: Limit = 100, cursor: Cursor = None
) -> Any:
    """Those that are set, for every project and for these, and the defaults that none of them replaces."""
    services = services_of(request)
    projects = await the_projects(services, who, project_id)
    asked = ["alert-policies", projects]
    after = decode(cursor, asked, tuple[str, str, str, str, str])
    async with services.database.connection() as connection:
        stored = await alerts.policy_rows(connection, projects)
    taken = {_key(row) for row in stored}
    rows = [_shown(row) for row in stored]
    rows += [_default(one) for one in DEFAULTS if (one.name, *one.scope) not in taken]
    rows = sorted((row for row in rows if after is None or _key(row) > after), key=_key)
    rows, last = cut(rows[: limit + 1], limit)
    return {"items": rows, "next_cursor": None if last is None else encode(_key(last), asked)}


@router.put("", response_model=AlertPolicy)
async def set_alert_policy(request: Request, who: Operate, policy: NewAlertPolicy) -> Any:
    """Set it, in place of what was set under its name and scope. The key's name is recorded."""
    services = services_of(request)
    await _may_set(services, who, policy.project_id)
    unknown = set(policy.channels or ()) - channel_names(services.settings)
    if unknown:
        raise invalid("channels", f"no such channel is set up: {', '.join(sorted(unknown))}")
    named = () if policy.project_id == EVERY else (policy.project_id,)
    async with writing(services, *named) as connection:
        return _shown(await alerts.put_policy(connection, policy.policy(), who.key.name))


@router.delete("", status_code=204, response_model=None)
async def delete_alert_policy(
    request: Request,
    who: Operate,
    name: Of,
    project_id: Of = EVERY,
    model_id: Of = EVERY,
    endpoint: Of = EVERY,
    feature: Of = EVERY,
) -> None:
    """Back to the wider policy, or the default."""
    services = services_of(request)
    await _may_set(services, who, project_id)
    async with services.database.connection() as connection:
        gone = await alerts.delete_policy(connection, (name, project_id, model_id, endpoint, feature))
    if not gone:
        raise Problem("not_found", "No policy is set there.")


@router.post("/try", response_model=TryOut)
async def try_alert_policy(request: Request, who: Read, policy: TriedPolicy) -> Any:
    """How often it would have fired over the stored past; nothing is stored."""
    services = services_of(request)
    asked_for = None if policy.project_id == EVERY else policy.project_id
    projects = await the_projects(services, who, asked_for)
    async with services.database.connection() as connection:
        tried = await try_policy(connection, policy.policy(), projects, datetime.now(UTC), policy.past_days)
    count = len(tried.fired)
    return {
        "summary": f"would have fired {count} time{'' if count == 1 else 's'} in {policy.past_days} days",
        "fired": count,
        "past_days": policy.past_days,
        "models": tried.models,
        "models_left_out": tried.left_out,
        "alerts": [
            {
                **one.subject._asdict(),
                "since": one.since,
                "opened_at": one.opened_at,
                "until": one.until,
                "headline": one.headline,
            }
            for one in tried.fired
        ],
        "not_judged": [{**one.subject._asdict(), "reason": one.reason} for one in tried.unknown],
    }


async def _may_set(services: Services, who: Principal, project_id: str) -> None:
    if project_id != EVERY:
        await the_project(services, who, project_id)
    elif who.project_ids is not None:
        raise Problem("missing_scope", "A policy for every project takes a key for every project.")


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row[column] for column in alerts.POLICY_KEY)


def _shown(row: Row) -> Row:
    return row | {"is_default": False}


def _default(policy: Policy) -> Row:
    values = {name: getattr(policy, name) for name in Policy.__slots__}
    return values | {"is_default": True, "updated_at": None, "updated_by": None}
