"""What is alerted on, with which values, and how often would that have fired in the past?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs
from panel.viewable import Viewable

from dashboards.live.acting import ActingPage, Fields, Said, text_of
from dashboards.live.address import Place
from dashboards.live.conditions import CONDITIONS, EVERY, PERCENTILES, condition_of
from dashboards.live.markup import Part
from ml_guard.alert_shapes import AlertPolicy, TryOut
from ml_guard.shapes import LiveEvent, Project

PAST_DAYS = 30
_SCOPE = ("project_id", "model_id", "endpoint", "feature")
_VALUES = (
    "threshold", "rise_percent", "days", "minutes", "percentile", "local_time", "open_day", "severity",
    "cooldown_minutes", "channels", "enabled",
)  # fmt: skip
_EVERYWHERE: dict[str, Any] = dict.fromkeys(_SCOPE, EVERY)
_NOT_ON = (
    AlertPolicy(
        name="",
        condition="expected_by",
        severity="critical",
        cooldown_minutes=240,
        local_time="06:00",
        **_EVERYWHERE,
    ),
    AlertPolicy(
        name="",
        condition="cost",
        severity="warning",
        cooldown_minutes=4320,
        days=7,
        rise_percent=50.0,
        **_EVERYWHERE,
    ),
)
"""These have no default that is on, so there is none to begin from."""


@dataclass(frozen=True)
class PolicyData:
    """What the page shows. `chosen` is what the form begins from; `is_new`: nothing is stored under that yet."""

    policies: list[AlertPolicy]
    projects: list[Project]
    chosen: AlertPolicy | None
    is_new: bool


class PoliciesPage(ActingPage):
    """`?page=policies&policy=..&project=..&model=..&endpoint=..&feature=..`, or `&condition=..` for a new one"""

    title = "Alert policies"

    def concerns(self, event: LiveEvent) -> bool:
        return False

    async def read(self) -> PolicyData:
        ask, client = self.source.ask, self.source.client
        policies = await ask("policies", client.alert_policies.list)
        projects = await ask("projects", client.projects.list)
        return PolicyData(policies, projects, *chosen(policies, self.place))

    def lay_out(self) -> list[Viewable]:
        self._head, self._list, self._form, self._answer = (
            Part(),
            Part(act=self.act),
            Part(act=self.act),
            Part(),
        )
        self._tried: TryOut | None = None
        return [self._head, self._form, self._answer, self._list]

    def draw(self, data: PolicyData) -> None:
        self._data = data
        values = {"data": data, "place": self.place, "visitor": self.visitor, "conditions": CONDITIONS}
        self._head.show("policies_head.html", **values, said=self.said)
        self._list.show("policies.html", **values)
        self._form.show("policy_form.html", **values, percentiles=PERCENTILES, past_days=PAST_DAYS)
        self._answer.show("policy_tried.html", tried=self._tried)

    async def done(self, action: str, fields: Fields) -> Said | None:
        policies = self.source.client.alert_policies
        if action.startswith(("on-", "off-")):
            word, _, index = action.partition("-")
            policy = self._data.policies[int(index)]
            made = await policies.set(**{**values_of(policy), "enabled": word == "on"})
            return "good", f"{made.name} is {word} now, by the key “{made.updated_by}”."
        if action == "forget":
            names = {name: text_of(fields, name) or EVERY for name in _SCOPE}
            await policies.delete(text_of(fields, "name"), **names)
            return (
                "good",
                f"{text_of(fields, 'name')} is forgotten there: the wider policy, or the default, holds.",
            )
        values = read_form(fields)
        if action == "try":
            past_days = int(text_of(fields, "past_days") or PAST_DAYS)
            self._tried = await policies.try_out(**{**values, "enabled": None}, past_days=past_days)
            return None
        if action == "save":
            made = await policies.set(**values)
            return "good", f"{made.name} is saved, by the key “{made.updated_by}”."
        return None


def chosen(policies: Sequence[AlertPolicy], place: Place) -> tuple[AlertPolicy | None, bool]:
    """The policy that the address names, and whether it would be new."""
    if place.policy:
        scope = (place.project or EVERY, place.model or EVERY, place.endpoint, place.feature or EVERY)
        for one in policies:
            if (one.name, one.project_id, one.model_id, one.endpoint, one.feature) == (place.policy, *scope):
                return one, False
        return None, False
    if not place.condition:
        return None, False
    defaults = [one for one in policies if one.is_default]
    like = next((one for one in (*defaults, *_NOT_ON) if one.condition == place.condition), None)
    if like is None:
        return None, True
    return structs.replace(like, name="", project_id=place.project or EVERY), True


def values_of(policy: AlertPolicy) -> dict[str, Any]:
    """What `alert_policies.set` takes, to store it as it is."""
    known = {"threshold", *condition_of(policy.condition).values}
    settable = [
        name
        for name in _VALUES
        if name in known or name in ("severity", "cooldown_minutes", "channels", "enabled")
    ]
    return {name: getattr(policy, name) for name in ("name", "condition", *_SCOPE, *settable)}


def read_form(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The policy that the form describes; what is left empty is the condition's default."""
    condition = condition_of(text_of(fields, "condition"))
    values: dict[str, Any] = {
        "condition": condition.name,
        "name": text_of(fields, "name") or None,
        **{name: text_of(fields, name) or EVERY for name in _SCOPE},
        "severity": text_of(fields, "severity") or None,
        "enabled": bool(text_of(fields, "enabled")),
        "channels": [one.strip() for one in text_of(fields, "channels").split(",") if one.strip()] or None,
        "cooldown_minutes": _number(fields, "cooldown_minutes", int),
        "threshold": _number(fields, "threshold", float),
    }
    for name in condition.values:
        if name == "open_day":
            values[name] = bool(text_of(fields, name))
        elif name == "local_time":
            values[name] = text_of(fields, name) or None
        else:
            values[name] = _number(fields, name, float if name in ("percentile", "rise_percent") else int)
    return values


def _number(fields: Mapping[str, Any], name: str, kind: type[int] | type[float]) -> int | float | None:
    text = text_of(fields, name)
    try:
        return kind(text) if text else None
    except ValueError:
        raise ValueError(f"{name.replace('_', ' ')} is a number, not “{text[:20]}”.") from None
