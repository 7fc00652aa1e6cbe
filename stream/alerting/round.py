"""What has become of the episodes in one evaluation, and which messages does that make?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from uuid import uuid4

from stream.alerting.episodes import Change, Episode, open_episode, remind, resolve, update, why_over
from stream.alerting.findings import Finding
from stream.alerting.policies import PolicyBook, Subject
from stream.alerting.wording import Message, Place, compose

Key = tuple[Subject, str]
Addressed = tuple[str, Message]
"""A channel and what goes there."""


def new_id() -> str:
    """A name that nothing else has, short enough to be typed."""
    return uuid4().hex[:16]


class Round:
    """The open episodes, and what this evaluation makes of them; nothing is written here.

    Parameters
    ----------
    mutes : mapping
        Until when subjects and policies are muted, whatever episode it was said of.
    """

    def __init__(
        self,
        episodes: Iterable[Episode],
        mutes: Mapping[Key, datetime],
        now: datetime,
        name_it: Callable[[], str] = new_id,
    ) -> None:
        self._open: dict[Key, Episode] = {episode.key: episode for episode in episodes}
        self._mutes, self._now, self._name_it = mutes, now, name_it
        self._changes: dict[str, Change] = {}
        self.new: set[str] = set()

    @property
    def open(self) -> list[Episode]:
        """The episodes that are open now."""
        return list(self._open.values())

    @property
    def changes(self) -> list[Change]:
        """What became of each episode that changed."""
        return list(self._changes.values())

    def is_open(self, subject: Subject, policy: str) -> bool:
        """Whether there is an open episode."""
        return (subject, policy) in self._open

    def found(self, subject: Subject, finding: Finding, *, may_open: bool = True) -> None:
        """A policy has found something."""
        key = (subject, finding.policy.name)
        episode = self._open.get(key)
        if episode is not None:
            self._note(update(episode, finding, self._now))
        elif may_open:
            change = open_episode(finding, subject, self._now, self._name_it(), self._mutes.get(key))
            self.new.add(change.episode.alert_id)
            self._note(change)

    def not_found(self, subject: Subject, policy: str, as_of: datetime, cause: tuple[date, int]) -> None:
        """As of the day that begins then, it is no longer found; the cause is the result of a day, by revision.

        An episode about a later day is not over by that.
        """
        episode = self._open.get((subject, policy))
        if episode is not None and (episode.day_start is None or episode.day_start <= as_of):
            day, revision = cause
            self._note(resolve(episode, why_over(episode, day, revision), self._now))

    def over(self, subject: Subject, policy: str, why: str) -> None:
        """It has ended."""
        episode = self._open.get((subject, policy))
        if episode is not None:
            self._note(resolve(episode, why, self._now))

    def look_after(self, book: PolicyBook) -> None:
        """Remind of what is open, and end what no policy looks at any more."""
        for episode in self.open:
            policy = book.any_of(episode.policy, episode.subject)
            if policy is None:
                self._note(resolve(episode, "no policy looks at it any more", self._now))
            elif episode.alert_id not in self._changes or self._changes[episode.alert_id].news == "updated":
                reminder = remind(episode, policy.cooldown_minutes, self._now)
                if reminder is not None:
                    self._note(reminder)

    def say_what_moved(self, alert_id: str, moved: Mapping[tuple[str, str], str]) -> None:
        """Add to an episode's features, by name and kind, which bins moved."""
        change = self._changes[alert_id]
        details = change.episode.details
        features = tuple(
            replace(feature, moved=moved.get((feature.feature, feature.kind), feature.moved))
            for feature in details.features
        )
        episode = replace(change.episode, details=replace(details, features=features))
        self._changes[alert_id] = Change(change.news, episode)

    def messages(self, place: Place, channels: Collection[str]) -> list[Addressed]:
        """One message for each subject and channel that has news.

        Parameters
        ----------
        channels : collection of str
            The channels that are set up: where a policy that names none sends to.
        """
        told: dict[tuple[Subject, str], list[Change]] = {}
        for change in self._changes.values():
            if change.is_told:
                episode = change.episode
                for channel in channels if episode.channels is None else episode.channels:
                    told.setdefault((episode.subject, channel), []).append(change)
        return [(channel, compose(changes, place)) for (_, channel), changes in told.items()]

    def _note(self, change: Change) -> None:
        episode = change.episode
        before = self._changes.get(episode.alert_id)
        if before is not None and change.news == "updated":
            change = Change(before.news, episode)
        self._changes[episode.alert_id] = change
        if episode.resolved_at is None:
            self._open[episode.key] = episode
        else:
            self._open.pop(episode.key, None)
