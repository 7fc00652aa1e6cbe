"""How do the facts become one page: light, printable, without a script and without anything from elsewhere?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ml_guard.cli import wording as w
from ml_guard.report.charts import Series, bins_chart, chart, heat_map
from ml_guard.report.facts import DETAILS, Facts, ModelFacts, moved_first
from ml_guard.report.markup import Markup, join, tag, text
from ml_guard.shapes import DriftDay

CSS = Markup((Path(__file__).parent / "report.css").read_text(encoding="utf-8"))
HEAT_ROWS = 40
"""Features of the heat map, those that moved first; the rest is counted."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Nothing is loaded from anywhere and nothing runs, whatever a name in it says."""
_BUILT_IN = {"@latency_ms": "latency", "@y_pred": "prediction", "@y_proba": "probability"}


def page(facts: Facts) -> str:
    """The whole file."""
    title = f"{facts.project.project_id}, {_range(facts)}"
    body = tag(
        "main",
        _head(facts),
        *(_model(facts, model) for model in facts.models),
        _ledger(facts),
        _explained(),
    )
    head = join(
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        Markup('<link rel="icon" href="data:,">'),
        tag("title", f"ML Guard: {title}"),
        tag("style", CSS),
    )
    return f"<!doctype html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"


def _range(facts: Facts) -> str:
    return f"{facts.first}" if facts.first == facts.last else f"{facts.first} to {facts.last}"


def _head(facts: Facts) -> Markup:
    project = facts.project
    models = facts.models
    trouble = [model for model in models if model.moved]
    if not models:
        summary = "No model had an event on these days."
    elif not trouble:
        summary = f"Nothing moved on {'this day' if facts.first == facts.last else 'these days'}: {_models(len(models))}."
    else:
        features = sum(model.moved for model in trouble)
        what = "1 feature" if features == 1 else f"{features} features"
        summary = f"{what} moved, on {len(trouble)} of {_models(len(models))}."
    return tag(
        "header",
        tag("p", "ML Guard report", class_="kicker"),
        tag("h1", join(project.name or project.project_id, tag("span", f" {_range(facts)}", class_="quiet"))),
        tag("p", summary, class_="summary bad" if trouble else "summary"),
        tag("p", f"Days of {project.zone}. Made {w.instant(facts.made_at)}.", class_="quiet"),
    )


def _models(count: int) -> str:
    return f"{count} {'model' if count == 1 else 'models'}"


def _model(facts: Facts, model: ModelFacts) -> Markup:
    return tag(
        "section",
        tag("h2", join(model.model_id, tag("span", f" {model.endpoint}", class_="quiet"))),
        _tiles(facts, model),
        _first(facts, model),
        tag("div", *_charts(facts, model), class_="charts"),
        _heat(facts, model),
        *(_detail(row) for row in model.details),
        _more(model),
        _baselines(model),
    )


def _tiles(facts: Facts, model: ModelFacts) -> Markup:
    reported = [row for row in model.metrics if facts.is_reported(row.day)]
    if not reported:
        return tag("p", "No events on these days; the charts show those before.", class_="quiet")
    last = reported[-1]
    state = (
        "provisional: the day is open" if last.status == "provisional" else f"final, revision {last.revision}"
    )
    if not last.complete:
        state += ", incomplete"
    tiles: list[tuple[str, str, str]] = [
        ("requests", w.count(sum(row.requests for row in reported)), "in all" if len(reported) > 1 else ""),
        ("latency p50", w.number(last.latency_p50_ms, 3), "ms"),
        ("latency p95", w.number(last.latency_p95_ms, 3), "ms"),
        ("latency p99", w.number(last.latency_p99_ms, 3), "ms"),
        ("prediction", w.number(last.prediction_mean, 3), "mean"),
        ("in drift", f"{last.features_drift} / {last.features_scored}", "features"),
    ]
    shown = [
        tag(
            "div",
            tag("dt", name),
            tag("dd", value, tag("small", f" {unit}") if unit and value != w.ABSENT else None),
        )
        for name, value, unit in tiles
    ]
    about = f"Of {last.day}, {state}." if len(reported) > 1 else f"{state[0].upper()}{state[1:]}."
    return join(tag("dl", *shown, class_="tiles"), tag("p", about, class_="quiet"))


