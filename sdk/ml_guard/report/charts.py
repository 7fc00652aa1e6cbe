"""How are series, heat maps and bins drawn as SVG?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_guard.cli.wording import bin_name, number
from ml_guard.report.markup import Markup, join, tag

WIDTH, HEIGHT = 560, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 26
LABELS = 8
"""Marks of the axis below, at most."""
CELL, LINE, NAMES = 46, 21, 150
CELL_HIGH = LINE - 2
SIGNS = {
    "ok": "", "warning": "△", "drift": "▲", "type_changed": "≠", "missing_feature": "∅", "new_feature": "+",
    "insufficient_data": "…", "missing_baseline": "–", "ignored": "×",
}  # fmt: skip
TONES = {
    "warning": "warn",
    "new_feature": "warn",
    "drift": "bad",
    "type_changed": "bad",
    "missing_feature": "bad",
}
SHOWN = 13
"""Characters of a bin's name that are drawn; the whole is in its title."""


@dataclass(frozen=True)
class Series:
    """One line or one row of bars; None is a gap."""

    name: str
    values: Sequence[float | None]
    tone: str = "one"


def _scale(top: float) -> float:
    """The end of an axis: the next round number."""
    if top <= 0:
        return 1.0
    size: float = 10 ** len(str(int(top))) / 10 if top >= 1 else 1.0
    while top < size / 10:
        size /= 10
    return next(
        step * size
        for step in (0.1, 0.2, 0.4, 0.5, 0.8, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 20)
        if top <= step * size
    )


def chart(
    title: str, labels: Sequence[str], series: Sequence[Series], *, bars: bool = False, unit: str = "",
    marked: Sequence[bool] = (),
) -> Markup:  # fmt: skip
    """Lines or bars over equal steps; steps that are `marked` have a shade behind them."""
    known = [value for one in series for value in one.values if value is not None]
    if not known:
        return tag("figure", tag("figcaption", title), tag("p", "No numbers.", class_="quiet"))
    top = _scale(max(known))
    count = len(labels)
    step = (WIDTH - LEFT - RIGHT) / max(count, 1)
    high = HEIGHT - TOP - BOTTOM

    def x(index: int) -> float:
        return LEFT + step * (index + 0.5)

    def y(value: float) -> float:
        return TOP + high * (1 - max(0.0, min(1.0, value / top)))

    parts: list[Markup] = []
    if any(marked) and not all(marked):
        parts += [
            tag("rect", x=f"{LEFT + step * i:.1f}", y=TOP, width=f"{step:.1f}", height=high, class_="mark")
            for i, is_marked in enumerate(marked)
            if is_marked
        ]
    for share in (0, 0.5, 1):
        at = f"{y(top * share):.1f}"
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", number(top * share, 3), x=LEFT - 6, y=float(at) + 3.5, class_="end"))
    every = -(-count // LABELS)
    for index in range(count - 1, -1, -every):
        parts.append(tag("text", labels[index], x=f"{x(index):.1f}", y=HEIGHT - 8, class_="mid"))
    for one in series:
        parts += _bars(one, labels, step, x, y) if bars else _line(one, labels, x, y)
    drawing = tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title)
    keys = [tag("span", one.name, class_=f"key {one.tone}") for one in series] if len(series) > 1 else []
    heading = join(title, tag("span", f" {unit}", class_="quiet") if unit else None, *keys)
    return tag("figure", tag("figcaption", heading), drawing)


def _bars(one: Series, labels: Sequence[str], step: float, x: Any, y: Any) -> list[Markup]:
    wide = max(1.0, step * 0.72)
    return [
        tag(
            "rect", tag("title", f"{labels[i]}: {number(value)}"), x=f"{x(i) - wide / 2:.1f}", y=f"{y(value):.1f}",
            width=f"{wide:.1f}", height=f"{max(0.5, y(0) - y(value)):.1f}", class_=f"bar {one.tone}", rx=1,
        )
        for i, value in enumerate(one.values)
        if value is not None
    ]  # fmt: skip


