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
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let partitions go on that stand still because Kafka no longer has what they were to read; the ledger has it as lost.

    Says first what happened to each, and asks. Days that had been waiting for them close.
    """
    settings, accepting = server_settings(), server_part("stream.ingest.accepting")
    found: dict[int, str] = _run(settings, accepting.misfits(settings))
    chosen = {number: why for number, why in found.items() if not partition or number in partition}
    if chosen and not yes:
        for reason in chosen.values():
            say(reason)
        if not typer.confirm("Accept this?", err=True):
            raise CommandError("nothing was accepted", "Answer y, or give --yes.")
    accepted = _run(settings, accepting.accept(settings, set(chosen))) if chosen else []
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
    emit(data, as_json, lambda: _drawn(accepted))


def _drawn(accepted: list[Any]) -> Any:
    made = tables.table(">partition", ">records lost", ">goes on at", "what happened")
    for one in accepted:
        goes_on = "nowhere" if one.next_offset is None else w.count(one.next_offset)
        made.add_row(str(one.partition), w.count(one.lost), goes_on, Text(one.reason))
    return tables.rows_or("Nothing to accept: every partition fits its log.", made)


def _run(settings: Any, work: Any) -> Any:
    no_topic = server_part("stream.ingest.accepting").NoTopicError
    no_broker = server_part("stream.kafka").NoBrokerError
    try:
        return asyncio.run(work)
    except no_topic as error:
        raise CommandError(str(error)) from error
    except no_broker as error:
        raise CommandError(str(error), "ML_GUARD_KAFKA and ML_GUARD_KAFKA_* name broker and user.") from error
    except server_part("stream.store.refusal").REFUSED as error:
        raise no_database(settings, error) from error
