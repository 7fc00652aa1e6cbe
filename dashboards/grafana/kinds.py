"""Which kinds of panel are there? A number, a chart over time, a table, and what makes them look alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.grafana.parts import COLOURS, Json, Panel
from dashboards.live.words import SEVERITY, said, sign, tone

OF_A_DAY = tuple(verdict for verdict in SEVERITY if verdict != "not_counted")
"""The verdicts that a day may have, the worst first; the one left out is of the same hours only."""

VERDICTS: list[Json] = [
    {
        "type": "value",
        "options": {
            verdict: {"text": f"{sign(verdict)} {said(verdict)}", "color": COLOURS[tone(verdict)], "index": index}
            for index, verdict in enumerate(OF_A_DAY)
        },
    }
]  # fmt: skip
"""A verdict is a sign as well as a colour, the same as in ML Guard's dashboard."""

CELL_COLOUR = {"type": "color-text"}


def number(title: str, description: str, sql: str, width: int, unit: str = "short", **look: Any) -> Panel:
    """One number, coloured by its level."""
    options = {
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "colorMode": "value" if "thresholds" in look else "none",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
    }
    return Panel("stat", title, description, sql, width, unit, look, options)


def chart(
    title: str,
    description: str,
    sql: str,
    width: int,
    unit: str = "short",
    *,
    bars: bool = False,
    colours: Mapping[str, str] | None = None,
    dashed: Mapping[str, str] | None = None,
    **look: Any,
) -> Panel:
    """Series over time; `colours` are series' own; `dashed` are lines to compare with. Thresholds are lines too."""
    custom: Json = {
        "drawStyle": "bars" if bars else "line",
        "fillOpacity": 60 if bars else 0,
        "lineWidth": 1 if bars else 2,
        "showPoints": "never" if bars else "auto",
        "spanNulls": True,  # days of other zones begin in between, and are no gap
        "stacking": {"mode": "normal" if bars else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if "thresholds" in look else "off"},
    }
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    columns: dict[str, Json] = {
        name: {"color": {"mode": "fixed", "fixedColor": colour}}
        for name, colour in {**(colours or {}), **(dashed or {})}.items()
    }
    for name in dashed or {}:
        columns[name]["custom.lineStyle"] = {"fill": "dash", "dash": [10, 10]}
    return Panel(
        "timeseries", title, description, sql, width, unit, {"custom": custom, **look}, options, columns
    )


def table(
    title: str, description: str, sql: str, width: int, columns: Mapping[str, Mapping[str, Any]]
) -> Panel:
    """Rows; `columns` are the properties of those that need some."""
    look = {"custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}}
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    return Panel("table", title, description, sql, width, "none", look, options, columns)
