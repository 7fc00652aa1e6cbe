"""What does a client's report count, whichever way it came: as a request to the API, or in Kafka?

In Kafka a report is the header `ml_guard.reporting.HEADER` of a record without a value: it holds no event, and whoever
reads events passes it over.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from ml_guard.stats import DAYS_KEPT, LOSSES, NO_PROJECT
from stream.store.client_counts import ClientCount

Outcome = Literal["sent", "retried", "dropped"]
MOST_COUNTS = 2000
MOST_EVENTS = 10**15
OTHER = "other"
"""What a reason that this release does not know is counted as."""


class Said(Protocol):
    """One count of a report, however it was decoded."""

    @property
    def project_id(self) -> str: ...
    @property
    def day(self) -> date: ...
    @property
    def outcome(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def events(self) -> int: ...


class ReportedCount(msgspec.Struct, frozen=True):
    """Events of one UTC day and outcome since the client was made."""

    project_id: Annotated[str, Meta(max_length=256)]
    day: date
    outcome: Outcome
    events: Annotated[int, Meta(ge=0, le=MOST_EVENTS)]
    reason: Annotated[str, Meta(max_length=64)] = ""


class ClientReport(msgspec.Struct, frozen=True):
    """What a client counted so far."""

    client_id: Annotated[str, Meta(pattern=r"^[!-~]{8,64}\Z")]
    counts: Annotated[list[ReportedCount], Meta(max_length=MOST_COUNTS)]


_decode = msgspec.json.Decoder(ClientReport).decode


def read(header: bytes, *, max_bytes: int) -> ClientReport | None:
    """The report that a header holds; None if it is none, or a larger one than is read."""
    if len(header) > max_bytes:
        return None
    try:
        return _decode(header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def taken(counts: Sequence[Said], known: Container[str], now: datetime) -> list[ClientCount]:
    """Those counts that are kept: of projects that exist, or of none, and of a day that a client may still report."""
    oldest, newest = now.date() - timedelta(days=DAYS_KEPT), now.date() + timedelta(days=1)
    return [
        ClientCount(
            count.project_id,
            count.day,
            count.outcome,
            count.reason if count.reason in ("", *LOSSES) else OTHER,
            count.events,
        )
        for count in counts
        if (count.project_id in known or count.project_id == NO_PROJECT)
        and oldest <= count.day <= newest
        and count.events
    ]


def named(counts: Iterable[Said]) -> set[str]:
    """The projects of which they are."""
    return {count.project_id for count in counts} - {NO_PROJECT}
