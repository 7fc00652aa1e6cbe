"""Is each part of ML Guard well? Asks broker, database, schema, topics, workers, lag, ledger and API themselves."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError

from embedded import status
from ml_guard.errors import ConfigError
from stream.kafka import NoBrokerError, connection, no_broker
from stream.migrate import MigrationError, check_server, pending
from stream.settings import Settings
from stream.store import accounts, aggregates, client_counts
from stream.store.one_topic import other_topics, refusal
from stream.store.refusal import REFUSED, NoDatabaseError, why

ANSWER_TIMEOUT_S = 10.0
REFRESH_S = 300.0
"""A job of the database does it every half minute."""

Ends = dict[str, dict[int, int]]
"""Where each partition of each topic ends."""


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is well, and what was seen; `remedy` says what to do where it is not."""

    what: str
    ok: bool
    seen: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


async def examine(settings: Settings) -> list[Finding]:
    """Every check, in the order in which one rests on the other."""
    ends = await _guarded("broker", lambda: _end_offsets(settings), "is Kafka running? `ml-guard status`")
    findings = [_broker(settings, ends)]
    if isinstance(ends, dict):
        findings += _topics(settings, ends)
        if ends[settings.topic]:
            whose = await _guarded("times of records", lambda: _times(settings), "see docs/event.md")
            findings += [whose] if whose is not None else []
    connection = await _guarded("database", lambda: _connect(settings), "is it running? `ml-guard status`")
    if isinstance(connection, Finding):
        return [*findings, connection, *await _api(settings)]
    try:
        findings += await _database(connection, settings, ends if isinstance(ends, dict) else {})
    finally:
        await connection.close()
    return [*findings, *await _api(settings)]


def parts() -> list[Finding]:
    """What the supervisor knows of the embedded stack's processes; nothing where none was started."""
    state = status.read()
    findings = []
    for part in state["parts"]:
        crash = part["last_crash"]
        seen = (
            part["state"] if not part["restarts"] else f"{part['state']}, restarted {part['restarts']} times"
        )
        if crash:
            seen += f"; at {crash['at']} it {crash['how']} {' '.join(crash['last_lines'][-1:])}".rstrip()
        findings.append(
            Finding(
                f"process {part['name']}",
                part["state"] == "running",
                seen,
                "see its log with `ml-guard status`",
            )
        )
    return findings


async def _guarded(what: str, ask: Callable[[], Awaitable[Any]], remedy: str) -> Any:
    try:
        return await asyncio.wait_for(ask(), ANSWER_TIMEOUT_S)
    except TimeoutError:
        return Finding(what, False, f"no answer within {ANSWER_TIMEOUT_S:.0f} s", remedy)
    except ConfigError as failure:
        return Finding(what, False, str(failure), "see docs/security.md")
    except (NoBrokerError, NoDatabaseError) as failure:
        return Finding(what, False, str(failure), remedy)
    except (OSError, KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError) as failure:
        return Finding(what, False, f"{type(failure).__name__}: {failure}", remedy)


async def _end_offsets(settings: Settings) -> Ends:
    """The end of each partition of both topics; a topic that is not there has none."""
    topics = [settings.topic, settings.dead_topic]
    client = connection(settings)
    admin = AIOKafkaAdminClient(**client)
    consumer = AIOKafkaConsumer(**client, isolation_level="read_committed")
    try:
        await admin.start()
        await consumer.start()
        partitions = [
            TopicPartition(topic["topic"], each["partition"])
            for topic in await admin.describe_topics(topics)
            for each in topic["partitions"]
        ]
        consumer.assign(partitions)
        offsets = await consumer.end_offsets(partitions) if partitions else {}
    except KafkaConnectionError as error:
        raise await no_broker(client, error) from error
    finally:
        await consumer.stop()
        await admin.close()
    return {
        topic: {place.partition: end for place, end in offsets.items() if place.topic == topic}
        for topic in topics
    }


async def _connect(settings: Settings) -> asyncpg.Connection[Any]:
    try:
        return await asyncpg.connect(settings.database_url, timeout=ANSWER_TIMEOUT_S)
    except REFUSED as error:
        raise NoDatabaseError(why(settings.database_url, error)) from error


def _broker(settings: Settings, ends: Any) -> Finding:
    return ends if isinstance(ends, Finding) else Finding("broker", True, f"answers at {settings.kafka}")


def _topics(settings: Settings, ends: Ends) -> list[Finding]:
    found = []
    for topic, partitions in ends.items():
        seen = (
            f"{len(partitions)} partitions, {sum(partitions.values())} records"
            if partitions
            else "is not there"
        )
        found.append(
            Finding(f"topic {topic}", bool(partitions), seen, "`ml-guard migrate --topics` creates it")
        )
    return found


