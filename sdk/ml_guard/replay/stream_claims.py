"""Does every record have a place in the ledgers, and every wrong one its reason?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timezone

from ml_guard.replay.claims import Claim, Observed, Tally, name
from ml_guard.replay.oracle import DayKey, Truth
from ml_guard.replay.records import late_day
from ml_guard.replay.topic import Topic


def stream_claims(topic: Topic, truth: Truth, seen: Observed) -> Iterator[Claim]:
    """The claims about ledgers, dead letters, and the closing of days, one after another."""
    yield _ledger_days(truth, seen)
    yield _duplicates(topic, truth, seen)
    yield _partitions(seen)
    yield _dead_letters(truth, seen)
    yield _closed(topic, truth, seen)
    yield _restated(topic, truth, seen)


def _ledger_days(truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    found: Counter[tuple[str, date]] = Counter()
    for row in seen.ledger_days:
        where = f"{row.project_id} {row.day}"
        tally.equal(f"{where} difference", row.difference, 0)
        parts = row.merged + row.dead + row.duplicate + row.deleted
        tally.equal(f"{where} decoded", row.decoded, parts)
        if row.day is not None:
            found[row.project_id, row.day] += row.merged
    for project_id, day in sorted(truth.merged.keys() | found.keys()):
        tally.equal(f"{project_id} {day} merged", found[project_id, day], truth.merged[project_id, day])
    return tally.claim("the ledger of every project and day balances, and merges what was sent")


def _duplicates(topic: Topic, truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    found: Counter[str] = Counter()
    for row in seen.ledger_days:
        found[row.project_id] += row.duplicate
    for project in topic.projects:
        project_id = topic.project_id(project)
        tally.equal(project_id, found[project_id], truth.duplicate[project_id])
    total = sum(truth.duplicate.values())
    return tally.claim(f"{total} events of batches that were sent twice count once")


def _partitions(seen: Observed) -> Claim:
    tally = Tally()
    for row in seen.partitions:
        where = f"partition {row.partition}"
        tally.equal(f"{where} difference", row.difference, 0)
        tally.equal(f"{where} lost", row.records_lost, 0)
        tally.equal(f"{where} stopped", row.stopped_reason, None)
    return tally.claim("the ledger of every partition balances, record by record")


def _dead_letters(truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    found = {(row.partition, row.offset, row.event_index): row.reason for row in seen.dead_letters}
    for place, reason in truth.dead.items():
        tally.equal(f"partition, offset, index {place}", found.get(place), reason)
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(truth.reasons.items()))
    return tally.claim(f"wrong events are dead letters at their place, with their reason ({reasons})")


def _closed(topic: Topic, truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    for key in truth.days:
        row = seen.metrics.get(key)
        if row is None:
            tally.fail(name(key), "no such day")
            continue
        over = row.day_end <= topic.now
        if not over and row.day_end <= datetime.now(timezone.utc):
            continue  # it ended while we looked
        tally.equal(name(key, "status"), row.status, "final" if over else "provisional")
        tally.equal(name(key, "revision"), row.revision >= 1, over)
        tally.equal(name(key, "complete"), row.complete, True)
    return tally.claim("past days are final and complete, the open day is provisional")


def _restated(topic: Topic, truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    for project, endpoint in topic.endpoints():
        key = DayKey(
            topic.project_id(project), endpoint.model_id, endpoint.endpoint, late_day(topic, project)
        )
        row = seen.metrics.get(key)
        if key in truth.days:
            tally.equal(name(key), row is not None and row.revision >= 2, True)
    return tally.claim("events that came after their day had closed restate it", bound="revision 2 or later")
