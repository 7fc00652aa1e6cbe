"""What does the SDK cost its host: a call, the import, the end of the process, the installation?

A call is timed with the bridge dead and alive, in bursts with pauses as a service has them; import and exit in fresh
processes, each exit beside that of the same process without events. Of several rounds the best counts, as in `timeit`:
what else the machine does makes a round longer, never shorter.
"""

from __future__ import annotations

import argparse
import gc
import http.server
import json
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import zipfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ml_guard import MLGuardClient

ROOT = Path(__file__).parents[1]
DEAD = "http://127.0.0.1:9"
WANTED_P99_US = 25.0
WANTED_IMPORT_MS = 100.0
WANTED_EXIT_MS = 50.0
WANTED_MB = 5.0
BURST = 1000
FEATURES = {**{f"f{i}": i * 1.37 for i in range(10)}, "country": "CA", "active": True}
DEPENDENCIES = (
    "msgspec",
    "httpx",
    "httpcore",
    "h11",
    "anyio",
    "certifi",
    "idna",
    "sniffio",
    "typing_extensions",
)


class _Bridge(http.server.BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = b'{"accepted": 0, "rejected": 0, "results": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


_SERVER = """
import http.server, sys
from bench.sdk import _Bridge
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Bridge)
print(server.server_port, flush=True)
server.serve_forever()
"""


def calls(url: str, number: int) -> tuple[float, float]:
    """p50 and p99 of a call in microseconds; the queue never fills, as it does not in a service."""
    took: list[int] = []
    with MLGuardClient(url, max_queue=number + 1) as client:
        for i in range(number):
            if i % BURST == 0:
                time.sleep(0.002)
            start = time.perf_counter_ns()
            client.ingest_event(
                project_id="p", model_id="m", latency_ms=4.2, y_pred=1, y_proba=0.8, features=FEATURES
            )
            took.append(time.perf_counter_ns() - start)
        client.close(0.1)
    took.sort()
    return took[len(took) // 2] / 1e3, took[int(len(took) * 0.99)] / 1e3


def machine_us(number: int) -> float:
    """p99 of `json.dumps` of the same features: what of a call's p99 is the machine's and not ours."""
    took: list[int] = []
    for _ in range(number):
        start = time.perf_counter_ns()
        json.dumps(FEATURES)
        took.append(time.perf_counter_ns() - start)
    took.sort()
    return took[int(len(took) * 0.99)] / 1e3


def import_ms(repeats: int) -> float:
    """Processor time of `from ml_guard import MLGuardClient` in a fresh process: it waits for nothing."""
    clock = "time.process_time()"
    script = f"import time; s = {clock}; from ml_guard import MLGuardClient; print({clock} - s)"
    times = [
        float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout) * 1e3
        for _ in range(repeats)
    ]
    return min(times)


def exit_ms(repeats: int, *, waited: bool) -> float:
    """How much longer the end of a process takes with 1,000 events in the queue and no server.

    From the last line of the program to its last exit hook, less the same with a client that was never used; with
    `waited`, after the server has been found away.
    """
    script = textwrap.dedent("""
    import atexit, sys, time
    from ml_guard import MLGuardClient
    client = MLGuardClient(sys.argv[1], project_id="p", model_id="m")
    if sys.argv[2] != "unused":
        for _ in range(1000):
            client.ingest_event(y_pred=1)
        while sys.argv[2] == "waited" and not client.stats().retries:
            client.flush(0.01)
    started = time.perf_counter()
    atexit.register(lambda: print(time.perf_counter() - started))
    """)

    def best(mode: str) -> float:
        command = [sys.executable, "-c", script, DEAD, mode]
        runs = (subprocess.run(command, capture_output=True, check=True).stdout for _ in range(repeats))
        return min(map(float, runs)) * 1e3

    return best("waited" if waited else "at once") - best("unused")


def sizes_mb() -> tuple[float, float]:
    """The wheel, and the wheel with what it needs, packed as they are downloaded."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
            check=True, cwd=ROOT, capture_output=True,
        )  # fmt: skip
        (wheel,) = Path(folder).glob("*.whl")
        own = wheel.stat().st_size
        installed = Path(sys.modules["msgspec"].__file__ or "").parents[1]
        packed = Path(folder) / "needs.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in DEPENDENCIES:
                found = installed / name
                files = found.rglob("*") if found.is_dir() else [installed / f"{name}.py"]
                for path in files:
                    if path.is_file() and "__pycache__" not in path.parts:
                        archive.write(path)
        return own / 1e6, (own + packed.stat().st_size) / 1e6


def main() -> int:
    """Measure and print; 1 if a bound was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    import logging

    logging.getLogger("ml_guard").setLevel(logging.ERROR)
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert server.stdout is not None
    alive = f"http://127.0.0.1:{server.stdout.readline().strip()}"
    try:
        figures = {
            name: min(
                (calls(url, options.calls) for _ in range(options.repeats)), key=lambda round_: round_[1]
            )
            for name, url in (("dead", DEAD), ("alive", alive))
        }
    finally:
        server.terminate()
        server.wait()
    machine = min(machine_us(options.calls) for _ in range(options.repeats))
    wheel, installed = sizes_mb()
    rows = [
        ("a call, bridge dead, p50", figures["dead"][0], "us", None),
        ("a call, bridge dead, p99", figures["dead"][1], "us", WANTED_P99_US),
        ("a call, bridge alive, p50", figures["alive"][0], "us", None),
        ("a call, bridge alive, p99", figures["alive"][1], "us", None),
        ("beside it: json.dumps of the features, p99", machine, "us", None),
        ("import, processor time", import_ms(options.repeats), "ms", WANTED_IMPORT_MS),
        ("longer end, server known to be away", exit_ms(options.repeats, waited=True), "ms", WANTED_EXIT_MS),
        ("longer end, server not yet asked", exit_ms(options.repeats, waited=False), "ms", WANTED_EXIT_MS),
        ("wheel", wheel, "MB", None),
        ("wheel and what it needs, packed", installed, "MB", WANTED_MB),
    ]
    table = Table("what", "figure", "bound", title="SDK", title_justify="left")
    for what, figure, unit, bound in rows:
        table.add_row(what, f"{figure:,.2f} {unit}", "" if bound is None else f"{bound:g} {unit}")
    Console().print(table)
    return int(any(bound is not None and figure > bound for _, figure, _, bound in rows))


if __name__ == "__main__":
    gc.freeze()
    assert threading.active_count() == 1
    raise SystemExit(main())
