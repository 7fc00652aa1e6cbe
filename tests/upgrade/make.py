"""How is the fixture of a release made? `python -m tests.upgrade.make NAME`: a small product's backup, its raw values, and
the code of its worker.

Run when a release is made, with the release's own code, and committed; never changed once the release is out.
`--worker-of FOLDER` writes the code alone, from another tree: schema-017's is that of the commit before migration 018.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
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
ROOT = FIXTURES.parents[2]
LIMIT_BYTES = 200_000
_LOADED = """
import sys, stream.__main__
print(*(module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "ml_guard"), sep="\\n")
"""


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


def keep_worker(tree: Path, name: str) -> int:
    """Write what a worker of that tree runs: `stream`, `sql`, and what it loads of `ml_guard`; how many bytes that is."""
    loaded = subprocess.run(
        [sys.executable, "-c", _LOADED],
        env=os.environ | path_of(tree),
        check=True,
        capture_output=True,
        text=True,
    )
    files = [
        *(tree / "stream").rglob("*.py"),
        *(tree / "sql").glob("*.sql"),
        *map(Path, loaded.stdout.split()),
    ]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path in sorted(files):
            entry = tarfile.TarInfo(path.relative_to(tree).as_posix())
            entry.size = path.stat().st_size
            archive.addfile(entry, io.BytesIO(path.read_bytes()))
    return worker_of(name).write_bytes(lzma.compress(out.getvalue(), preset=9))


def worker_of(name: str) -> Path:
    """Where the code of a release's worker is kept."""
    return FIXTURES / f"{name}.worker.tar.xz"


def unpacked(name: str, folder: Path) -> Path:
    """The code of a release's worker, in a folder."""
    shutil.unpack_archive(worker_of(name), folder)
    return folder


def path_of(tree: Path) -> dict[str, str]:
    """With this in its environment Python finds the code of that tree, and not that of the folder that it is started in."""
    return {"PYTHONPATH": f"{tree}:{tree / 'sdk'}", "PYTHONSAFEPATH": "1"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="the release, such as 0.1.0")
    parser.add_argument("--again", action="store_true", help="replace it: the release is not out yet")
    parser.add_argument(
        "--worker-of", type=Path, metavar="FOLDER", help="only the code of its worker, from this tree"
    )
    chosen = parser.parse_args()
    if chosen.worker_of:
        nbytes = keep_worker(chosen.worker_of.resolve(), chosen.name)
        sys.stdout.write(f"{worker_of(chosen.name)}: {nbytes:,} bytes\n")
        return 0 if nbytes <= LIMIT_BYTES else 1
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
    code = keep_worker(ROOT, chosen.name)
    sys.stdout.write(f"{FIXTURES / chosen.name}: {nbytes:,} bytes, its worker {code:,}\n")
    return 0 if max(nbytes, code) <= LIMIT_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
