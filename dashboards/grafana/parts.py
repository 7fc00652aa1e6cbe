"""What is a board made of? Panels, variables, links and annotations as Grafana's JSON model wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dashboards.grafana.links import link_out

Json = dict[str, Any]

PLUGIN = "grafana-postgresql-datasource"
DATASOURCE = {"type": PLUGIN, "uid": "${datasource}"}
SCHEMA_VERSION = 41
COLUMNS = 24

WARNING, DRIFT = 0.1, 0.25
"""PSI: the product's levels, which the dashboard may not import; a test compares them."""

GREEN, ORANGE, RED, BLUE, QUIET = "green", "orange", "red", "blue", "text"
COLOURS = {"good": GREEN, "warn": ORANGE, "bad": RED, "quiet": QUIET}


@dataclass(frozen=True)
class Panel:
    """A panel; what kinds of panel have in common. `column_look` are a column's properties by its name."""

    kind: str
    title: str
    description: str
    sql: str
    width: int
    unit: str = "short"
    look: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def format(self) -> str:
        """Whether the answer is series over time."""
        return "time_series" if self.kind in ("timeseries", "status-history") else "table"

    def json(self, number: int, place: Json) -> Json:
        """Grafana's model of it."""
        defaults = {"unit": self.unit, "mappings": [], "thresholds": levels(), **self.look}
        target = {"refId": "A", "datasource": DATASOURCE, "editorMode": "code", "rawQuery": True}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": place,
            "fieldConfig": {"defaults": defaults, "overrides": [_override(*one) for one in self.columns.items()]},
            "options": dict(self.options),
            "targets": [{**target, "format": self.format, "rawSql": self.sql}],
        }  # fmt: skip


def _override(name: str, properties: Mapping[str, Any]) -> Json:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


@dataclass(frozen=True)
class Row:
    """Panels side by side, under a heading if there is one."""

    height: int
    panels: Sequence[Panel]
    heading: str = ""


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a board, made by a query."""

    name: str
    label: str
    sql: str
    many: bool = False
    hidden: bool = False

    def json(self) -> Json:
        """Grafana's model of it; 2 is: asked for again whenever the range of time changes."""
        every = {"text": ["All"], "value": ["$__all"]} if self.many else {}
        return {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": DATASOURCE,
            "query": self.sql,
            "definition": self.sql,
            "refresh": 2,
            "sort": 0,
            "regex": "",
            "multi": self.many,
            "includeAll": self.many,
            "hide": 2 if self.hidden else 0,
            "current": every,
            "options": [],
        }


@dataclass(frozen=True)
class Annotation:
    """Instants and spans that are drawn into charts."""

    name: str
    colour: str
    sql: str

    def json(self) -> Json:
        """Grafana's model of it."""
        target = {"refId": "Anno", "editorMode": "code", "rawQuery": True, "format": "table"}
        return {
            "name": self.name,
            "datasource": DATASOURCE,
            "enable": True,
            "hide": False,
            "iconColor": self.colour,
            "target": {**target, "rawSql": self.sql},
        }


@dataclass(frozen=True)
class Board:
    """A board. `page` is where ML Guard's own dashboard shows the same."""

    name: str
    title: str
    description: str
    page: str
    since: str
    refresh: str
    variables: Sequence[Variable]
    annotations: Sequence[Annotation]
    rows: Sequence[Row]

    def json(self) -> Json:
        """The whole file."""
        return {
            "uid": f"ml-guard-{self.name}",
            "title": self.title,
            "description": self.description,
            "tags": ["ml-guard"],
            "editable": False,
            "graphTooltip": 1,
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "timezone": "browser",
            "time": {"from": self.since, "to": "now"},
            "refresh": self.refresh,
            "templating": {"list": [_SOURCE, *(one.json() for one in (PAGE, *self.variables))]},
            "annotations": {"list": [one.json() for one in self.annotations]},
            "links": [_OTHER_BOARDS, link_out("Open in ML Guard", self.page)],
            "panels": laid_out(self.rows),
        }


_SOURCE: Json = {
    "type": "datasource",
    "name": "datasource",
    "label": "Data source",
    "query": PLUGIN,
    "regex": "",
    "hide": 0,
    "multi": False,
    "includeAll": False,
    "refresh": 1,
    "current": {},
    "options": [],
}

PAGE = Variable(
    "panel",
    "ML Guard",
    "select url from ml_guard.pages where page = 'dashboard'",
    hidden=True,
)
"""Where ML Guard's dashboard is: the database says so, hence a board that was imported elsewhere knows it too."""

_OTHER_BOARDS: Json = {
    "type": "dashboards",
    "title": "Boards",
    "tags": ["ml-guard"],
    "asDropdown": True,
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}


def laid_out(rows: Sequence[Row]) -> list[Json]:
    """The panels in their places, rows below one another."""
    panels: list[Json] = []
    top = 0
    for row in rows:
        if row.heading:
            place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
            panels.append({"id": len(panels) + 1, "type": "row", "title": row.heading, "gridPos": place,
                           "collapsed": False, "panels": []})  # fmt: skip
            top += 1
        left = 0
        for panel in row.panels:
            place = {"h": row.height, "w": panel.width, "x": left, "y": top}
            panels.append(panel.json(len(panels) + 1, place))
            left += panel.width
        top += row.height
    return panels


def levels(**above: float) -> Json:
    """From which values on a colour holds: green, then each colour from its value on."""
    steps = [
        {"color": GREEN, "value": None},
        *({"color": colour, "value": value} for colour, value in above.items()),
    ]
    return {"mode": "absolute", "steps": steps}


PSI_LEVELS = levels(orange=WARNING, red=DRIFT)
