"""What does Grafana send to the database? A query with its variables and macros filled in, as its data source does it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "dashboards" / "grafana"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "boards").glob("*.json"))
}  # fmt: skip
LEAST_INTERVAL = timedelta(minutes=1)
"""`timeInterval` of the data source: a point's least distance."""
POINTS = 1000

Values = Mapping[str, str | list[str]]
_MACRO = re.compile(r"\$(\w+)\(([^)]*)\)")  # as the data source finds them: no parenthesis inside
_VARIABLE = re.compile(r"\$\{?(?!__)(\w+)")


class UnknownMacroError(Exception):
    """A macro that the data source would refuse."""


@dataclass(frozen=True)
class Range:
    """The range of time that a person has chosen."""

    start: datetime
    end: datetime

    @property
    def interval(self) -> timedelta:
        return max((self.end - self.start) / POINTS, LEAST_INTERVAL)


def filled(sql: str, values: Values, chosen: Range) -> str:
    """The query as the database gets it."""

    def variable(match: re.Match[str]) -> str:
        value = values[match[1]]
        return ",".join(map(_quoted, value)) if isinstance(value, list) else _quoted(value)[1:-1]

    def macro(match: re.Match[str]) -> str:
        start, end = chosen.start.isoformat(), chosen.end.isoformat()
        known = {
            "__timeFilter": f"{match[2]} BETWEEN '{start}' AND '{end}'",
            "__timeFrom": f"'{start}'",
            "__timeTo": f"'{end}'",
        }
        if match[1] not in known:
            raise UnknownMacroError(match[0])
        return known[match[1]]

    sql = _VARIABLE.sub(variable, sql)
    sql = sql.replace("$__interval_ms", str(int(chosen.interval / timedelta(milliseconds=1))))
    return _MACRO.sub(macro, sql)


def _quoted(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that show something; rows are headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def variables(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that a query makes."""
    return [one for one in board["templating"]["list"] if one["type"] == "query"]


def every_query(board: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every SQL text of a board with what it is for."""
    of_panels = [
        (f"panel {panel['title']}", target["rawSql"])
        for panel in panels(board)
        for target in panel["targets"]
    ]
    of_variables = [(f"variable {one['name']}", one["query"]) for one in variables(board)]
    of_annotations = [
        (f"annotation {one['name']}", one["target"]["rawSql"]) for one in board["annotations"]["list"]
    ]
    return [*of_panels, *of_variables, *of_annotations]
