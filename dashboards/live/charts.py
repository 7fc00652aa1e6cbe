"""How are series drawn? Figures made once; their data, ranges and ticks are patched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import panel as pn
from bokeh.models import (
    AllLabels,
    ColumnDataSource,
    CrosshairTool,
    FixedTicker,
    HoverTool,
    LinearAxis,
    NoOverlap,
    Range1d,
    Span,
)
from bokeh.plotting import figure
from panel.viewable import Viewable

from dashboards.live.markup import Part
from dashboards.live.theme import Scheme
from ml_guard.cli.wording import visible

FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
SMALL_DOT = 4
BREAKER = "\u200b"

Column = Sequence[Any]


def plain(label: str) -> str:
    """A label that is drawn as it is: between its delimiters Bokeh would take text for a formula.

    >>> len(plain("$$x$$")) > len("$$x$$"), plain("CA")
    (True, 'CA')
    """
    for delimiter in ("$$", "\\[", "\\]", "\\(", "\\)"):
        label = label.replace(delimiter, BREAKER.join(delimiter))
    return visible(label)


class Chart:
    """A figure below its title, with its downloads. `columns` are the data's names, in the order of the CSV file."""

    def __init__(
        self,
        name: str,
        title: str,
        columns: Sequence[str],
        scheme: Scheme,
        *,
        height: int = 220,
        note: str = "",
        file: str = "",
    ) -> None:
        self.name, self.title, self.note, self.scheme = name, title, note, scheme
        self.file = file or name
        self.source = ColumnDataSource(
            {column: [] for column in columns}, name=f"{name}-data", tags=list(columns)
        )
        self.x_range, self.y_range = Range1d(0, 1), Range1d(0, 1)
        self.figure = _figure(name, scheme, height, self.x_range, self.y_range)
        self._ticker, self._every, self._apart = FixedTicker(ticks=[]), AllLabels(), NoOverlap(min_distance=8)
        self.figure.xaxis[0].ticker = self._ticker
        self.head = Part()
        self._bounds: list[Span] = []

    @property
    def card(self) -> Viewable:
        """The chart as a part of a page."""
        self.show_head()
        pane = pn.pane.Bokeh(self.figure, sizing_mode="stretch_width", margin=0)
        return pn.Column(
            self.head, pane, sizing_mode="stretch_width", margin=(0, 0, 16, 0), css_classes=["chart"],
            stylesheets=[_CARD],
        )  # fmt: skip

    def show_head(self, **values: Any) -> None:
        """The title, with whatever a template needs to put beside it."""
        self.head.show(
            "chart_head.html",
            **{
                "name": self.name,
                "title": self.title,
                "note": self.note,
                "file": self.file,
                "choices": [],
                "keys": [],
                **values,
            },
        )

    def data(self, **columns: Column) -> None:
        """Patch the data."""
        self.source.data = {name: [_gap(value) for value in columns[name]] for name in self.source.tags}

    def ticks(self, labels: Mapping[float, str], *, tilted: bool = False) -> None:
        """Where the axis below has marks, and what they say."""
        axis = self.figure.xaxis[0]
        self._ticker.ticks = list(labels)
        axis.major_label_policy = self._every if tilted else self._apart
        axis.major_label_overrides = {at: plain(text) for at, text in labels.items()}
        axis.major_label_orientation = 0.6 if tilted else "horizontal"

    def span_x(self, start: float, end: float) -> None:
        self.x_range.start, self.x_range.end = start, end

    def span_y(self, top: float | None, bottom: float = 0.0) -> None:
        """From `bottom` to a little over the highest value."""
        self.y_range.start, self.y_range.end = bottom, bottom + ((top or 0) - bottom or 1.0) * 1.08

    def bounds(self, places: Sequence[float]) -> None:
        """Upright lines, such as where days begin."""
        while len(self._bounds) < len(places):
            span = Span(
                location=0, dimension="height", line_color=self.scheme.quiet, line_dash="dotted", line_width=1
            )
            self.figure.add_layout(span)
            self._bounds.append(span)
        for index, span in enumerate(self._bounds):
            span.visible = index < len(places)
            if index < len(places):
                span.location = places[index]

    def level(self, value: float, color: str) -> Span:
        """A level line."""
        span = Span(location=value, dimension="width", line_color=color, line_dash="dashed", line_width=1)
        self.figure.add_layout(span)
        return span

    def line(self, x: str, y: str, color: str, width: float = 1.6, dash: str = "solid") -> None:
        self.figure.line(
            x, y, source=self.source, line_color=color, line_width=width, line_dash=dash, line_join="round"
        )

    def dots(self, x: str, y: str, color: Any, size: float = 6) -> None:
        edge = self.scheme.panel if size > SMALL_DOT else None
        self.figure.scatter(x, y, source=self.source, fill_color=color, line_color=edge, size=size)

    def hover(self, *rows: tuple[str, str], mode: str = "vline") -> None:
        """What the pointer shows, from the first series drawn."""
        renderer = self.figure.renderers[0]
        tool = HoverTool(
            tooltips=list(rows),
            mode=mode,
            renderers=[renderer],
            line_policy="nearest",
            point_policy="follow_mouse",
        )
        cross = CrosshairTool(dimensions="height", line_color=self.scheme.quiet, line_alpha=0.4)
        self.figure.add_tools(tool, cross)

    def second_axis(self, label: str) -> Range1d:
        """An axis on the right with a range of its own, named `right`."""
        scale = Range1d(0, 1)
        self.figure.extra_y_ranges = {"right": scale}
        axis = LinearAxis(y_range_name="right", axis_label=label)
        _quiet_axis(axis, self.scheme)
        self.figure.add_layout(axis, "right")
        return scale


def _gap(value: Any) -> Any:
    """No number is a gap; sent as null, it would be drawn as zero."""
    return math.nan if value is None else value


def _figure(name: str, scheme: Scheme, height: int, x_range: Range1d, y_range: Range1d) -> figure:
    made = figure(
        name=name, height=height, x_range=x_range, y_range=y_range, tools="", toolbar_location=None,
        sizing_mode="stretch_width", background_fill_color=scheme.panel, border_fill_color=scheme.panel,
        outline_line_color=None, min_border_left=46, min_border_right=14, min_border_top=6, output_backend="canvas",
    )  # fmt: skip
    for axis in made.axis:
        _quiet_axis(axis, scheme)
    made.xgrid.grid_line_color = None
    made.ygrid.grid_line_color = scheme.line
    made.yaxis.axis_line_color = None
    made.yaxis.ticker.desired_num_ticks = 4
    return made


def _quiet_axis(axis: Any, scheme: Scheme) -> None:
    axis.axis_line_color = scheme.line
    axis.major_tick_line_color = scheme.line
    axis.minor_tick_line_color = None
    axis.major_label_text_color = scheme.quiet
    axis.major_label_text_font = FONT
    axis.major_label_text_font_size = "11px"
    axis.axis_label_text_color = scheme.quiet
    axis.axis_label_text_font = FONT
    axis.axis_label_text_font_size = "11px"
    axis.axis_label_text_font_style = "normal"
    axis.axis_label_standoff = 6


_CARD = """
:host { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; box-shadow: var(--shadow);
  padding: 14px 16px 8px; box-sizing: border-box; }
"""
