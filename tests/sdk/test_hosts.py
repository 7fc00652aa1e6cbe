"""Does every event arrive from the servers and workers that people run, and do they end as they would without us?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedded.process import free_port
from ml_guard.delivery import EXIT_TIMEOUT_WHEN_GONE_S
from ml_guard.outbox import EXIT_TIMEOUT_S
from tests.sdk.test_client import wait_for

WSGI = """
import os
from ml_guard import MLGuardClient
client = MLGuardClient(model_id="m")
client.ingest_event(endpoint="master")

@client.monitor(features=lambda number: {"number": number})
def predict(number):
    return number

def app(environ, start_response):
    predict(int(environ["PATH_INFO"][1:]))
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""
ASGI = """
import os
from fastapi import FastAPI
from ml_guard import MLGuardClient
from ml_guard.asgi import MLGuardMiddleware
client = MLGuardClient(model_id="m")
app = FastAPI()
app.add_middleware(MLGuardMiddleware, client=client)

@app.get("/{number}")
async def answer(number: int) -> int:
    return os.getpid()
"""
TASKS = """
import os
from celery import Celery
from ml_guard import MLGuardClient
folder = os.environ["FOLDER"]
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": folder, "data_folder_out": folder}
app.conf.worker_hijack_root_logger = False
client = MLGuardClient(model_id="m")
client.ingest_event(endpoint="imported")

@app.task
def score(number):
    client.ingest_event(features={"number": number, "child": os.getpid() != os.getppid()}, y_pred=number)
    open(f"{os.environ['DONE']}/{number}", "w").close()
"""


def environment(bridge: Any, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "ML_GUARD_URL": bridge.url,
        "ML_GUARD_PROJECT": "p",
        "ML_GUARD_API_KEY": "k",
        **more,
    }


