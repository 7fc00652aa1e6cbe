"""How does today, up to its last full hour, differ from the same hours of the days before?

Today's snapshot at that hour is scored against the sum of the snapshots of the days before, by the same statistics as
days against baselines. Both sides are exact counts in the bins of one baseline version; only its bins and thresholds
are used, not its shares. What cannot be compared is said in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import takewhile
from typing import Any

import numpy as np

from stream.bins import Ints
from stream.closing.rows import bin_rows
from stream.closing.scoring import IGNORED, ScoringBaseline
from stream.drift import Score, Status, benjamini_hochberg, score, verdict
from stream.store.baselines import BaselineFeature, baseline_versions, read_baseline_features
from stream.store.hours import FollowedDay, Hour, HourFeature, last_hour, newest_days, read_hours
from stream.store.pool import Connection
from stream.store.snapshot import ModelDayKey
from stream.weekdays import Weekdays

NOT_COUNTED = "not_counted"
"""The verdict on a feature whose values were not all counted in the baseline's bins; `Status` has most others."""

LOOKS_BACK = 366
"""Days with events that are looked through for days to compare with, at most."""


@dataclass(frozen=True)
class ComparedDay:
    """A day before, and whether it is part of the comparison."""

    day: date
    compared: bool
    requests: int | None
    reason: str | None = None


@dataclass
class HourlyFeature:
    """A feature of today up to the hour, with its score against the days before."""

    feature: str
    kind: str
    n: int
    missing: int
    days: int
    verdict: str
    mean: float | None = None
    mean_before: float | None = None
    p05: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p95: float | None = None
    p99: float | None = None
    psi: float | None = None
    psi_expected: float | None = None
    chi_square: float | None = None
    degrees_of_freedom: int | None = None
    p_value: float | None = None
    q_value: float | None = None
    js_distance: float | None = None
    l_infinity: float | None = None
    warning: float | None = None
    drift: float | None = None
    bins: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class SameHours:
    """The answer; `reason` says why there is no comparison at all."""

    project_id: str
    model_id: str
    endpoint: str
    day: date | None = None
    day_start: datetime | None = None
    zone: str | None = None
    hour: int | None = None
    hour_at: datetime | None = None
    baseline_version: int | None = None
    weekdays: Weekdays = None
    requests: int | None = None
    requests_before: float | None = None
    reason: str | None = None
    days: tuple[ComparedDay, ...] = ()
    features: tuple[HourlyFeature, ...] = ()


async def read_same_hours(
    connection: Connection, project_id: str, model_id: str, endpoint: str, *, days: int
) -> SameHours:
    """Compare the open day of a model's endpoint with up to so many days before. The connection sees one instant.

    With a baseline of some weekdays, days before are days of these.
    """
    key = (project_id, model_id, endpoint)
    found = await newest_days(connection, *key, LOOKS_BACK)
    if not found:
        return SameHours(*key, reason="no event of this model's endpoint has come: are the names right?")
    if found[0].status == "final":
        newest = SameHours(*key, found[0].day, found[0].day_start, found[0].zone)
        return replace(
            newest, reason=f"{newest.day}, the newest day, has closed: its verdict is of the whole day"
        )
    # A clock that is ahead may have begun tomorrow: today is the newest open day that has an hour.
    place, hour = 0, None
    for number, day in enumerate(takewhile(lambda day: day.status != "final", found)):
        hour = await last_hour(connection, ModelDayKey(*key, day.day_start))
        if hour is not None:
            place = number
            break
    today, earlier = found[place], found[place + 1 :]
    answer = SameHours(*key, today.day, today.day_start, today.zone)
    if hour is None:
        return replace(answer, reason=_NO_HOUR)
    now = (await read_hours(connection, *key, [today.day_start], hour))[today.day_start]
    versions = {one.version: one for one in await baseline_versions(connection, *key)}
    version = versions.get(now.baseline_version) if now.baseline_version is not None else None
    answer = replace(answer, hour=hour, hour_at=now.hour_at, requests=now.events)
    if version is None or version.version is None:
        return replace(answer, reason=_NO_BASELINE)
    answer = replace(answer, baseline_version=version.version, weekdays=version.weekdays)
    before = [
        day
        for day in earlier
        if day.day != today.day and (version.weekdays is None or day.day.isoweekday() in version.weekdays)
    ][:days]
    if not before:
        return replace(answer, reason="no day before it, of the same weekdays, has had events of the model")
    hours = await read_hours(connection, *key, [day.day_start for day in before], hour)
    baseline = ScoringBaseline.of(version, await read_baseline_features(connection, *key, version.version))
    return compare(answer, now, before, hours, baseline)


