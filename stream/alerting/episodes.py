"""How does a finding become an episode: opened once, updated silently, reminded of, resolved with a notice?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

import msgspec

from stream.alerting.findings import FeatureFinding, Finding
from stream.alerting.policies import Severity, Subject

News = Literal["opened", "updated", "reminded", "resolved"]


@dataclass(frozen=True, slots=True)
class Details:
    """The numbers of an episode's last finding, as they are stored."""

    n: int = 0
    baseline_version: int | None = None
    value: float | None = None
    bound: float | None = None
    note: str = ""
    features: tuple[FeatureFinding, ...] = ()

    def to_json(self) -> str:
        """As `alert.details` has it."""
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, slots=True)
class Episode:
    """A row of `alert`, without what only people write."""

    alert_id: str
    opened_at: datetime
    subject: Subject
    policy: str
    condition: str
    severity: Severity
    channels: tuple[str, ...] | None
    headline: str
    since: datetime
    zone: str
    day: date | None
    day_start: datetime | None
    revision: int | None
    provisional: bool
    details: Details
    found_at: datetime
    notified_at: datetime
    resolved_at: datetime | None = None
    resolution: str | None = None
    acknowledged_at: datetime | None = None
    muted_until: datetime | None = None

    @property
    def key(self) -> tuple[Subject, str]:
        """Of one subject and policy at most one episode is open."""
        return self.subject, self.policy

    @property
    def state(self) -> str:
        """open or resolved."""
        return "open" if self.resolved_at is None else "resolved"

    def is_muted(self, now: datetime) -> bool:
        """Whether nothing is to be written about it now."""
        return self.muted_until is not None and now < self.muted_until


@dataclass(frozen=True, slots=True)
class Change:
    """What became of an episode, and whether anybody is told."""

    news: News
    episode: Episode

    @property
    def is_told(self) -> bool:
        """An update is silent, and so is what is muted."""
        at = self.episode.resolved_at or self.episode.found_at
        if self.news == "reminded":
            at = self.episode.notified_at
        return self.news != "updated" and not self.episode.is_muted(at)


def open_episode(
    finding: Finding, subject: Subject, now: datetime, alert_id: str, muted_until: datetime | None = None
) -> Change:
    """A new episode. A mute that still holds for its subject and policy holds for it too."""
    policy = finding.policy
    episode = Episode(
        alert_id=alert_id,
        opened_at=now,
        subject=subject,
        policy=policy.name,
        condition=policy.condition,
        severity=policy.severity,
        channels=policy.channels,
        headline=finding.what,
        since=finding.since,
        zone=finding.zone,
        day=finding.day,
        day_start=finding.day_start,
        revision=finding.revision,
        provisional=finding.provisional,
        details=_details(finding),
        found_at=now,
        notified_at=now,
        muted_until=muted_until,
    )
    return Change("opened", episode)


def update(episode: Episode, finding: Finding, now: datetime) -> Change:
    """It is still so, with the numbers of now; nobody is told."""
    policy = finding.policy
    return Change(
        "updated",
        replace(
            episode,
            condition=policy.condition,
            severity=policy.severity,
            channels=policy.channels,
            headline=finding.what,
            since=min(episode.since, finding.since),
            day=finding.day,
            day_start=finding.day_start,
            revision=finding.revision,
            provisional=finding.provisional,
            details=_details(finding),
            found_at=now,
        ),
    )


def remind(episode: Episode, cooldown_minutes: int, now: datetime) -> Change | None:
    """A reminder, if it is due: an open episode that nobody has taken on, a cooldown after the last message."""
    if episode.resolved_at is not None or episode.acknowledged_at is not None or episode.is_muted(now):
        return None
    if now - episode.notified_at < timedelta(minutes=cooldown_minutes):
        return None
    return Change("reminded", replace(episode, notified_at=now))


def resolve(episode: Episode, why: str, now: datetime) -> Change:
    """It is over."""
    return Change("resolved", replace(episode, resolved_at=now, resolution=why, notified_at=now))


def why_over(episode: Episode, day: date, revision: int) -> str:
    """Why an episode ended with this result of a day.

    A restatement that takes the cause away is told from a day that is simply better.
    """
    if episode.day == day and not episode.provisional and revision > (episode.revision or 0):
        return f"revision {revision} of {day} has removed the cause"
    if episode.day is not None and revision > 1 and day <= episode.day:
        return f"revision {revision} of {day} has removed the cause"
    if episode.day == day:
        return f"the final result of {day} is within bounds"
    return f"{day} is within bounds"


def _details(finding: Finding) -> Details:
    return Details(
        n=finding.n,
        baseline_version=finding.baseline_version,
        value=finding.value,
        bound=finding.bound,
        note=finding.note,
        features=finding.features,
    )


def details_of(raw: Any) -> Details:
    """Details as they are stored, read back."""
    return msgspec.json.decode(raw, type=Details)
