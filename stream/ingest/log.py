"""Which log is this, and which offsets does it hold now?

A topic that was deleted and created again has the same name but another topic id. aiokafka asks with an older
version of the metadata request that has no ids, so the newer one (brokers from 2.8) is spelled out here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from aiokafka import TopicPartition
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)


@dataclass(frozen=True, slots=True)
class Log:
    """One partition's log: what identifies it, and its offsets from `first` up to, not including, `end`."""

    identity: str | None
    first: int
    end: int


async def read_logs(consumer: Any, topic: str, partitions: Iterable[int]) -> dict[int, Log]:
    """The logs of these partitions, asked through a started aiokafka consumer; `end` is the last stable offset."""
    wanted = [TopicPartition(topic, partition) for partition in partitions]
    first = await consumer.beginning_offsets(wanted)
    end = await consumer.end_offsets(wanted)
    identity, _ = await _ask(consumer._client, topic)
    return {tp.partition: Log(identity, first[tp], end[tp]) for tp in wanted}


async def read_partitions(consumer: Any, topic: str) -> set[int]:
    """The partitions that the topic has at this moment; empty if the broker is too old to be asked."""
    return (await _ask(consumer._client, topic))[1]


async def _ask(client: Any, topic: str) -> tuple[str | None, set[int]]:
    """The topic's id and partitions, from the broker and not from what the client remembers."""
    try:
        answer = await client.send(client.get_random_node(), _TopicIds(topic))
    except NotImplementedError:  # what aiokafka raises where the broker is too old for the request
        return None, set()
    for _error, _name, topic_id, _internal, partitions, *_rest in answer.topics:
        if topic_id.int:
            return str(topic_id), {partition for _, partition, *_ in partitions}
    return None, set()


class _Uuid(AbstractType[uuid.UUID]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


_NO_ID = uuid.UUID(int=0)


class _TopicIdsResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _TopicIdsRequest(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _TopicIdsResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIds(Request[_TopicIdsRequest]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_TopicIdsRequest]) -> _TopicIdsRequest:
        return request_struct_class([(_NO_ID, self._topic, {})], False, False, False, {})
