"""Does a report say what moved first, and can no name in it become markup?"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ml_guard.report.charts import Series, chart
from ml_guard.report.facts import Facts, ModelFacts, moved_first
from ml_guard.report.page import page
from ml_guard.shapes import Baseline, DriftDay, LedgerDay, MetricDay, Project
from tests.cli.conftest import FakeApi, Type, api, typed

__all__ = ["api", "typed"]

NASTY = "<script>alert(1)</script>\"'&\u2028</style>"
SHOWN = NASTY.replace("\u2028", "\\u2028")
FIRST, LAST = date(2025, 3, 3), date(2025, 3, 5)
START = datetime(2025, 3, 1, tzinfo=UTC)


def keys(day: date, **more: Any) -> dict[str, Any]:
    start = datetime.combine(day, datetime.min.time(), UTC)
    return {
        "project_id": NASTY, "model_id": NASTY, "endpoint": NASTY, "day": day, "day_start": start,
        "day_end": start + timedelta(days=1), "zone": NASTY, "revision": 1, "status": "final", **more,
    }  # fmt: skip


def drift(day: int, feature: str, verdict: str, psi: float | None = 0.3, **more: Any) -> DriftDay:
    return DriftDay(
        **keys(date(2025, 3, day)), feature=feature, kind="categorical", n=9, missing=1, verdict=verdict, psi=psi, **more
    )  # fmt: skip


def facts(*rows: DriftDay, details: tuple[DriftDay, ...] = ()) -> Facts:
    metrics = [
        MetricDay(**keys(date(2025, 3, day)), requests=10 * day, latency_p95_ms=4.0) for day in (1, 3, 5)
    ]
    baseline = Baseline(
        project_id=NASTY, model_id=NASTY, endpoint=NASTY, version=1, days=[FIRST], events=5, captured_by=NASTY, note=NASTY
    )  # fmt: skip
    ledger = [
        LedgerDay(
            project_id=NASTY, day=FIRST, decoded=9, merged=7, dead=1, duplicate=0, deleted=0, difference=1
        )
    ]
    moved = len({row.feature for row in rows if row.verdict == "drift"})
    model = ModelFacts(NASTY, NASTY, metrics, rows, details, moved, [], [baseline])
    project = Project(project_id=NASTY, zone=NASTY, name=NASTY)
    return Facts(project, FIRST, LAST, date(2025, 3, 1), START, [model], ledger)


class Tags(HTMLParser):
    """The elements of a page, what stands in attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_names_stay_text_and_nothing_runs_or_is_fetched() -> None:
    bins = [
        {"bin": "label", "label": NASTY, "baseline_share": 0.5, "share": 0.2, "points": -30.0},
        {"bin": "unseen", "label": None, "baseline_share": 0.0, "share": 0.3, "points": 30.0},
    ]
    row = drift(3, NASTY, "drift", bins=bins, method=NASTY, baseline_version=1)
    html = page(facts(row, details=(row,)))
    read = Tags()
    read.feed(html)
    assert not {"script", "iframe", "object", "embed", "form", "img", "base", "a"} & set(read.tags)
    assert read.tags.count("style") == 1
    assert sum(SHOWN in text for text in read.texts) >= 8
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert [value for name, value in read.attributes if name in ("src", "href")] == ["data:,"]
    assert "http://" not in html.replace("http-equiv", "")
    assert "https://" not in html
    assert "@import" not in html
    assert "url(" not in html
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(drawing)


def test_what_moved_first_is_where_the_move_began() -> None:
    rows = [
        drift(1, "old", "drift"), drift(2, "old", "drift"), drift(3, "old", "drift"),
        drift(1, "came_back", "drift"), drift(2, "came_back", "ok"), drift(4, "came_back", "warning"),
        drift(3, "small", "drift", 0.3), drift(3, "large", "drift", 0.9), drift(3, "gone", "missing_feature", None),
        drift(2, "over", "drift"), drift(3, "over", "ok"),
        drift(5, "calm", "insufficient_data", None),
    ]  # fmt: skip
    model = facts(*rows).models[0]
    found = [(row.feature, row.day.day) for row in moved_first(model, facts(*rows))]
    assert found == [("old", 1), ("large", 3), ("small", 3), ("gone", 3), ("came_back", 4)]


def test_a_gap_breaks_the_line_and_an_axis_ends_on_a_round_number() -> None:
    drawn = chart("t", ["a", "b", "c", "d", "e"], [Series("s", [1.0, 7.3, None, 2.0, 1.0])])
    assert drawn.count("<polyline") == 2
    assert ">8<" in drawn
    assert "No numbers." in chart("t", ["a"], [Series("s", [None])])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Which days?"),
        (("--from", "2025-01-02"), "Which days?"),
        (("--day", "2025-01-02", "--to", "2025-01-03"), "--day is one day"),
        (("--from", "2025-01-03", "--to", "2025-01-02"), "is after --to"),
        (("--from", "2025-01-01", "--to", "2025-09-02"), "at most 92 days"),
        (("--day", "soon"), "is not a day"),
    ],
)
def test_days_that_make_no_sense_are_refused(
    api: FakeApi, typed: Type, arguments: tuple[str, ...], said: str
) -> None:
    done = typed("report", "--project", "shop", *arguments)
    assert done.code == 2
    assert said in done.err


def test_a_project_without_events_has_a_report_that_says_so(
    api: FakeApi, typed: Type, tmp_path: Path
) -> None:
    api.give("GET", "/projects/shop", {"project_id": "shop", "zone": "UTC"})
    for path in ("/metrics/daily", "/drift/daily", "/ledger"):
        api.give_list(path)
    file = tmp_path / "report.html"
    typed("report", "--project", "shop", "--day", "2025-01-02", "--output", str(file))
    assert "No model had an event on these days." in file.read_text()
    done = typed("report", "--project", "shop", "--day", "2025-01-02", "-o", str(tmp_path / "no" / "x.html"))
    assert (done.code, "cannot be written" in done.err) == (2, True)
