"""Eight weeks with a daily and a weekly rhythm: who is told without drift, and how soon with it?

The model's traffic follows the hour and the weekday, and so do two of its features. Every day is scored as the closer
scores it, against a baseline of the first week.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from stream.bins import count, freeze
from stream.drift import benjamini_hochberg, score, verdict
from stream.sketches import NumericSketch
from tests.alerting.world import World, days_from

DAYS = days_from("2025-03-03", 63)
FEATURES = 12
EVENTS_A_DAY = 4_000
WEEKEND_SHIFT = 0.8
"""In standard deviations: enough for a PSI of drift against a week's mixture."""


def values_of(random: np.random.Generator, day: date, drifted: bool) -> list[np.ndarray]:
    """A value for each event and feature; feature 0 follows the hour, 1 and 2 the weekday as well."""
    weekend = day.weekday() >= 5
    n = int(EVENTS_A_DAY * (0.4 if weekend else 1.0) * random.uniform(0.9, 1.1))
    hour = random.choice(
        24, n, p=np.array([1, 1, 1, 1, 1, 2, 3, 5, 7, 8, 8, 8, 7, 7, 7, 6, 6, 5, 4, 4, 3, 2, 2, 1]) / 100
    )
    made = []
    for feature in range(FEATURES):
        values = random.normal(size=n)
        if feature < 3:
            values += np.sin(2 * np.pi * hour / 24)
        if feature in (1, 2) and weekend:
            values += WEEKEND_SHIFT
        if feature == 5 and drifted:
            values += 0.7
        made.append(values)
    return made


def history(seed: int, drift_from: date | None = None) -> list[tuple[date, dict[str, str]]]:
    """The verdicts of every day behind the baseline's week."""
    random = np.random.default_rng(seed)
    sketches = [NumericSketch() for _ in range(FEATURES)]
    events = 0
    found = []
    for index, day in enumerate(DAYS):
        values = values_of(random, day, drift_from is not None and day >= drift_from)
        if index < 7:
            for sketch, column in zip(sketches, values, strict=True):
                sketch.update(column)
            events += len(values[0])
            continue
        if index == 7:
            bins = [freeze(sketch, events=events) for sketch in sketches]
        scores = [
            score(np.append(count(column, frozen), 0), frozen.y, s=frozen.s)
            for column, frozen in zip(values, bins, strict=True)
        ]
        corrected = benjamini_hochberg(np.array([one.p_value for one in scores]))
        verdicts = {
            f"f{n}": str(verdict(one, q).value)
            for n, (one, q) in enumerate(zip(scores, corrected, strict=True))
        }
        found.append((day, {name: found for name, found in verdicts.items() if found == "drift"}))
    return found


async def test_a_rhythm_without_drift_alerts_at_most_once_in_eight_weeks(world: World) -> None:
    days = history(1)
    assert len(days) == 56
    in_drift = [day for day, verdicts in days if verdicts]
    assert len(in_drift) >= 8, "the weekends are not different enough for the test to mean something"
    for day, verdicts in days:
        await world.closes(day, verdicts, features_scored=FEATURES)
    assert len(await world.alerts()) <= 1
    assert len(await world.subjects()) <= 2


@pytest.mark.parametrize("begin", [28, 32])  # a Monday, a Friday
async def test_a_planted_drift_is_alerted_on_its_first_or_second_closed_day(world: World, begin: int) -> None:
    begins = DAYS[begin]
    for day, verdicts in history(2, begins):
        if begins - timedelta(days=12) <= day <= begins + timedelta(days=3):
            await world.closes(day, verdicts, features_scored=FEATURES)
    told = [alert for alert in await world.alerts() if alert["since"].date() >= begins]
    first = next(a for a in told if any(f["feature"] == "f5" for f in a["details"]["features"]))
    second_close = world.calendar.days_on(begins + timedelta(days=1))[0].end + timedelta(minutes=2)
    assert first["opened_at"] <= second_close
