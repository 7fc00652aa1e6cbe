"""What does a reference data set look like as a baseline, and how do two versions differ?"""

from __future__ import annotations

import msgspec
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ml_guard import shapes as s
from ml_guard.cli import tables
from ml_guard.cli import wording as w


def from_data(answer: s.BaselineFromData) -> RenderableType:
    """The version, its features, and what to look at before it counts."""
    baseline = answer.baseline
    parts: list[RenderableType] = [tables.baseline(baseline)]
    if baseline.data_rows is not None:
        name = escape(baseline.data_name or "the data set")
        parts.append(
            Text.from_markup(
                f"{name}: {w.count(baseline.data_rows)} rows, SHA-256 {(baseline.data_sha256 or '')[:16]}…",
                style="quiet",
            )
        )
    if answer.ignore:
        made = tables.table("feature", "why it had better be ignored", title="Better ignored")
        for one in answer.ignore:
            made.add_row(escape(one.feature), escape(one.reason))
        where = f"--project {baseline.project_id} --model {baseline.model_id}"
        does = [f"ml-guard feature set {where} --feature {one.feature} --ignore" for one in answer.ignore]
        then = "then capture." if baseline.version is None else "and capture again."
        parts += [made, Text("\n".join(does), style="key"), Text(then, style="quiet")]
    if answer.other_endpoints:
        parts.append(
            Text.from_markup(
                f"[warn]{escape(baseline.model_id)} has had no event at endpoint {escape(baseline.endpoint)}, but at "
                f"{escape(', '.join(answer.other_endpoints))}:[/] name it with --endpoint."
            )
        )
    elif answer.not_in_events is None:
        parts.append(Text("The model has had no event yet: names cannot be compared.", style="quiet"))
    for names, says in (
        (answer.not_in_events, "Only in the data, in no event of the last 7 days"),
        (answer.not_in_data, "Only in events, not in the data"),
    ):
        if names:
            parts.append(Text.from_markup(f"[warn]{says}:[/] {escape(', '.join(names))}"))
    if answer.not_in_events:
        parts.append(Text("What no event will have, such as the target: --leave-out NAME.", style="quiet"))
    return Group(*parts)


class VersionDifference(msgspec.Struct, frozen=True):
    """A feature in two baseline versions; a side is None where the version lacks it."""

    feature: str
    same_bins: bool
    largest_move: float | None
    """Of a bin's share, where both have the same bins."""
    first: s.BaselineFeature | None
    second: s.BaselineFeature | None


def differences(first: s.BaselineDetail, second: s.BaselineDetail) -> list[VersionDifference]:
    """What two versions have of each feature."""
    left = {one.feature: one for one in first.features}
    right = {one.feature: one for one in second.features}
    return [_difference(name, left.get(name), right.get(name)) for name in sorted(left.keys() | right.keys())]


def _difference(
    name: str, first: s.BaselineFeature | None, second: s.BaselineFeature | None
) -> VersionDifference:
    if first is None or second is None or _bins(first) != _bins(second):
        return VersionDifference(name, False, None, first, second)
    moves = [abs(before - after) for before, after in zip(first.shares, second.shares, strict=True)]
    return VersionDifference(name, True, max(moves), first, second)


def _bins(one: s.BaselineFeature) -> tuple[object, ...]:
    return one.kind, one.edges, one.labels, one.other_labels


def versions(
    first: s.BaselineDetail, second: s.BaselineDetail, rows: list[VersionDifference]
) -> RenderableType:
    """Two versions side by side: what they are of, and their features."""
    a, b = first.version, second.version
    made = tables.table(
        "feature", f">?n {a}", f">?n {b}", f">?missing {a}", f">?missing {b}", f">mean {a}", f">mean {b}", f">?p50 {a}",
        f">?p50 {b}", f">?drift {a}", f">?drift {b}", "bins",
    )  # fmt: skip
    for row in rows:
        cells = [escape(row.feature)]
        for draw in (_n, _missing, _mean, _median, _limit):
            cells += [w.ABSENT if side is None else draw(side) for side in (row.first, row.second)]
        made.add_row(*cells, _said(row))
    return Group(tables.baselines([first, second]), made)


def _n(one: s.BaselineFeature) -> str:
    return w.count(one.n)


def _missing(one: s.BaselineFeature) -> str:
    events = one.n + one.missing
    return w.share(one.missing / events if events else None)


def _mean(one: s.BaselineFeature) -> str:
    return w.number(one.mean)


def _median(one: s.BaselineFeature) -> str:
    return w.number(one.quantiles[3] if one.quantiles else None)


def _limit(one: s.BaselineFeature) -> str:
    return "ignored" if one.ignored else w.number(one.drift)


def _said(row: VersionDifference) -> str:
    if row.first is None or row.second is None:
        return "[warn]only in one[/]"
    if row.first.kind != row.second.kind:
        return f"[bad]{row.first.kind}, then {row.second.kind}[/]"
    if row.largest_move is None:
        return "others"
    return "same" if row.largest_move == 0 else f"same, up to {100 * row.largest_move:.1f} points"