def _first(facts: Facts, model: ModelFacts) -> Markup:
    rows = moved_first(model, facts)
    heading = tag("h3", "What moved first")
    if not rows:
        return join(heading, tag("p", "Nothing moved.", class_="good"))
    said = {(row.feature, row.kind): w.what_moved(row) for row in model.details}
    body = [
        (
            tag("td", row.day, class_="nowrap"),
            tag("td", tag("b", _name(row.feature))),
            tag("td", _verdict(row)),
            tag("td", w.fixed(row.psi), class_="num"),
            tag("td", said.get((row.feature, row.kind)) or ("" if row.psi else w.what_moved(row))),
        )
        for row in rows
    ]
    return join(heading, _table(("since", "feature", "", "PSI", "what moved"), body, numbers=(3,)))


def _charts(facts: Facts, model: ModelFacts) -> Iterable[Markup]:
    days = _days(facts)
    by_day = {row.day: row for row in model.metrics}
    labels = [w.short_day(day) for day in days]
    marked = [facts.is_reported(day) for day in days]
    if len(model.hours) > 1:
        yield from _hours(facts, model)

    def column(name: str) -> list[float | None]:
        return [getattr(by_day[day], name) if day in by_day else None for day in days]

    yield chart("Requests by day", labels, [Series("requests", column("requests"))], bars=True, marked=marked)
    latency = [
        Series("p50", column("latency_p50_ms"), "one"),
        Series("p95", column("latency_p95_ms"), "two"),
        Series("p99", column("latency_p99_ms"), "three"),
    ]
    yield chart("Latency by day", labels, latency, unit="ms", marked=marked)
    predictions = [Series("mean prediction", column("prediction_mean"), "one")]
    if any(value is not None for value in column("proba_mean")):
        predictions.append(Series("mean probability", column("proba_mean"), "two"))
    if any(value is not None for one in predictions for value in one.values):
        yield chart("Prediction by day", labels, predictions, marked=marked)


def _hours(facts: Facts, model: ModelFacts) -> Iterable[Markup]:
    start = model.hours[0].start
    labels = [f"{round((row.start - start).total_seconds() / 3600)} h" for row in model.hours]
    yield chart(
        f"Requests by hour of {facts.last}",
        labels,
        [Series("requests", [row.requests for row in model.hours])],
        bars=True,
    )
    latency = [
        Series(f"p{share[2:].ljust(2, '0')}", [row.percentiles.get(share) for row in model.hours], tone)
        for share, tone in (("0.5", "one"), ("0.95", "two"), ("0.99", "three"))
    ]
    yield chart(f"Latency by hour of {facts.last}", labels, latency, unit="ms")


def _heat(facts: Facts, model: ModelFacts) -> Markup | None:
    days = _days(facts)
    place = {day: index for index, day in enumerate(days)}
    rows: dict[str, list[tuple[str, float | None] | None]] = {}
    for row in model.drift:
        name = _name(row.feature)
        cells = rows.setdefault(name, [None] * len(days))
        before = cells[place[row.day]]
        if before is None or (before[1] or 0.0) < (row.psi or 0.0):
            cells[place[row.day]] = (row.verdict, row.psi)
    if not rows:
        return None
    ordered = sorted(
        rows.items(), key=lambda item: -max((cell[1] or 0.0 for cell in item[1] if cell), default=0.0)
    )
    shown = dict(ordered[:HEAT_ROWS])
    rest = len(ordered) - len(shown)
    note = tag("p", f"and {rest} features more, with a smaller PSI", class_="quiet") if rest else None
    legend = tag(
        "p", tag("span", "▲ drift", class_="key bad"), tag("span", "△ warning", class_="key warn"),
        tag("span", "no drift", class_="key good"), tag("span", "… too few events, – no baseline", class_="key none"),
        class_="legend",
    )  # fmt: skip
    labels = [w.short_day(day) for day in days]
    drawing = heat_map(labels, shown, [facts.is_reported(day) for day in days])
    return tag("div", tag("h3", "PSI by feature and day"), legend, drawing, note, class_="keep")


