"""Is the drift that the product shows the drift that the raw values have, and was planted in them?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ml_guard.replay.catalogue import Plant
from ml_guard.replay.claims import Claim, ModelKey, Observed, Tally, allowed_failures, name
from ml_guard.replay.oracle import DayKey, DayTruth, Truth
from ml_guard.replay.recompute import Expected, bin_counts, corrected, score, verdict
from ml_guard.replay.topic import Topic
from ml_guard.shapes import DriftDay

TRUSTED_EVENTS = 400
"""Half a standard deviation is found from here on; a day that has only begun is not held to its plants."""
WARNING, DRIFT = 0.1, 0.25
DOUBT = 5.0
"""Standard deviations that a PSI may be off its true value: the delta method's sqrt(4 PSI (1/n + 1/m))."""
MODEL_ERROR = 0.1
"""And this share of it, since the baseline's own bins are not those of endless traffic."""
NUMBERS = ("psi", "psi_expected", "chi_square", "p_value", "js_distance", "l_infinity")


class Recomputed:
    """The baselines' windows and the scored days, recomputed once for all claims."""

    def __init__(self, topic: Topic, truth: Truth, seen: Observed) -> None:
        self.topic = topic
        self.truth = truth
        self.seen = seen
        self.windows: dict[ModelKey, DayTruth] = {}
        self.days: list[DayKey] = []
        self.rows: dict[tuple[DayKey, str], tuple[DriftDay, Expected]] = {}
        for project, endpoint in topic.endpoints():
            model = (topic.project_id(project), endpoint.model_id, endpoint.endpoint)
            self.windows[model] = truth.window(*model, topic.baseline_days(project))
            for day in topic.scored_days(project):
                key = DayKey(*model, day)
                if key in truth.days:
                    self.days.append(key)
                    self._score(model, key)

    def _score(self, model: ModelKey, key: DayKey) -> None:
        for frozen in self.seen.frozen(model):
            feature, kind = frozen.feature, frozen.kind
            row = self.seen.drift.get(key, {}).get((feature, kind))
            if row is None or row.psi is None:
                continue
            labels = set(self.windows[model].labels(feature, kind)) if kind != "numeric" else set()
            counts = bin_counts(self.truth.days[key], frozen, labels)
            m = frozen.n + frozen.missing
            self.rows[key, feature] = row, score(counts, frozen.shares, m, frozen.share_errors)


def drift_claims(topic: Topic, truth: Truth, seen: Observed) -> Iterator[Claim]:
    """The claims about baselines, scores and verdicts, one after another."""
    known = Recomputed(topic, truth, seen)
    yield _windows(known)
    yield _shares(known)
    yield _rows_scored(known)
    yield _bins(known)
    yield _numbers(known)
    yield _q_values(known)
    yield _planted(known)
    yield _quiet(known)


def _windows(known: Recomputed) -> Claim:
    tally = Tally()
    for model, window in known.windows.items():
        baseline = known.seen.baselines.get(model)
        if baseline is None:
            tally.fail(name(model), "no baseline")
            continue
        tally.equal(name(model, "events"), baseline.events, window.events)
        rows = {(row.feature, row.kind): row for row in baseline.features}
        tally.equal(name(model, "features"), rows.keys(), window.kinds())
        for feature, kind in rows.keys() & window.kinds():
            row, present = rows[feature, kind], window.present(feature, kind)
            tally.equal(name(model, feature, "n"), row.n, present)
            tally.equal(name(model, feature, "missing"), row.missing, window.events - present)
            if kind == "numeric" and present:
                numbers = np.array(window.numbers(feature))
                tally.close(name(model, feature, "mean"), row.mean, float(numbers.mean()))
                tally.close(name(model, feature, "stddev"), row.stddev, float(numbers.std()))
    return tally.claim("baselines hold the events of their windows", bound="counts exact, moments 1e-9")


def _shares(known: Recomputed) -> Claim:
    """The stored shares against the raw values; what the sketch only estimates, within its published 99 % error."""
    tally = Tally()
    for model, window in known.windows.items():
        for frozen in known.seen.frozen(model):
            feature, kind = frozen.feature, frozen.kind
            labels = set(window.labels(feature, kind)) if kind != "numeric" else set()
            counts = np.array(bin_counts(window, frozen, labels), dtype=np.float64)
            shares, errors = np.array(frozen.shares), np.array(frozen.share_errors) * 2.576
            if kind != "numeric":  # how `unseen` is estimated out of `other` is the product's to choose
                counts, shares, errors = (_joined(vector) for vector in (counts, shares, errors))
            for place, (share, true, error) in enumerate(
                zip(shares, counts / max(window.events, 1), errors, strict=True)
            ):
                tally.compared += 1
                off = abs(float(share - true))
                tally.worst = max(tally.worst, off)
                if off > error + 1e-9:
                    tally.wrong.append(
                        f"{name(model, feature)} bin {place}: share {share:.5f}, raw {true:.5f}"
                    )
    allowed = allowed_failures(tally.compared)
    return tally.claim(
        "stored shares of the baselines lie within the sketch's error of the raw values",
        allowed=allowed,
        bound=f"at most {allowed}, its error being a 99 % one",
    )


