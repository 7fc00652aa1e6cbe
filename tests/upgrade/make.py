"""How is the fixture of a release made? `python -m tests.upgrade.make NAME`: a small product's backup, and its raw values.

Run when a release is made, with the release's own code, and committed; never changed once the release is out.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from embedded.database import launch
from embedded.process import free_port
from stream.archive.taking import take
from stream.migrate import migrate
from tests.ingest.conftest import benches
from tests.ingest.product import MONDAY, in_toronto, local
from tests.upgrade.conftest import past

FIXTURES = Path(__file__).parent / "fixtures"
LIMIT_BYTES = 200_000


async def make(url: str, name: str) -> int:
    """Write the fixture into an empty database, and from there into its two files; how many bytes they have."""
    await migrate(url)
    async with benches(url) as make_bench, in_toronto(make_bench, local(MONDAY)) as product:
        raw = await past(product)
        backup, values = FIXTURES / f"{name}.zip", FIXTURES / f"{name}.json.gz"
        FIXTURES.mkdir(exist_ok=True)
        await take(url, backup, overwrite=True)
    with gzip.GzipFile(values, "wb", mtime=0) as out:
        out.write(json.dumps(raw).encode())
    return backup.stat().st_size + values.stat().st_size


def values_of(name: str) -> dict[str, dict[str, list[Any]]]:
    """By local day and feature, every value that a fixture's events had."""
    with gzip.open(FIXTURES / f"{name}.json.gz") as text:
        found: dict[str, dict[str, list[Any]]] = json.load(text)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="the release, such as 0.1.0")
    parser.add_argument("--again", action="store_true", help="replace it: the release is not out yet")
    chosen = parser.parse_args()
    if (FIXTURES / f"{chosen.name}.zip").exists() and not chosen.again:
        sys.stderr.write(
            f"{chosen.name} is there already; --again replaces it, if that release is not out yet\n"
        )
        return 1
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        part = launch.start(Path(folder) / "database", port, Path(folder) / "database.log")
        try:
            nbytes = asyncio.run(make(launch.url(port), chosen.name))
        finally:
            part.stop()
    sys.stdout.write(f"{FIXTURES / chosen.name}: {nbytes:,} bytes\n")
    return 0 if nbytes <= LIMIT_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