def _detail(row: DriftDay) -> Markup:
    numbers: Sequence[tuple[str, str]] = (
        ("PSI", w.fixed(row.psi)),
        ("expected without drift", w.fixed(row.psi_expected)),
        ("q", w.chance(row.q_value)),
        ("p", w.chance(row.p_value)),
        ("Jensen-Shannon", w.fixed(row.js_distance)),
        ("events with a value", w.count(row.n)),
        ("missing", w.share(row.missing_rate)),
        ("counted by", row.method or w.ABSENT),
        ("rank error", "exact" if row.rank_error == 0 else w.share(row.rank_error)),
        ("baseline", f"version {row.baseline_version}" if row.baseline_version is not None else w.ABSENT),
    )
    facts = tag("dl", *(join(tag("dt", name), tag("dd", value)) for name, value in numbers), class_="facts")
    keys = tag(
        "p",
        tag("span", "baseline", class_="key base"),
        tag("span", str(row.day), class_="key one"),
        tag("span", "points", class_="quiet right"),
        class_="legend",
    )
    drawing = (
        join(keys, bins_chart(row.bins)) if row.bins else tag("p", "No bins to compare.", class_="quiet")
    )
    state = "provisional" if row.status == "provisional" else f"final, revision {row.revision}"
    return tag(
        "article",
        tag(
            "h3",
            join(
                _name(row.feature),
                tag("span", f" {row.kind}, {row.day}, {state} ", class_="quiet"),
                _verdict(row),
            ),
        ),
        tag("p", w.what_moved(row), class_="moved"),
        tag("div", tag("div", drawing), facts, class_="pair"),
        class_="keep",
    )


def _more(model: ModelFacts) -> Markup | None:
    rest = model.moved - len(model.details)
    return (
        tag("p", f"{rest} more features moved; the {DETAILS} worst are shown.", class_="quiet")
        if rest > 0
        else None
    )


def _baselines(model: ModelFacts) -> Markup:
    heading = tag("h3", "Baseline used")
    if not model.baselines:
        return join(heading, tag("p", "None: these days were compared with nothing.", class_="quiet"))
    body = [
        (
            tag("td", one.version, class_="num"),
            tag("td", f"{one.days[0]} to {one.days[-1]}" if one.days else w.ABSENT),
            tag("td", len(one.days), class_="num"),
            tag("td", w.count(one.events), class_="num"),
            tag("td", w.instant(one.captured_at)),
            tag("td", one.captured_by or w.ABSENT),
            tag("td", one.note or ""),
        )
        for one in model.baselines
    ]
    return join(
        heading,
        _table(("version", "days", "how many", "events", "captured", "by", "note"), body, numbers=(0, 2, 3)),
    )


def _ledger(facts: Facts) -> Markup:
    heading = tag("h2", "Is everything accounted for?")
    if not facts.ledger:
        return tag("section", heading, tag("p", "No event of these days was decoded.", class_="quiet"))
    counts = ("decoded", "merged", "dead", "duplicate", "deleted")
    body = [
        (
            tag("td", row.day or w.ABSENT),
            *(tag("td", w.count(getattr(row, name)), class_="num") for name in counts),
            tag("td", w.count(row.difference), class_="num bad" if row.difference else "num"),
        )
        for row in sorted(facts.ledger, key=lambda row: str(row.day))
    ]
    off = sum(abs(row.difference) for row in facts.ledger)
    said = (
        tag("p", f"{w.count(off)} events are not accounted for.", class_="bad")
        if off
        else tag("p", "Every event that was decoded is merged, dead, a duplicate or deleted.", class_="good")
    )
    head = ("day", *counts, "difference")
    return tag("section", heading, said, _table(head, body, numbers=range(1, 7)))


def _explained() -> Markup:
    return tag(
        "footer",
        "PSI is the population stability index of a day against the baseline. It counts as a warning from 0.1 and as drift "
        "from 0.25 (or what is set), and only where it is significant: q is the test's p-value, corrected for the number of "
        "features. “Expected without drift” is the PSI that chance alone gives with so many events. A provisional day is "
        "still open; a revision above 1 was restated by late events. The shaded days are those of the report.",
    )


def _days(facts: Facts) -> list[date]:
    return [facts.since + timedelta(days=n) for n in range((facts.last - facts.since).days + 1)]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Iterable[int]) -> Markup:
    right = set(numbers)
    cells = [tag("th", name, class_="num" if index in right else None) for index, name in enumerate(head)]
    body = [tag("tr", *row) for row in rows]
    return tag("div", tag("table", tag("thead", tag("tr", *cells)), tag("tbody", *body)), class_="wide")


def _verdict(row: DriftDay) -> Markup:
    tone = {"good": "good", "warn": "warn", "bad": "bad"}.get(w.VERDICT_STYLES.get(row.verdict, ""), "none")
    return tag("span", row.verdict.replace("_", " "), class_=f"badge {tone}")


def _name(feature: str) -> Markup:
    return text(_BUILT_IN.get(feature, feature))