def _line(one: Series, labels: Sequence[str], x: Any, y: Any) -> list[Markup]:
    runs: list[list[int]] = [[]]
    for index, value in enumerate(one.values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(index)
    parts = [
        tag(
            "polyline",
            points=" ".join(f"{x(i):.1f},{y(one.values[i]):.1f}" for i in run),
            class_=f"line {one.tone}",
        )
        for run in runs
        if len(run) > 1
    ]
    dots = [
        tag("circle", tag("title", f"{labels[i]}: {one.name} {number(value)}"), cx=f"{x(i):.1f}", cy=f"{y(value):.1f}",
            r=2.4, class_=f"dot {one.tone}")
        for i, value in enumerate(one.values)
        if value is not None
    ]  # fmt: skip
    return parts + dots


def heat_map(
    days: Sequence[str], rows: Mapping[str, Sequence[tuple[str, float | None] | None]], marked: Sequence[bool]
) -> Markup:
    """Features by days: verdict and PSI of each, by colour, sign and number."""
    width = NAMES + CELL * len(days)
    height = LINE * len(rows) + 22
    parts = []
    every = -(-len(days) // 20)
    for index in range(len(days) - 1, -1, -every):
        at = NAMES + CELL * (index + 0.5)
        parts.append(
            tag("text", days[index], x=f"{at:.1f}", y=11, class_="mid strong" if marked[index] else "mid")
        )
    for line, (name, cells) in enumerate(rows.items()):
        y = 18 + line * LINE
        shown = name if len(name) <= 22 else f"{name[:21]}…"
        parts.append(
            tag("text", tag("title", name), shown, x=NAMES - 8, y=f"{y + 13.5:.1f}", class_="end name")
        )
        for index, cell in enumerate(cells):
            if cell is None:
                continue
            verdict, psi = cell
            sign, value = SIGNS.get(verdict, "?"), "" if psi is None else f"{psi:.2f}".removeprefix("0")
            left, top = f"{NAMES + CELL * index + 1:.1f}", f"{y + 1:.1f}"
            tone = TONES.get(verdict, "good" if verdict == "ok" else "none")
            title = tag(
                "title", f"{name}, {days[index]}: {verdict}{'' if psi is None else f', PSI {number(psi, 3)}'}"
            )
            parts.append(
                tag(
                    "rect",
                    title,
                    x=left,
                    y=top,
                    width=CELL - 2,
                    height=CELL_HIGH,
                    rx=2,
                    class_=f"cell {tone}",
                )
            )
            at = NAMES + CELL * (index + 0.5)
            parts.append(
                tag(
                    "text",
                    f"{sign}{value}",
                    x=f"{at:.1f}",
                    y=f"{y + 13.5:.1f}",
                    class_=f"mid cellname {tone}",
                )
            )
    size = f"0 0 {width} {height}"
    drawing = tag("svg", *parts, viewBox=size, width=width, role="img", aria_label="PSI by feature and day")
    return tag("div", drawing, class_="wide")


def bins_chart(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Each bin's share in the baseline and on the day, side by side, with how far it moved."""
    top = (
        max((one[which] or 0.0 for one in bins for which in ("baseline_share", "share")), default=0.0) or 1.0
    )
    high, left, wide = 25, 104, 300
    parts = []
    for line, one in enumerate(bins):
        y, name = line * high, bin_name(one)
        shown = name if len(name) <= SHOWN else f"{name[: SHOWN - 1]}…"
        parts.append(tag("text", tag("title", name), shown, x=left - 8, y=y + 15, class_="end name"))
        for which, tone, at in (("baseline_share", "base", 3), ("share", "one", 11)):
            share = one[which] or 0.0
            title, long = tag("title", f"{name}: {100 * share:.2f} %"), f"{max(0.5, wide * share / top):.1f}"
            parts.append(
                tag("rect", title, x=left, y=y + at, height=7, width=long, class_=f"bar {tone}", rx=1)
            )
        points = one["points"]
        tone = "quiet" if abs(points) < 0.5 else "strong"
        said = f"{points:+.1f}".replace("-", "−")
        parts.append(tag("text", said, x=left + wide + 52, y=y + 15, class_=f"end {tone}"))
    size = f"0 0 {left + wide + 60} {high * len(bins) + 4}"
    return tag("svg", *parts, viewBox=size, role="img", aria_label="shares of bins")
