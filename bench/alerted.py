"""How long after drifted events are sent does an alert about them reach Slack's receiver?

One worker with a baseline of a closed day. For each round a model that was calm gets a thousand events whose feature
has moved; the time runs from the first of them to the receiver's request that names the model. So broker, fold,
checkpoint, rollup, evaluation and delivery are all in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.events import make_projects, produce
from bench.fleet import Fleet
from bench.own_stack import own_stack
from stream.alerting.policies import Policy
from stream.closing.capture import capture
from stream.store.alerts import put_policy
from stream.store.pool import connect

WANTED_S = 10.0
BASELINE_EVENTS = 2_000
DRIFTED_EVENTS = 1_000
SHIFT = 12.0
"""In the feature's own unit; its standard deviation is 10."""


@contextmanager
def receiver(heard: list[tuple[float, str]]) -> Iterator[str]:
    """A web server that notes when each message came, and its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.append((time.monotonic(), json.loads(body)["text"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/services/bench"
    server.shutdown()
    thread.join()


def event(number: int, model: str, at: datetime, shift: float) -> bytes:
    """Event number `number` of a model."""
    values = random.Random(number)
    features = {"age": values.gauss(40 + shift, 10), "income": values.gauss(50, 5)}
    sent = {"project_id": "shop", "model_id": model, "timestamp": at.isoformat(), "features": features}
    return json.dumps(sent).encode()


async def run(kafka: str, database_url: str, topic: str, folder: Path, rounds: int) -> list[float]:
    """Seconds from the first drifted event to the message, a round each."""
    now = datetime.now(UTC)
    offset = 12 - now.hour  # noon there: no midnight comes in between
    await make_projects(database_url, {"shop": f"Etc/GMT{-offset:+d}" if offset else "UTC"})
    models = [f"model_{n}" for n in range(rounds)]
    heard: list[tuple[float, str]] = []
    found = []
    pool = await connect(database_url)
    with receiver(heard) as url:
        settings = {"grace_s": "0.2", "settle_s": "0.2", "alert_slack_url": url}
        with Fleet(kafka, database_url, topic, folder, settings) as fleet:
            fleet.start()
            yesterday = now - timedelta(days=1)
            for model in models:
                await produce(
                    kafka, topic, range(BASELINE_EVENTS), make=lambda n, m=model: event(n, m, yesterday, 0.0)
                )
            await fleet.drained()
            async with asyncio.timeout(60):
                while not await pool.fetchval("select bool_and(status = 'closed') from ml_guard.day_close"):
                    await asyncio.sleep(0.1)
            day = await pool.fetchval("select day from ml_guard.day_close")
            for model in models:
                await capture(pool, "shop", model, "predict", [day], captured_by="bench")
            async with pool.acquire() as connection:
                await put_policy(
                    connection, Policy("drift", "drift", project_id="shop", open_day=True), "bench"
                )
            for model in models:
                began = time.monotonic()
                await produce(
                    kafka,
                    topic,
                    range(DRIFTED_EVENTS),
                    make=lambda n, m=model: event(n, m, datetime.now(UTC), SHIFT),
                )
                async with asyncio.timeout(60):
                    while not (told := [at for at, text in heard if f"{model}/predict" in text]):
                        await asyncio.sleep(0.01)
                found.append(told[0] - began)
    pool.terminate()
    return found


async def on_own_stack(rounds: int) -> list[float]:
    """The whole of it on a stack of its own."""
    async with own_stack("alerted") as own:
        return await run(own.running.kafka, own.running.database_url, own.topic, own.workers, rounds)


def report(seconds: list[float]) -> Table:
    """The run as a table."""
    table = Table(title="Alerts: from the first drifted event to Slack's receiver")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_row("rounds", f"{len(seconds)}")
    table.add_row("p50", f"{np.quantile(seconds, 0.5):.2f} s")
    table.add_row("longest", f"{max(seconds):.2f} s")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    seconds = asyncio.run(on_own_stack(options.rounds))
    Console().print(report(seconds))
    return 0 if max(seconds) <= WANTED_S else 1


if __name__ == "__main__":
    raise SystemExit(main())