@contextmanager
def running(command: list[str], folder: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def ended(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(60)


def asked(port: int, numbers: range) -> set[str]:
    """The processes that answered."""
    answers: set[str] = set()
    for number in numbers:
        answers.add(httpx.get(f"http://127.0.0.1:{port}/{number}").text)
    return answers


def answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/0", timeout=10)
    except httpx.TransportError:
        return False
    return True


def test_gunicorn_with_preload(bridge: Any, tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(WSGI)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--preload",
        "-w",
        "2",
        "-b",
        f"127.0.0.1:{port}",
        "host:app",
    ]
    with running(command, tmp_path, environment(bridge)) as server:
        wait_for(lambda: answers(port), 60)
        asked(port, range(1, 101))
        assert ended(server) == 0
    numbers = [event.features["number"] for event in bridge.events if event.endpoint == "predict"]
    assert sorted(n for n in numbers if n) == list(range(1, 101))
    assert [event.endpoint for event in bridge.events].count("master") == 1


def test_uvicorn_with_workers(bridge: Any, tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(ASGI)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "host:app", "--workers", "2", "--port", str(port)]
    with running(command, tmp_path, environment(bridge)) as server:
        wait_for(lambda: answers(port), 60)
        before = len(bridge.events)
        asked(port, range(1, 101))
        ended(server)
    assert len(bridge.events) >= 101 > before
    assert {event.endpoint for event in bridge.events} == {"{number}"}
    assert all(event.latency_ms > 0 for event in bridge.events)


def test_celery_with_forked_children(bridge: Any, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    queue, done = tmp_path / "queue", tmp_path / "done"
    queue.mkdir()
    done.mkdir()
    environ = environment(bridge, FOLDER=str(queue), DONE=str(done), ML_GUARD_ENABLED="0")
    send = "from tasks import score\nfor i in range(60): score.delay(i)"
    subprocess.run([sys.executable, "-c", send], cwd=tmp_path, env=environ, check=True, timeout=60)
    environ["ML_GUARD_ENABLED"] = "1"
    command = [
        sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "2",
        "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING",
    ]  # fmt: skip
    with running(command, tmp_path, environ) as worker:
        wait_for(lambda: len(list(done.iterdir())) == 60, 90)
        assert ended(worker) == 0, (tmp_path / "log").read_text()
    scored = [event for event in bridge.events if event.endpoint == "predict"]
    assert sorted(event.features["number"] for event in scored) == list(range(60))
    assert [event.endpoint for event in bridge.events].count("imported") == 1


def test_a_notebook_whose_cell_is_run_again_and_again(bridge: Any) -> None:
    """Each run makes a client anew; the one before it is let go, sends what it has and ends its thread."""
    script = textwrap.dedent("""
    import code, gc, threading, time
    cell = (
        "from ml_guard import MLGuardClient\\n"
        "client = MLGuardClient(model_id='m')\\n"
        "client.ingest_event(y_pred=1)\\n"
    )
    shell = code.InteractiveInterpreter()
    for _ in range(10):
        assert not shell.runsource(cell, symbol="exec")
        gc.collect()
    deadline = time.monotonic() + 20
    while threading.active_count() > 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    print(threading.active_count())
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(bridge), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "2", "")
    assert len(bridge.events) == 10


def test_a_notebook_whose_kernel_is_killed_and_started_again_loses_nothing_on_disk(
    bridge: Any, tmp_path: Path
) -> None:
    cell = textwrap.dedent("""
    import os, signal, sys
    from ml_guard import MLGuardClient
    client = MLGuardClient(sys.argv[1], model_id="m", spill_dir=sys.argv[2])
    client.ingest_event(endpoint=sys.argv[3])
    if sys.argv[3] == "killed":
        while not client.stats().spilled:
            client.flush(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    """)

    def kernel(url: str, name: str) -> int:
        command = [sys.executable, "-c", cell, url, str(tmp_path), name]
        return subprocess.run(command, env=environment(bridge), timeout=60, check=False).returncode

    assert kernel("http://127.0.0.1:9", "killed") == -9
    assert kernel(bridge.url, "restarted") == 0
    assert {event.endpoint for event in bridge.events} == {"killed", "restarted"}


ENDINGS = {
    "returns": ("pass", None),
    "exits with a number": ("sys.exit(7)", None),
    "exits with a text": ("sys.exit('the host says no')", None),
    "raises": ("raise KeyError('host')", None),
    "is terminated": ("time.sleep(60)", signal.SIGTERM),
    "is interrupted": ("time.sleep(60)", signal.SIGINT),
    "exits in its handler": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); print('ready', flush=True); time.sleep(60)",
        signal.SIGTERM,
    ),
    "ends at once": ("os._exit(9)", None),
}


@pytest.mark.parametrize("url", ["bridge", "dead"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_ends_as_it_would_without_us(bridge: Any, ending: str, url: str) -> None:
    line, number = ENDINGS[ending]
    plain = "import os, signal, sys, time\n"
    # As Python does by itself, unless whoever runs the tests ignores it, as shells do for what runs in the background.
    plain += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    ours = plain + (
        "from ml_guard import MLGuardClient\n"
        "client = MLGuardClient(sys.argv[1], project_id='p', model_id='m')\n"
        "client.ingest_batch([{'y_pred': i} for i in range(10)])\n"
    )
    address = bridge.url if url == "bridge" else "http://127.0.0.1:9"
    codes = []
    for head in (plain, ours):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", f"{head}print('here', flush=True)\n{line}\n", address],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(2 if "ready" in line else 1):
            process.stdout.readline()
        if number is not None:
            process.send_signal(number)
        codes.append(process.wait(60))
        process.stdout.close()
    assert codes[0] == codes[1]
    if url == "bridge" and ending not in ("is terminated", "ends at once"):
        assert [event.y_pred for event in bridge.events] == list(range(10))


def test_an_exit_enters_no_wait_for_a_server_that_is_known_to_be_gone() -> None:
    """Until the thread has counted what is left, which takes it no request: `make bench` measures the milliseconds."""
    assert EXIT_TIMEOUT_WHEN_GONE_S <= 0.03
    script = textwrap.dedent("""
    import threading, time
    import ml_guard.delivery
    from ml_guard import MLGuardClient
    ml_guard.delivery.EXIT_TIMEOUT_WHEN_GONE_S = 4.0  # until the thread has counted, however busy the machine
    client = MLGuardClient("http://127.0.0.1:9", project_id="p", model_id="m")
    client.ingest_batch([{"y_pred": 1}] * 2000)
    while not client.stats().retries:
        client.flush(0.01)
    outbox, waits = client._ingestion._outbox, []
    wait = threading.Condition.wait
    def watched(self, timeout=None):
        if threading.current_thread() is threading.main_thread():
            waits.append(timeout)
        return wait(self, timeout)
    threading.Condition.wait = watched
    import atexit
    atexit.register(lambda: print(max(waits, default=0.0), client.stats().dropped))
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    longest, _, dropped = done.stdout.partition(" ")
    assert done.returncode == 0
    assert float(longest) <= 4.0 < EXIT_TIMEOUT_S
    assert dropped.strip() == "{'unsent_at_close': 2000}"
    assert "the last events could not be sent before the end" in done.stderr


def test_a_process_that_ends_while_the_queue_is_full_says_what_it_lost(bridge: Any) -> None:
    script = textwrap.dedent("""
    import atexit, sys
    import ml_guard.delivery
    from ml_guard import MLGuardClient
    ml_guard.delivery.EXIT_TIMEOUT_WHEN_GONE_S = 20.0  # until the thread has counted, however busy the machine
    client = MLGuardClient("http://127.0.0.1:9", project_id="p", model_id="m", max_queue=100)
    client.ingest_batch([{"y_pred": 1}] * 250)
    while not client.stats().retries:
        client.flush(0.01)
    atexit.register(lambda: print(client.stats().dropped))
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "{'queue_full': 150, 'unsent_at_close': 100}")
    assert "the queue is full" in done.stderr


def test_the_server_learns_of_a_queue_that_was_full(bridge: Any) -> None:
    bridge.always = bridge.answer(503, headers={"Retry-After": "1"})
    script = textwrap.dedent("""
    from ml_guard import MLGuardClient
    client = MLGuardClient(model_id="m", max_queue=100)
    client.ingest_batch([{"y_pred": 1}] * 250)
    while not client.stats().retries:
        client.flush(0.01)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=environment(bridge), stderr=subprocess.DEVNULL
    )
    wait_for(lambda: bridge.requests, 30)
    bridge.always = None
    assert process.wait(60) == 0
    assert bridge.counted()["p", "dropped", "queue_full"] == 150
    assert bridge.counted()["p", "sent", ""] == 100
