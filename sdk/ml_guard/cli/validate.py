"""`ml-guard validate`: is what the product says true?"""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from ml_guard.cli.connection import address
from ml_guard.cli.failures import NEGATIVE
from ml_guard.cli.options import maybe_day
from ml_guard.cli.output import AsJson, emit, stdout
from ml_guard.cli.replay import Anchor, Events, EventsTopic, Kafka, Seed, needs_replay_extra
from ml_guard.cli.reporting import Reporter
from ml_guard.cli.starting import stack_for_a_while
from ml_guard.client import MLGuardClient

if TYPE_CHECKING:
    from ml_guard.replay.claims import Claim

SHOWN = 5
"""What is wrong, claim by claim, is shown up to this many lines."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(validate)


def validate(
    context: typer.Context,
    seed: Seed = 1,
    events: Events = 60_000,
    anchor: Anchor = None,
    suffix: Annotated[
        str | None, typer.Option(help="Appended to the project ids; by default a new one a run.")
    ] = None,
    start: Annotated[
        bool, typer.Option("--start", help="If no stack answers, start one and end it again; its data stays.")
    ] = False,
    kafka: Kafka = None,
    topic: EventsTopic = "ml_guard.events",
    as_json: AsJson = False,
) -> None:
    """Send a synthetic topic and compare all that the product says about it with an oracle.

    The oracle recomputes everything from the raw events and knows nothing of the product's code. Prints a line a
    claim, PASS or FAIL, with the number that decides and its bound. Ends with exit code 1 if one fails.
    """
    needs_replay_extra()
    from ml_guard.replay.session import Session
    from ml_guard.replay.topic import make_topic
    from ml_guard.replay.validate import validate as run

    made = make_topic(
        seed,
        anchor=maybe_day(anchor, "--anchor"),
        events=events,
        suffix=suffix or f"check-{secrets.token_hex(3)}",
        calendar_days=True,
    )
    claims = []
    stack = stack_for_a_while(context, kafka) if start else nullcontext(address(context, kafka))
    with stack as where, MLGuardClient(base_url=where.url, api_key=where.api_key) as api:
        session = Session(api, made, where.kafka, events_topic=topic, reporter=Reporter())
        for claim in run(session):
            claims.append(claim)
            if not as_json:
                _show(claim)
    failed = sum(not claim.holds for claim in claims)
    if as_json:
        emit({"passed": len(claims) - failed, "failed": failed, "claims": claims}, True, str)
    else:
        stdout().print(f"\n{len(claims) - failed} claims hold, {failed} do not.")
    if failed:
        raise typer.Exit(NEGATIVE)


def _show(claim: Claim) -> None:
    console, line = stdout(), claim.line()
    console.print(f"[{'good' if claim.holds else 'bad'}]{line[:4]}[/]", end="")
    console.print(line[4:], markup=False, soft_wrap=True)
    for wrong in () if claim.holds else claim.wrong[:SHOWN]:
        console.print(f"      {wrong}", markup=False, style="quiet", soft_wrap=True)
