"""`ml-guard compare`: how does one selection of days differ from another?"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any
from urllib.parse import unquote

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ml_guard.cli import tables
from ml_guard.cli import wording as w
from ml_guard.cli.connection import client
from ml_guard.cli.failures import CommandError
from ml_guard.cli.options import day
from ml_guard.cli.output import AsJson, emit
from ml_guard.compare_shapes import ComparedFeature, ComparedSide, Comparison

FORM = "PROJECT/MODEL[/ENDPOINT][@DAY[..DAY]]"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(compare)


def compare(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help=f"What is compared with: {FORM}.")],
    b: Annotated[str, typer.Argument(metavar="B", help=f"What is compared: {FORM}.")],
    bins: Annotated[
        bool, typer.Option("--bins", help="Show every bin's share and part of the PSI too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two selections of days: champion and challenger, staging and production, this week and last.

    A selection is PROJECT/MODEL[/ENDPOINT][@DAY[..DAY]], such as shop/churn_v1@2026-11-01..2026-11-07; the endpoint is
    `predict` and the days are the newest seven with events unless named. A slash in a name is written %2F, an @ %40.

    The days' sketches are merged. B is scored in bins frozen from A, with the statistics of `ml-guard drift`.
    """
    first, second = selection(a, "a"), selection(b, "b")
    with client(context, timeout_s=60) as api:
        answer = api.compare(**first, **second)
    emit(answer, as_json, lambda: _drawn(answer, bins))


def selection(text: str, side: str) -> dict[str, Any]:
    """What a selection names, as parameters of that side.

    >>> selection("shop/churn_v1@2026-11-01..2026-11-07", "a")["a_to"]
    datetime.date(2026, 11, 7)
    >>> selection("shop/churn_v1//score", "b")
    {'b_project_id': 'shop', 'b_model_id': 'churn_v1', 'b_endpoint': '/score'}
    """
    names, _, days = text.partition("@")
    project, _, rest = names.partition("/")
    model, slash, endpoint = rest.partition("/")
    if not project or not model or (slash and not endpoint):
        raise CommandError(f"{text} is not a selection", f"Write {FORM}.")
    chosen: dict[str, Any] = {f"{side}_project_id": unquote(project), f"{side}_model_id": unquote(model)}
    if endpoint:
        chosen[f"{side}_endpoint"] = unquote(endpoint)
    if "@" in text:
        first, dots, last = days.partition("..")
        chosen[f"{side}_from"] = begin = day(first, "@")
        chosen[f"{side}_to"] = end = day(last, "@") if dots else begin
        if end < begin:
            raise CommandError(f"{text} ends before it begins", f"Write {FORM}, the earlier day first.")
    return chosen


def _drawn(answer: Comparison, with_bins: bool) -> RenderableType:
    a, b = answer.a, answer.b
    sides = tables.table("", ">A", ">B")
    rows: list[tuple[str, str, str]] = [
        ("selection", _name(a), _name(b)),
        ("days", _days(a.days), _days(b.days)),
        ("requests", w.count(a.requests), w.count(b.requests)),
        *(
            (f"latency {name} ms", w.number(before), w.number(after))
            for name, before, after in (
                ("mean", a.latency_mean_ms, b.latency_mean_ms),
                ("p50", a.latency_p50_ms, b.latency_p50_ms),
                ("p95", a.latency_p95_ms, b.latency_p95_ms),
                ("p99", a.latency_p99_ms, b.latency_p99_ms),
            )
        ),
        ("mean prediction", w.number(a.prediction_mean), w.number(b.prediction_mean)),
        ("mean probability", w.fixed(a.proba_mean), w.fixed(b.proba_mean)),
    ]
    for row in rows:
        sides.add_row(*row)
    features = tables.table(
        "feature", ">mean A", ">mean B", ">?p50 A", ">?p50 B", ">?missing A", ">?missing B", ">PSI", ">?E0", ">q",
        "verdict",
    )  # fmt: skip
    for one in answer.features:
        features.add_row(*_row(one))
    how = "exact" if answer.exact else f"ranks within {100 * answer.rank_error:.2f} %, counts and means exact"
    parts: list[RenderableType] = [sides, features, Text(f"From {answer.method}: {how}.", style="quiet")]
    if with_bins:
        parts += [
            tables.bins(f"{one.feature}: PSI {w.fixed(one.psi)}, {one.verdict}", "A", one.bins)
            for one in answer.features
            if one.bins
        ]
    return Group(*parts)


def _row(one: ComparedFeature) -> list[str]:
    cells = [escape(one.feature)]
    for name in ("mean", "p50"):
        cells += [w.number(None if side is None else getattr(side, name)) for side in (one.a, one.b)]
    cells += [w.share(None if side is None else side.missing_rate) for side in (one.a, one.b)]
    return [
        *cells,
        w.fixed(one.psi),
        w.fixed(one.psi_expected, 4),
        w.chance(one.q_value),
        w.verdict(one.verdict),
    ]


def _name(side: ComparedSide) -> str:
    return escape(f"{side.project_id} {side.model_id}/{side.endpoint}")


def _days(days: list[date]) -> str:
    return str(days[0]) if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)})"
