"""`ml-guard drift check`: may this model be deployed, as far as its newest days say?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Literal
from xml.etree import ElementTree

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from ml_guard.cli import tables
from ml_guard.cli.connection import client
from ml_guard.cli.failures import NEGATIVE, USAGE, CommandError, explain
from ml_guard.cli.options import Endpoint
from ml_guard.cli.output import AsJson, emit
from ml_guard.cli.wording import fixed, what_moved
from ml_guard.errors import MLGuardError
from ml_guard.shapes import DriftDay, MetricDay

NOT_ENOUGH = 3
FAIL_ON = ("warning", "drift")
Outcome = Literal["passed", "failed", "not_enough_data"]

_JUDGED = ("ok", "warning", "drift")
_WORSE = ("type_changed", "missing_feature")
"""Nothing can be compared any more, which a gate must not take for agreement."""
_WORDS = {
    "drift": "drift",
    "warning": "warning",
    "type_changed": "values of another kind than the baseline's",
    "missing_feature": "in the baseline and in no event",
}


class Checked(msgspec.Struct, frozen=True):
    """What a gate decided, and on what."""

    outcome: Outcome
    reason: str
    fail_on: str
    days: list[str]
    judged: int
    failed: list[DriftDay]
    rows: list[DriftDay]


def check(
    context: typer.Context,
    project: Annotated[str, typer.Option("--project", help="The project's id.")],
    model: Annotated[str, typer.Option("--model", help="The model's id.")],
    endpoint: Endpoint = None,
    days: Annotated[
        int,
        typer.Option(
            "--days", min=1, max=366, help="Today, and days that began in the last so many times 24 hours."
        ),
    ] = 3,
    fail_on: Annotated[
        str, typer.Option("--fail-on", help="`drift`, or `warning` for warnings too.")
    ] = "drift",
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write a JUnit report too, a test case a day and feature.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fail a deployment pipeline if a model's newest days have drifted.

    Exit codes of its own: 0 fine, 1 drift, 2 an error (the server's too), 3 not enough data for a verdict: no events, no
    baseline, or too few events.

    A feature that vanished or changed its type counts as drift, on days on which another feature has a verdict.
    """
    if fail_on not in FAIL_ON:
        raise CommandError(f"--fail-on {fail_on} is not a verdict to fail on", "Give warning or drift.")
    now = datetime.now(timezone.utc)
    try:
        with client(context) as api:
            metrics = [
                row
                for row in api.metrics_daily(
                    project_id=project,
                    model_id=model,
                    endpoint=endpoint,
                    from_=now.date() - timedelta(days=days + 1),
                )
                if row.day_start > now - timedelta(days=days) or row.day_end > now
            ]
            rows: list[DriftDay] = []
            if metrics:
                found = api.drift_daily(
                    project_id=project,
                    model_id=model,
                    endpoint=endpoint,
                    from_=min(row.day for row in metrics),
                )
                wanted = {(row.endpoint, row.day_start) for row in metrics}
                rows = [row for row in found if (row.endpoint, row.day_start) in wanted]
    except MLGuardError as error:
        problem, remedy, _ = explain(error)
        raise CommandError(problem, remedy, USAGE) from error
    answer = judge(metrics, rows, fail_on)
    if junit is not None:
        try:
            junit.write_bytes(junit_report(answer, f"{project} {model}"))
        except OSError as error:
            raise CommandError(f"--junit {junit} cannot be written: {error.strerror}") from error
    emit(answer, as_json, lambda: _drawn(answer))
    code = {"passed": 0, "failed": NEGATIVE, "not_enough_data": NOT_ENOUGH}[answer.outcome]
    if code:
        raise typer.Exit(code)


def judge(metrics: Sequence[MetricDay], rows: Sequence[DriftDay], fail_on: str) -> Checked:
    """The verdict on a model from its days' rows."""
    judged = [row for row in rows if row.verdict in _JUDGED]
    with_verdict = {(row.endpoint, row.day_start) for row in judged}
    severe = FAIL_ON[FAIL_ON.index(fail_on) :]
    failed = [
        row
        for row in rows
        if row.verdict in severe or (row.verdict in _WORSE and (row.endpoint, row.day_start) in with_verdict)
    ]
    days = sorted({str(row.day) for row in metrics})
    if failed:
        outcome: Outcome = "failed"
        reason = "; ".join(_named(failed))
    elif judged:
        outcome, reason = "passed", f"{len(judged)} verdicts, none of them {' or '.join(severe)}"
    else:
        outcome, reason = "not_enough_data", _why_none(metrics, rows)
    return Checked(outcome, reason, fail_on, days, len(judged), failed, list(rows))


def _named(failed: Sequence[DriftDay]) -> Iterator[str]:
    """Features by what is wrong with them, the worst first."""
    for verdict, words in _WORDS.items():
        names = list(dict.fromkeys(row.feature for row in failed if row.verdict == verdict))
        if names:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            yield f"{shown}: {words}"


def _why_none(metrics: Sequence[MetricDay], rows: Sequence[DriftDay]) -> str:
    if not metrics:
        return "no event of this model on these days"
    if any(row.verdict == "insufficient_data" for row in rows):
        return f"too few events for a verdict ({sum(row.requests for row in metrics):,})"
    if all(row.baseline_version is None for row in metrics):
        return "no baseline to compare with: `ml-guard baseline capture`"
    return "no feature of the baseline is scored"


def junit_report(answer: Checked, name: str) -> bytes:
    """The rows as JUnit's XML: a failed case a failed row, a skipped one for rows without a verdict."""
    failed = {id(row) for row in answer.failed}
    skipped = [row for row in answer.rows if id(row) not in failed and row.verdict not in _JUDGED]
    counts = {"tests": len(answer.rows), "failures": len(failed), "skipped": len(skipped), "errors": 0}
    if answer.outcome == "not_enough_data":
        counts = {"tests": len(answer.rows) + 1, "failures": 0, "skipped": len(skipped), "errors": 1}
    suite = ElementTree.Element(
        "testsuite", {"name": f"drift {name}"} | {key: str(count) for key, count in counts.items()}
    )
    for row in answer.rows:
        where = f"{row.model_id}.{row.endpoint}.{row.day}"
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": where, "name": row.feature, "time": "0"}
        )
        figures = f"PSI {fixed(row.psi)}, without drift {fixed(row.psi_expected, 4)}"
        if id(row) in failed:
            text = f"{row.verdict}: {what_moved(row)}"
            ElementTree.SubElement(case, "failure", {"type": row.verdict, "message": text}).text = figures
        elif row.verdict not in _JUDGED:
            ElementTree.SubElement(case, "skipped", {"message": row.verdict})
    if answer.outcome == "not_enough_data":
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": name, "name": "enough data", "time": "0"}
        )
        ElementTree.SubElement(case, "error", {"type": answer.outcome, "message": answer.reason})
    ElementTree.indent(suite)
    report: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return report + b"\n"


def _drawn(answer: Checked) -> RenderableType:
    style = {"passed": "good", "failed": "bad", "not_enough_data": "warn"}[answer.outcome]
    word = {"passed": "PASSED", "failed": "FAILED", "not_enough_data": "NOT ENOUGH DATA"}[answer.outcome]
    days = f" ({', '.join(answer.days)})" if answer.days else ""
    sentence = Text.assemble((word, style), f"  {answer.reason}{days}")
    return Group(tables.drift(answer.failed), sentence) if answer.failed else sentence
