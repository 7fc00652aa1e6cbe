"""What does a message say? One a model and evaluation: a first line for the phone, then the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from ml_guard.cli.wording import bin_name, chance, number, visible
from stream.alerting.episodes import Change, Episode
from stream.alerting.findings import FeatureFinding
from stream.alerting.policies import SEVERITIES
from stream.days import load_zone

NAMED = 3
"""Features that a message names; the rest is counted."""
MOVED = 2
NOTICED_POINTS = 0.5
"""Percentage points; a bin that moved less is not worth a word."""

_MARK = {"opened": "", "reminded": "Still: ", "resolved": "Resolved: "}


@dataclass(frozen=True, slots=True)
class Place:
    """Where this is: said in every first line, and linked to."""

    environment: str
    public_url: str | None = None

    def link(self, episode: Episode) -> str | None:
        """The dashboard's page of the worst feature, of the model, of the costs, or of the whole."""
        if not self.public_url:
            return None
        subject = episode.subject
        query: dict[str, str] = {"page": "overview"}
        if episode.condition == "cost":
            query = {"page": "costs", "project": subject.project_id}
        elif subject.model_id:
            query = {"page": "model", "project": subject.project_id, "model": subject.model_id,
                     "endpoint": subject.endpoint}  # fmt: skip
            if episode.details.features:
                query |= {"page": "feature", "feature": episode.details.features[0].feature}
                query |= {"day": str(episode.day)} if episode.day else {}
        return f"{self.public_url.rstrip('/')}/?{urlencode(query)}"


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent; `alerts` is the same for programs."""

    subject: str
    text: str
    alerts: tuple[Mapping[str, Any], ...]


def shown(line: str) -> str:
    """A line with names in it, none of which turns the text around it or becomes a link where it is read.

    >>> shown("US\u202e: see http://example.com")
    'US\\\\u202e: see http:\\u200b//example.com'
    """
    return visible(line).replace("://", ":\u200b//")


def compose(changes: Sequence[Change], place: Place) -> Message:
    """One message about the changes of one subject, the most severe first."""
    ordered = sorted(
        changes, key=lambda one: (one.news == "resolved", -SEVERITIES.index(one.episode.severity))
    )
    first = first_line(ordered[0], place)
    if len(ordered) > 1:
        first += f" (and {len(ordered) - 1} more)"
    lines = [shown(first)]
    for index, change in enumerate(ordered):
        if index:
            lines += ["", shown(first_line(change, place))]
        lines += _paragraph(change, place)
    return Message(lines[0], "\n".join(lines), tuple(_for_programs(change, place) for change in ordered))


def first_line(change: Change, place: Place) -> str:
    """Project, environment, model, what, since when in local time."""
    episode = change.episode
    subject = episode.subject
    where = f"{subject.project_id or 'no project'} · {place.environment}"
    if subject.model_id:
        where += f" · {subject.model_id}/{subject.endpoint}"
    return f"[{episode.severity}] {where}: {_MARK[change.news]}{episode.headline} since {local(episode.since, episode.zone)}"


def local(at: datetime, zone: str) -> str:
    """An instant in local time.

    >>> from datetime import UTC
    >>> local(datetime(2025, 11, 3, 5, tzinfo=UTC), "America/Toronto")
    'Mon 3 Nov 2025 00:00 (America/Toronto)'
    """
    there = at.astimezone(load_zone(zone))
    return f"{there:%a} {there.day} {there:%b %Y %H:%M} ({zone})"


def what_moved(bins: Sequence[Mapping[str, Any]]) -> str:
    """The bins whose share changed most, in percentage points.

    >>> what_moved([{"bin": "label", "label": "US", "points": -6.8}, {"bin": "label", "label": "CA", "points": 6.6}])
    'US -6.8, CA +6.6 points'
    """
    ordered = sorted(bins, key=lambda one: -abs(one["points"]))[:MOVED]
    shown = [one for one in ordered if abs(one["points"]) >= NOTICED_POINTS] or ordered[:1]
    if not shown:
        return ""
    return ", ".join(f"{bin_name(one)} {one['points']:+.1f}" for one in shown) + " points"


def feature_line(feature: FeatureFinding) -> str:
    """What was measured of one feature."""
    name, kind = feature.feature, feature.kind
    if feature.measure == "PSI":
        text = f"{name}: PSI {number(feature.value, 3)}"
        if feature.expected is not None:
            text += f" ({number(feature.expected, 2)} expected without drift)"
        text += f", q {_equals(chance(feature.q_value))}, n {feature.n:,}"
        if feature.days > 1:
            text += f", {feature.days} days in a row"
    elif feature.measure == "missing":
        text = f"{name}: {_share(feature.value)} missing, {_share(feature.expected)} in the baseline, n {feature.n:,}"
    elif feature.measure == "another type":
        text = f"{name}: {feature.n:,} values are {kind} now"
    elif feature.measure == "gone":
        text = f"{name}: in no event of the day"
    else:
        text = f"{name}: not in the baseline ({kind}), n {feature.n:,}"
    return f"{text}: {feature.moved}" if feature.moved else text


def _paragraph(change: Change, place: Place) -> list[str]:
    episode, lines = change.episode, []
    details = episode.details
    if change.news == "resolved":
        lines.append(f"It is over: {episode.resolution}.")
    if episode.day is not None and episode.revision is not None:
        state = (
            "provisional (the day is open)" if episode.provisional else f"final, revision {episode.revision}"
        )
        text = f"Day {episode.day}, {state}, {details.n:,} events"
        if details.baseline_version is not None:
            text += f", baseline version {details.baseline_version}"
        lines.append(text + ".")
    lines += [f"- {feature_line(feature)}" for feature in details.features[:NAMED]]
    if len(details.features) > NAMED:
        lines.append(f"- and {len(details.features) - NAMED} more")
    if details.note:
        lines.append(details.note)
    lines.append(f"Alert {episode.alert_id}, policy {episode.policy}.")
    lines = [shown(line) for line in lines]
    if link := place.link(episode):
        lines.insert(-1, link)
    return lines


def _for_programs(change: Change, place: Place) -> Mapping[str, Any]:
    episode = change.episode
    details = episode.details
    return {
        "event": change.news,
        "alert_id": episode.alert_id,
        "project_id": episode.subject.project_id,
        "environment": place.environment,
        "model_id": episode.subject.model_id,
        "endpoint": episode.subject.endpoint,
        "policy": episode.policy,
        "condition": episode.condition,
        "severity": episode.severity,
        "headline": episode.headline,
        "since": episode.since,
        "zone": episode.zone,
        "day": episode.day,
        "revision": episode.revision,
        "provisional": episode.provisional,
        "opened_at": episode.opened_at,
        "resolved_at": episode.resolved_at,
        "resolution": episode.resolution,
        "n": details.n,
        "baseline_version": details.baseline_version,
        "value": details.value,
        "bound": details.bound,
        "note": details.note,
        "features": [
            {"feature": f.feature, "kind": f.kind, "measure": f.measure, "value": f.value, "bound": f.bound,
             "expected": f.expected, "q_value": f.q_value, "n": f.n, "days": f.days, "moved": f.moved}
            for f in details.features[:NAMED]
        ],
        "more_features": max(0, len(details.features) - NAMED),
        "link": place.link(episode),
    }  # fmt: skip


def _equals(text: str) -> str:
    return text if text.startswith("<") else f"= {text}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
