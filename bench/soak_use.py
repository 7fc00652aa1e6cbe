"""Who uses the product while a soak's events go through it? Readers, a follower, a sender by the bridge, visitors."""

from __future__ import annotations

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta

import httpx

from bench.events import Series
from bench.soak_result import OK, Soak

KEY = "bench-soak"
READ_S, OPEN_S, TRICKLE_S = 1.0, 15.0, 1.0
TRICKLE = 10
"""Events a request of the bridge's own project."""
READS = (
    "/metrics/daily",
    "/features/daily",
    "/drift/daily",
    "/ledger",
    "/models",
    "/latency?project_id=soak_a&model_id=churn&from={begin}&to={end}",
    "/alerts",
)
HOUR = timedelta(hours=1)


async def ask(client: httpx.AsyncClient, result: Soak) -> None:
    """Lists of the API, one after the other."""
    for path in itertools.cycle(READS):
        began, now = time.monotonic(), datetime.now(UTC)
        hour = {"begin": f"{now - HOUR:%Y-%m-%dT%H:%M:%SZ}", "end": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        try:
            answer = await client.get(path.format(**hour))
            result.read[answer.status_code] += 1
            result.read_s.append(time.monotonic() - began)
        except httpx.HTTPError:
            result.read[0] += 1
        await asyncio.sleep(READ_S)


async def follow(client: httpx.AsyncClient, result: Soak) -> None:
    """The live stream, which must not end."""
    while True:
        try:
            async with client.stream("GET", "/live") as stream:
                async for line in stream.aiter_lines():
                    result.lived += line.startswith("event: metric")
            result.wrong.append("the live stream has ended")
        except httpx.HTTPError as error:
            result.wrong.append(f"the live stream has ended: {error!r}")
        await asyncio.sleep(1)


async def send_through_the_bridge(
    client: httpx.AsyncClient, series: Series, producing: asyncio.Future[None], result: Soak
) -> None:
    """A few events a second, each request until it is answered `ok`."""
    while not producing.done():
        numbers = range(result.bridged, result.bridged + TRICKLE)
        body = b"[" + b",".join(map(series.event_json, numbers)) + b"]"
        headers = {"Idempotency-Key": f"soak-{numbers.start}", "Content-Type": "application/json"}
        while True:
            try:
                answer = await client.post("/events", content=body, headers=headers)
                if answer.status_code == OK:
                    break
            except httpx.HTTPError:
                pass
            result.refused += 1
            await asyncio.sleep(1)
        result.bridged = numbers.stop
        await asyncio.sleep(TRICKLE_S)


async def visit(visitor: httpx.AsyncClient, result: Soak) -> None:
    """Pages of the dashboard; each visit makes a session that must go again."""
    entered = await visitor.post("/login", data={"key": KEY, "next": ""})
    if entered.status_code != httpx.codes.SEE_OTHER:
        raise RuntimeError(f"/login of the dashboard answered {entered.status_code}")
    model = "project=soak_a&model=churn&endpoint=predict"
    for query in itertools.cycle(
        ("page=overview", f"page=model&{model}", f"page=feature&{model}&feature=age")
    ):
        try:
            result.opened[(await visitor.get(f"/?{query}")).status_code] += 1
        except httpx.HTTPError:
            result.opened[0] += 1
        await asyncio.sleep(OPEN_S)
