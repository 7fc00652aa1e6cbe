"""What does a receipt of a removal say: which rows are gone, and until when may Kafka still hold the events?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from api.services import Services


class TopicKept(BaseModel):
    """A topic that may still hold events of a project; `until` null: until somebody deletes them."""

    topic: str
    until: datetime | None


class RowsRemoved(BaseModel):
    """How many rows of a table were removed."""

    table: str
    rows: int


async def kept_until(services: Services) -> dict[str, datetime | None]:
    """Each of our topics with the time until which it holds what is in it now; None: until somebody deletes it."""
    kept = await services.broker.kept_ms(services.settings.topic, services.settings.dead_topic)
    now = datetime.now(UTC)
    return {topic: None if ms is None else now + timedelta(milliseconds=ms) for topic, ms in kept.items()}


def rows_removed(rows: Mapping[str, int]) -> list[dict[str, Any]]:
    """The tables that lost rows."""
    return [{"table": table, "rows": count} for table, count in rows.items() if count]


def topics_kept(topics: Mapping[str, datetime | None]) -> list[dict[str, Any]]:
    """The topics, as a receipt lists them."""
    return [{"topic": topic, "until": until} for topic, until in topics.items()]