async def _times(settings: Settings) -> Finding | None:
    """Whose clock dates the records of events; nothing where this login may not ask."""
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, settings.topic)])
    finally:
        await admin.close()
    values = {
        entry[0]: entry[1] for answer in answers for *_, entries in answer.resources for entry in entries
    }
    kind = values.get("message.timestamp.type")
    if kind is None:
        return None
    return Finding(
        "times of records",
        kind == "LogAppendTime",
        "the broker's"
        if kind == "LogAppendTime"
        else f"{settings.topic} takes those of its producers ({kind}): "
        "a producer whose clock is wrong decides how long a retry is known, and what is too far ahead",
        f"kafka-configs.sh --alter --topic {settings.topic} --add-config message.timestamp.type=LogAppendTime",
    )


async def _database(connection: Any, settings: Settings, ends: Ends) -> list[Finding]:
    try:
        await check_server(connection)
        behind = await pending(connection)
    except MigrationError as trouble:
        return [Finding("schema", False, str(trouble), "use the release that this database belongs to")]
    version = await connection.fetchval("select extversion from pg_extension where extname = 'timescaledb'")
    findings = [Finding("database", True, f"answers, TimescaleDB {version}")]
    if behind:
        names = ", ".join(f"{one.number:03}_{one.name}" for one in behind)
        return [*findings, Finding("schema", False, f"lacks {names}", "run `ml-guard migrate`")]
    number = await connection.fetchval("select max(number) from ml_guard.migration")
    findings.append(Finding("schema", True, f"version {number}, current"))
    refused = refusal(settings.topic, await other_topics(connection, settings.topic))
    if refused is not None:
        findings.append(Finding("topic of the database", False, refused, "see docs/security.md"))
    fences = await accounts.partitions(connection, settings.topic)
    if refused is None:
        rows = {row["partition"]: row for row in fences}
        findings += _partitions(settings, rows, ends.get(settings.topic, {}))
    ledgers = [await _ledger(connection, fences), await _clients(connection)]
    return [*findings, *ledgers, *await aggregates_wait(connection)]


def _partitions(settings: Settings, fences: dict[int, Any], ends: dict[int, int]) -> list[Finding]:
    """Heartbeat and lag, partition by partition."""
    findings = []
    for number in sorted(ends.keys() | fences.keys()):
        what, fence = f"partition {number}", fences.get(number)
        if fence is None:
            findings.append(Finding(what, False, "has never had a worker", "start one: `ml-guard up`"))
            continue
        age, lag = fence["heartbeat_age_s"], max(0, ends.get(number, 0) - fence["next_offset"])
        heard = "no heartbeat" if age is None else f"heartbeat {age:.1f} s ago"
        seen = f"{fence['owner']}, {heard}, lag {lag}"
        if fence["stopped_reason"]:
            findings.append(
                Finding(
                    what,
                    False,
                    f"{seen}; stopped: {fence['stopped_reason']}",
                    "`ml-guard accept-loss`, or restore the log",
                )
            )
        elif age is None or age > settings.ready_silence_s:
            findings.append(Finding(what, False, seen, "is a worker running? `ml-guard status`"))
        else:
            findings.append(
                Finding(what, lag <= settings.ready_lag, seen, "start more workers (ML_GUARD_WORKERS)")
            )
    return findings


async def _ledger(connection: Any, fences: list[Any]) -> Finding:
    """Both ledgers: records by partition, events by project-day."""
    records = sum(abs(fence["difference"] or 0) for fence in fences)
    events = await accounts.day_difference(connection)
    seen = (
        "balances"
        if records == 0 and events == 0
        else f"{records} records and {events} events are unaccounted for"
    )
    return Finding("ledger", records == 0 and events == 0, seen, "see `ml-guard ledger`")


async def _clients(connection: Any) -> Finding:
    """What clients lost today and yesterday, before anything of ours saw it."""
    lost = await client_counts.lost_since(connection, (datetime.now(UTC) - timedelta(days=1)).date())
    seen = ", ".join(f"{events:,} events lost: {reason}" for reason, events in lost.items())
    remedy = "the clients' logs name cause and cure; see `ml-guard ledger`"
    return Finding("clients", not lost, seen or "report no loss since yesterday", remedy)


async def aggregates_wait(connection: Any) -> list[Finding]:
    """Ranges of the traffic aggregates that the owner's job leaves waiting; nothing, if it does its work."""
    ranges, longest_s = await aggregates.waiting(connection)
    if longest_s < REFRESH_S:
        return []
    return [
        Finding(
            "aggregates",
            False,
            f"{ranges} ranges of traffic by hour and day wait to be refreshed, one for {longest_s:.0f} s",
            "are TimescaleDB's jobs run? timescaledb_information.job_errors; the owner may `call "
            "ml_guard.refresh_aggregates()`",
        )
    ]


async def _api(settings: Settings) -> list[Finding]:
    url = f"http://{settings.api_host}:{settings.api_port}/api/v1/health"

    def ask() -> tuple[bool, str]:
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_TIMEOUT_S) as answer:
                body = json.load(answer)
        except (OSError, ValueError, urllib.error.HTTPError) as failure:
            return False, f"{url}: {failure}"
        return body == {"status": "ok"}, f"{url} answers {json.dumps(body)}"

    ok, seen = await asyncio.to_thread(ask)
    return [Finding("api", ok, seen, "is it running? `ml-guard status`")]