def _rows_scored(known: Recomputed) -> Claim:
    tally = Tally()
    for key in known.days:
        model = (key.project_id, key.model_id, key.endpoint)
        day, rows = known.truth.days[key], known.seen.drift.get(key, {})
        for frozen in known.seen.frozen(model):
            feature, kind = frozen.feature, frozen.kind
            if not day.present(feature, kind):
                continue
            row = rows.get((feature, kind))
            if row is None or row.psi is None:
                tally.fail(name(key, feature), "not scored")
                continue
            tally.equal(name(key, feature, "method"), row.method, "counters")
    return tally.claim("every feature of the days after the capture is scored by counters", bound="all")


def _bins(known: Recomputed) -> Claim:
    tally = Tally()
    for (key, feature), (row, expected) in known.rows.items():
        bins: list[dict[str, Any]] = row.bins or []
        tally.equal(name(key, feature), tuple(round(b["count"]) for b in bins), expected.counts)
        for place, (one, contribution) in enumerate(zip(bins, expected.contributions, strict=False)):
            tally.close(name(key, feature, f"bin {place}"), one["contribution"], contribution)
    return tally.claim(
        "bin counts and contributions equal the raw values'", bound="counts exact, contributions 1e-9"
    )


def _numbers(known: Recomputed) -> Claim:
    tally = Tally()
    for (key, feature), (row, expected) in known.rows.items():
        for field in NUMBERS:
            tally.close(name(key, feature, field), getattr(row, field), getattr(expected, field))
        tally.equal(name(key, feature, "dof"), row.degrees_of_freedom, expected.degrees_of_freedom)
    return tally.claim("PSI, E0, chi-square, p, Jensen-Shannon and L-infinity equal scipy's", bound="1e-9")


def _q_values(known: Recomputed) -> Claim:
    tally = Tally()
    for key in known.days:
        scored = [(feature, *found) for (day, feature), found in known.rows.items() if day == key]
        q_values = corrected([expected.p_value for _, _, expected in scored])
        for (feature, row, expected), q in zip(scored, q_values, strict=True):
            tally.close(name(key, feature, "q"), row.q_value, q)
            called_for = verdict(expected, q, row.warning or WARNING, row.drift or DRIFT)
            tally.equal(name(key, feature, "verdict"), row.verdict, called_for)
    return tally.claim("q-values and verdicts follow from the numbers", bound="1e-9, and the same verdict")


def _planted(known: Recomputed) -> Claim:
    tally = Tally()
    for project, endpoint in known.topic.endpoints():
        for day in known.topic.scored_days(project):
            key = DayKey(known.topic.project_id(project), endpoint.model_id, endpoint.endpoint, day)
            if key not in known.truth.days or known.truth.days[key].events < TRUSTED_EVENTS:
                continue
            m = known.windows[key.project_id, key.model_id, key.endpoint].events
            for plant in known.topic.plants(project, endpoint, day):
                _found(tally, known, key, plant, m)
    return tally.claim("every planted drift is found, of its size", bound="all")


def _found(tally: Tally, known: Recomputed, key: DayKey, plant: Plant, m: int) -> None:
    """One plant: its verdict; and its size, as far as so many events can show it."""
    rows = [row for (feature, _), row in known.seen.drift.get(key, {}).items() if feature == plant.feature]
    verdicts = sorted({row.verdict for row in rows})
    where = name(key, plant.feature, f"({plant.says})")
    if plant.psi is None:
        tally.equal(where, plant.verdict in verdicts or verdicts, True)
        return
    n = known.truth.days[key].events
    off = DOUBT * math.sqrt(4 * plant.psi * (1 / n + 1 / m)) + MODEL_ERROR * plant.psi
    scored = [row for row in rows if row.psi is not None]
    if not scored:
        tally.fail(where, f"not scored: {verdicts}")
    for row in scored:
        psi, warning, drift = row.psi or 0.0, row.warning or WARNING, row.drift or DRIFT
        tally.equal(
            f"{where} PSI {psi:.3f}, true {plant.psi} +- {off:.3f}", abs(psi - plant.psi) <= off, True
        )
        size = "drift" if plant.psi - off >= drift else "warning" if plant.psi + off < drift else "either"
        wanted = {"warning", "drift"} if size == "either" else {size}
        if plant.psi - off >= warning:
            tally.equal(f"{where} {row.verdict} in {sorted(wanted)}", row.verdict in wanted, True)


def _quiet(known: Recomputed) -> Claim:
    tally = Tally()
    for key in known.days:
        planted = {
            plant.feature
            for project, endpoint in known.topic.endpoints()
            if (known.topic.project_id(project), endpoint.model_id, endpoint.endpoint)
            == (key.project_id, key.model_id, key.endpoint)
            for plant in known.topic.plants(project, endpoint, key.day)
        }
        for (feature, _), row in known.seen.drift.get(key, {}).items():
            few = row.psi_expected is not None and row.psi_expected > (row.warning or WARNING) / 2
            if feature not in planted:
                tally.equal(name(key, feature), row.verdict, "insufficient_data" if few else "ok")
    return tally.claim("nothing else drifts", bound="every other row is ok, or has too few events")


def _joined(vector: Any) -> Any:
    """A vector with `other` and `unseen` in one."""
    return np.append(vector[:-3], [vector[-3] + vector[-2], vector[-1]])
