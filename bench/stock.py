"""How fast is Faust as it comes? A worker whose agent takes batches of raw records and does nothing with them.

Run by bench/throughput.py as a process of its own: prints one line of JSON when it has seen enough records.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import tempfile
import time

import faust

TAKE = 1_000


def main() -> None:
    kafka, topic, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
    logging.disable(logging.WARNING)
    app = faust.App(
        f"stock-{topic}",
        broker=f"aiokafka://{kafka}",
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="stock-faust-"),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    source = app.topic(topic, value_type=bytes, value_serializer="raw")
    seen, began, cpu = 0, 0.0, 0.0
    done = asyncio.Event()

    async def count(stream: faust.StreamT[bytes]) -> None:
        nonlocal seen, began, cpu
        async for batch in stream.take(TAKE, within=1.0):
            if not seen:
                began, cpu = time.monotonic(), time.process_time()
            seen += len(batch)
            if seen >= wanted:
                done.set()

    app.agent(source, name="count")(count)

    async def run() -> None:
        await app.start()
        await done.wait()
        seconds, used = time.monotonic() - began, time.process_time() - cpu
        # The clock began with the first batch, which is therefore not counted.
        print(json.dumps({"events": seen - TAKE, "seconds": seconds, "cpu_seconds": used}), flush=True)
        os._exit(0)

    asyncio.get_event_loop_policy().get_event_loop().run_until_complete(run())


if __name__ == "__main__":
    main()
