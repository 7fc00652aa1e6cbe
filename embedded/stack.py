"""Where are Kafka and TimescaleDB? Starts both over one data folder and says their addresses.

By hand: `python -m embedded.stack /tmp/my-stack` starts one, prints its addresses and ends it on Ctrl-C.
"""

from __future__ import annotations

import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from embedded.database import launch as database
from embedded.kafka import broker
from embedded.process import HOST, Part, free_port


@dataclass(frozen=True)
class Stack:
    """A running Kafka and database. `kafka` is a bootstrap address, `database_url` a PostgreSQL URL."""

    kafka: str
    database_url: str
    kafka_part: Part
    database_part: Part

    def stop(self) -> None:
        """Ends both in order; their data stays."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Part.stop, (self.kafka_part, self.database_part)))


def start(data_dir: Path, kafka_port: int | None = None, database_port: int | None = None) -> Stack:
    """Starts Kafka and the database side by side; ports that are not given are free ones."""
    kafka_port, database_port = kafka_port or free_port(), database_port or free_port()
    logs = data_dir / "logs"
    with ThreadPoolExecutor(2) as pool:
        kafka = pool.submit(broker.start, data_dir / "kafka", kafka_port, logs / "kafka.log")
        postgres = pool.submit(database.start, data_dir / "database", database_port, logs / "database.log")
    started = [future.result() for future in (kafka, postgres) if future.exception() is None]
    for future in (kafka, postgres):
        if (failure := future.exception()) is not None:
            for part in started:
                part.stop()
            raise failure
    return Stack(f"{HOST}:{kafka_port}", database.url(database_port), kafka.result(), postgres.result())


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    stack = start(Path(sys.argv[1]).absolute())
    print(json.dumps({"kafka": stack.kafka, "database_url": stack.database_url}), flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        stack.stop()


if __name__ == "__main__":
    main()
