"""Would Kafka take records of this client? Asked without sending one, and without making a topic."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Mapping
from typing import Any

from ml_guard.checking import Step
from ml_guard.transports.kafka_trouble import told

_DOORS = frozenset(("security_protocol", "ssl_context", "client_id", "api_version"))


def check(servers: str, topic: str, options: Mapping[str, Any], timeout_s: float) -> list[Step]:
    """The broker, and the topic on it. In a loop of its own, so that an event loop may ask too."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _check(servers, topic, options, timeout_s)).result()


async def _check(servers: str, topic: str, options: Mapping[str, Any], timeout_s: float) -> list[Step]:
    from aiokafka.admin import AIOKafkaAdminClient

    doors = {name: value for name, value in options.items() if name in _DOORS or name.startswith("sasl_")}
    admin = AIOKafkaAdminClient(
        bootstrap_servers=servers, request_timeout_ms=max(1, round(timeout_s * 1e3)), **doors
    )
    try:
        await asyncio.wait_for(admin.start(), timeout_s)
        topics = await asyncio.wait_for(admin.list_topics(), timeout_s)
    except Exception as error:
        seen = await told(servers, doors, error)
        return [Step("broker", False, seen, "check kafka= or ML_GUARD_KAFKA, and ML_GUARD_KAFKA_*")]
    finally:
        await admin.close()
    answers = Step("broker", True, f"Kafka at {servers} answers")
    if topic not in topics:
        seen = f"there is no topic {topic}, or it is not for this principal"
        return [
            answers,
            Step("topic", False, seen, "`ml-guard migrate` makes it; or allow Write and Describe"),
        ]
    return [answers, Step("topic", True, f"{topic} is there")]
