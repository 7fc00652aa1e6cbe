"""Does the product say the same as the oracle? A synthetic topic goes through it, and every claim is judged."""

from __future__ import annotations

from collections.abc import Iterator

from ml_guard.client import MLGuardClient
from ml_guard.errors import MLGuardError
from ml_guard.replay.claims import Claim
from ml_guard.replay.day_claims import day_claims
from ml_guard.replay.drift_claims import drift_claims
from ml_guard.replay.observe import observe
from ml_guard.replay.session import Session
from ml_guard.replay.stream_claims import stream_claims


def health_claim(client: MLGuardClient) -> Claim:
    """The first claim: the product answers."""
    try:
        status = client.health().status
    except MLGuardError as error:
        return Claim("the health endpoint says ok", False, str(error), '{"status":"ok"}')
    return Claim("the health endpoint says ok", status == "ok", f'{{"status":"{status}"}}', '{"status":"ok"}')


def run(session: Session) -> None:
    """Everything that must have happened before the claims can be judged."""
    session.create_projects()
    session.send("baseline")
    session.wait_folded()
    session.wait_settled()
    session.capture()
    session.wait_counting()
    session.send("scored")
    session.wait_folded()
    session.wait_settled()
    session.send("late")
    session.wait_folded()
    session.wait_settled(restated=True)


def judge(session: Session) -> Iterator[Claim]:
    """Every claim, one after another."""
    seen = observe(session.client, session.topic, session.truth)
    yield from day_claims(session.truth, seen)
    yield from stream_claims(session.topic, session.truth, seen)
    yield from drift_claims(session.topic, session.truth, seen)


def validate(session: Session) -> Iterator[Claim]:
    """The health claim; and if the product is there, the whole run and its claims."""
    health = health_claim(session.client)
    yield health
    if health.holds:
        run(session)
        yield from judge(session)
