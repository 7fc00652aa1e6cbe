"""`ml-guard accept-loss`: what stands still because Kafka no longer has it, and may it be counted as lost?"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
from rich.text import Text

from ml_guard.cli import tables
from ml_guard.cli import wording as w
from ml_guard.cli.failures import CommandError
from ml_guard.cli.migrate import no_database, server_part, server_settings
from ml_guard.cli.output import AsJson, emit, say


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("accept-loss")(accept_loss)


def accept_loss(
    partition: Annotated[
        list[int] | None, typer.Option("--partition", help="Only this one; may be repeated.")
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option(
            "--topic",
            help="The database holds what was read from this topic, and is to be that of ML_GUARD_TOPIC: it was renamed.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let partitions go on that stand still because Kafka no longer has what they were to read; the ledger has it as lost.

    Says first what happened to each, and asks. Days that had been waiting for them close.

    With `--topic` it forgets where the reading of another topic stood, which this database was of, so that it can be that
    of ML_GUARD_TOPIC. What was counted stays; stop the workers of the other topic first.
    """
    settings, accepting = server_settings(), server_part("stream.ingest.accepting")
    if topic == settings.topic:
        raise CommandError(f"{topic} is ML_GUARD_TOPIC", "Name the topic that the database was of before.")
    if topic is not None and partition:
        raise CommandError("--topic is about all of its partitions", "Leave --partition out.")
    asked = accepting.misfits(settings) if topic is None else accepting.left_of(settings, topic)
    found: dict[int, str] = _run(settings, asked)
    chosen = {number: why for number, why in found.items() if not partition or number in partition}
    if chosen and not yes:
        for reason in chosen.values():
            say(reason)
        if not typer.confirm("Accept this?", err=True):
            raise CommandError("nothing was accepted", "Answer y, or give --yes.")
    accepted: list[Any] = []
    if chosen:
        accept = (
            accepting.accept(settings, set(chosen))
            if topic is None
            else accepting.accept_other(settings, topic)
        )
        accepted = _run(settings, accept)
    data = [
        {
            "topic": one.topic,
            "partition": one.partition,
            "reason": one.reason,
            "lost": one.lost,
            "next_offset": one.next_offset,
        }
        for one in accepted
    ]
    emit(data, as_json, lambda: _drawn(accepted, topic))


def _drawn(accepted: list[Any], topic: str | None) -> Any:
    made = tables.table(">partition", ">records lost", ">goes on at", "what happened")
    for one in accepted:
        goes_on = "nowhere" if one.next_offset is None else w.count(one.next_offset)
        made.add_row(str(one.partition), w.count(one.lost), goes_on, Text(one.reason))
    nothing = (
        "every partition fits its log"
        if topic is None
        else f"this database holds nothing that was read from {topic}"
    )
    return tables.rows_or(f"Nothing to accept: {nothing}.", made)


def _run(settings: Any, work: Any) -> Any:
    no_topic = server_part("stream.ingest.accepting").NoTopicError
    still_read = server_part("stream.ingest.misfit").StillReadError
    no_broker = server_part("stream.kafka").NoBrokerError
    try:
        return asyncio.run(work)
    except (no_topic, still_read) as error:
        raise CommandError(str(error)) from error
    except no_broker as error:
        raise CommandError(str(error), "ML_GUARD_KAFKA and ML_GUARD_KAFKA_* name broker and user.") from error
    except server_part("stream.store.refusal").REFUSED as error:
        raise no_database(settings, error) from error