_NO_HOUR = (
    "no full hour of the open day has a snapshot: one is taken when events of a new hour follow those of the last, "
    "and none where a day's events come out of the order of their time"
)
_NO_BASELINE = (
    "the open day began without a baseline, so there are no bins to count in: days that begin after a capture can be "
    "compared"
)


def compare(
    answer: SameHours,
    now: Hour,
    before: Sequence[FollowedDay],
    hours: Mapping[datetime, Hour],
    baseline: ScoringBaseline,
) -> SameHours:
    """Fill the answer from today's snapshot and those of the days before, by the days' starts."""
    days = tuple(_day(day, hours.get(day.day_start), now) for day in before)
    compared = [hours[day.day_start] for day, said in zip(before, days, strict=True) if said.compared]
    if not compared:
        return replace(answer, days=days, reason="none of the days before can be compared; each says why")
    return replace(
        answer,
        days=days,
        requests_before=sum(hour.events for hour in compared) / len(compared),
        features=tuple(_features(now, compared, baseline)),
    )


def _day(day: FollowedDay, hour: Hour | None, now: Hour) -> ComparedDay:
    if hour is None:
        why = (
            f"no snapshot at {now.hour}:00: its events came later or out of order (a backfill, a replay), no worker was "
            "there at that time, or it is no longer kept"
        )
        return ComparedDay(day.day, False, None, why)
    if hour.baseline_version != now.baseline_version:
        other = (
            "in no baseline's bins"
            if hour.baseline_version is None
            else f"in those of {hour.baseline_version}"
        )
        why = f"today is counted in the bins of version {now.baseline_version}, this day {other}"
        return ComparedDay(day.day, False, hour.events, why)
    return ComparedDay(day.day, True, hour.events)


def _features(now: Hour, before: Sequence[Hour], baseline: ScoringBaseline) -> list[HourlyFeature]:
    past = [({(one.feature, one.kind): one for one in hour.features}, hour.events) for hour in before]
    today = {(one.feature, one.kind): one for one in now.features}
    scored: list[tuple[HourlyFeature, Score]] = []
    rows = []
    for key in sorted(today.keys() | {key for features, _ in past for key in features}):
        one = today.get(key) or HourFeature(*key, 0, None)
        row = _statistics(one, now.events, [features[key] for features, _ in past if key in features])
        rows.append(row)
        base = baseline.features.get(one.feature)
        row.verdict = _outcome(one, base)
        if row.verdict or base is None:
            continue
        # A day that has no value of the feature has all its events in the bin of the missing ones.
        counted = [
            (features[key].counts if key in features else (0,) * len(one.counts or ()), events)
            for features, events in past
        ]
        whole = [(counts, events) for counts, events in counted if counts is not None]
        row.days = len(whole)
        if one.counts is None or not whole:
            row.verdict = NOT_COUNTED
            continue
        bins = baseline.bins[one.feature]
        x = bins.vector(np.array(one.counts, dtype=np.int64), now.events)
        y: Ints = np.sum(
            [bins.vector(np.array(counts, dtype=np.int64), events) for counts, events in whole], axis=0
        )
        found = score(x, y)
        row.bins = bin_rows(bins, x, y / y.sum(), found.contributions)
        row.warning, row.drift = base.warning, base.drift
        _take(row, found)
        scored.append((row, found))
    for (row, found), q in zip(
        scored, benjamini_hochberg([one.p_value for _, one in scored]).tolist(), strict=True
    ):
        assert row.warning is not None
        assert row.drift is not None
        row.q_value = q
        row.verdict = verdict(found, q, warning=row.warning, drift=row.drift)
    return rows


def _outcome(one: HourFeature, base: BaselineFeature | None) -> str:
    """The verdict of a row that is not scored; empty if it is to be."""
    if base is None:
        return Status.NEW_FEATURE
    if base.ignored:
        return IGNORED
    if base.kind != one.kind:
        return Status.TYPE_CHANGED
    return "" if one.n else Status.MISSING_FEATURE


def _statistics(one: HourFeature, events: int, before: Sequence[HourFeature]) -> HourlyFeature:
    means = [(past.mean, past.n) for past in before if past.mean is not None]
    n = sum(count for _, count in means)
    return HourlyFeature(
        one.feature,
        one.kind,
        one.n,
        events - one.n,
        len(before),
        verdict="",
        mean=one.mean,
        mean_before=sum(mean * count for mean, count in means) / n if n else None,
        p05=one.p05,
        p25=one.p25,
        p50=one.p50,
        p75=one.p75,
        p95=one.p95,
        p99=one.p99,
    )


def _take(row: HourlyFeature, found: Score) -> None:
    row.psi, row.chi_square, row.p_value = found.psi, found.chi_square, found.p_value
    row.psi_expected = found.expected if math.isfinite(found.expected) else None
    row.degrees_of_freedom, row.js_distance, row.l_infinity = found.dof, found.js_distance, found.l_infinity
