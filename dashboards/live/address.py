"""What does a page's address say? The state of a view is its query string, so that it can be sent to a colleague."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

PAGES = ("overview", "model", "feature", "baselines", "alerts", "alert", "policies", "costs", "health")
WINDOWS = {"1h": 3600, "6h": 6 * 3600, "24h": 86_400, "3d": 3 * 86_400}
"""How far back the chart by minute looks, in seconds."""
DEFAULT_WINDOW = "24h"
STATES = ("open", "acknowledged", "resolved")
DEFAULT_STATE = "open"
_NEEDED = {"model": ("project", "model"), "feature": ("project", "model", "feature"), "alert": ("alert",)}


@dataclass(frozen=True)
class Place:
    """A view: the page and what it shows. `notice` says what in a broken link could not be followed."""

    page: str = "overview"
    project: str | None = None
    model: str | None = None
    endpoint: str = "predict"
    feature: str | None = None
    day: date | None = None
    window: str = DEFAULT_WINDOW
    version: int | None = None
    against: int | None = None
    state: str = DEFAULT_STATE
    alert: str | None = None
    policy: str | None = None
    condition: str | None = None
    notice: str = ""

    def link(self, page: str | None = None, **changes: Any) -> str:
        """The address of this place with something else about it, relative to any page.

        >>> Place("model", "shop", "churn").link(window="1h")
        '?page=model&project=shop&model=churn&endpoint=predict&window=1h'
        """
        there = replace(self, page=page or self.page, notice="", **changes)
        query: dict[str, Any] = {"page": there.page}
        for name in _MEANS[there.page]:
            value = getattr(there, name)
            if value is not None and _DEFAULTS.get(name) != value:
                query[name] = value
        return f"?{urlencode(query)}"

    @property
    def model_key(self) -> tuple[str | None, str | None, str]:
        return (self.project, self.model, self.endpoint)


_MODEL = ("project", "model", "endpoint")
_MEANS: dict[str, tuple[str, ...]] = {
    "overview": (),
    "model": (*_MODEL, "window"),
    "feature": (*_MODEL, "feature", "day"),
    "baselines": (*_MODEL, "version", "against"),
    "alerts": ("state", "project", "model"),
    "alert": ("alert",),
    "policies": ("condition", "policy", *_MODEL, "feature"),
    "costs": ("project",),
    "health": (),
}
_DEFAULTS = {"window": DEFAULT_WINDOW, "state": DEFAULT_STATE}


def place_of(arguments: Mapping[str, list[bytes]]) -> Place:
    """The place that a query string names; what cannot be read is left out, and said.

    >>> place_of({"page": [b"feature"], "project": [b"shop"]}).notice
    'This link is incomplete: it names no model and no feature. This is the overview.'
    >>> place_of({"page": [b"model"], "project": [b"p"], "model": [b"m"], "window": [b"9y"]}).window
    '24h'
    """
    given = {name: values[0].decode("utf-8", "replace") for name, values in arguments.items() if values}
    page = given.get("page", "overview")
    if page not in PAGES:
        return Place(notice=f"There is no page “{page[:40]}”. This is the overview.")
    lacking = [name for name in _NEEDED.get(page, ()) if not given.get(name)]
    if lacking:
        names = " and no ".join(lacking)
        return Place(notice=f"This link is incomplete: it names no {names}. This is the overview.")
    known: dict[str, Any] = {"page": page}
    unread = []
    for field in fields(Place):
        if field.name in given and field.name in _MEANS[page]:
            value = _value(field.name, given[field.name])
            if value is None:
                unread.append(f"{field.name} “{given[field.name][:40]}”")
            else:
                known[field.name] = value
    notice = f"This link's {' and '.join(unread)} cannot be read and was left out." if unread else ""
    return Place(**known, notice=notice)


def _value(name: str, text: str) -> Any:
    try:
        if name == "day":
            return date.fromisoformat(text)
        if name in ("version", "against"):
            return int(text)
    except ValueError:
        return None
    if name == "window":
        return text if text in WINDOWS else None
    if name == "state":
        return text if text in STATES else None
    return text or None
