"""Is the SDK a good guest of its host's process: at exit, after a fork, when nobody answers?"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest

IMPORT = "from ml_guard import MLGuardClient"
HEAD = """
import os, signal, sys, time
from ml_guard import MLGuardClient
client = MLGuardClient(sys.argv[1], "k")
def send(n, **more):
    for i in range(n):
        client.ingest_event(project_id="p", model_id="m", y_pred=i, **more)
"""


def run(script: str, *args: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    code = HEAD + textwrap.dedent(script)
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def by_endpoint(bridge: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for event in bridge.events:
        counts[event.endpoint] = counts.get(event.endpoint, 0) + 1
    return counts


def test_what_is_left_is_sent_when_the_process_ends(bridge: Any) -> None:
    done = run("send(1200)", bridge.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert [event.y_pred for event in bridge.events] == list(range(1200))


def test_what_is_left_is_sent_when_the_process_fails(bridge: Any) -> None:
    assert run("send(3); sys.exit(7)", bridge.url).returncode == 7
    assert run("send(3); raise KeyError('host')", bridge.url).returncode == 1
    assert len(bridge.events) == 6


def test_an_exit_waits_for_a_server_that_is_busy(bridge: Any) -> None:
    bridge.answers.append(bridge.answer(503, headers={"Retry-After": "0.3"}))
    run("send(3)", bridge.url)
    assert len(bridge.events) == 3


def test_an_exit_without_a_server_is_not_held_up() -> None:
    script = """
    send(1000)
    client.flush(0.3)
    import atexit
    start = time.monotonic()
    # Runs after the SDK's own hook, so that it can measure it.
    atexit.register(lambda: print(time.monotonic() - start))
    """
    done = run(script, "http://127.0.0.1:9")
    assert done.returncode == 0
    assert float(done.stdout) < 0.5
    assert "the last events could not be sent" in done.stderr


def test_an_exit_at_a_server_that_never_answers_is_bounded(bridge: Any) -> None:
    bridge.always = bridge.answer(delay_s=30)
    start = time.monotonic()
    assert run("send(1)", bridge.url).returncode == 0
    assert time.monotonic() - start < 9


def test_a_forked_child_starts_empty_and_both_send_their_own(bridge: Any) -> None:
    script = """
    send(100, endpoint="parent")          # still in the queue at the fork
    if os.fork() == 0:
        assert client.stats().taken == 0
        send(50, endpoint="child")
        ok = client.flush(10)
        os._exit(0 if ok and client.stats().sent == 50 else 1)
    send(100, endpoint="parent")
    assert os.wait()[1] == 0
    """
    done = run(script, bridge.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert by_endpoint(bridge) == {"parent": 200, "child": 50}


def test_children_of_a_server_that_preloads_send_their_own(bridge: Any) -> None:
    """As gunicorn --preload: the client is made, and used, before the workers are forked."""
    script = """
    send(10, endpoint="parent")
    assert client.flush(10)
    children = []
    for i in range(3):
        pid = os.fork()
        if pid == 0:
            for k in range(20):
                send(10, endpoint=f"child{i}")
                time.sleep(0.002)
            client.close(10)
            os._exit(0)
        children.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
    """
    done = run(script, bridge.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert by_endpoint(bridge) == {"parent": 10, "child0": 200, "child1": 200, "child2": 200}


def test_a_fork_in_the_middle_of_sending_hangs_nobody(bridge: Any) -> None:
    bridge.always = bridge.answer(delay_s=0.02)
    script = """
    for i in range(20):
        send(20, endpoint="parent")
        pid = os.fork()
        if pid == 0:
            send(5, endpoint="child")
            os._exit(0 if client.flush(20) else 1)
        assert os.waitpid(pid, 0)[1] == 0
    """
    done = run(script, bridge.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert by_endpoint(bridge) == {"parent": 400, "child": 100}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_sends_at_its_end(bridge: Any, method: str, tmp_path: Any) -> None:
    module = tmp_path / "host.py"
    module.write_text(
        textwrap.dedent("""
        import multiprocessing, sys
        from ml_guard import MLGuardClient
        client = MLGuardClient(sys.argv[1], "k")
        def work():
            for _ in range(10):
                client.ingest_event(project_id="p", model_id="m", endpoint="child")
        if __name__ == "__main__":
            child = multiprocessing.get_context(sys.argv[2]).Process(target=work)
            child.start(); child.join(); sys.exit(child.exitcode)
        """)
    )
    done = subprocess.run(
        [sys.executable, str(module), bridge.url, method], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert by_endpoint(bridge) == {"child": 10}


def test_a_signal_handler_may_ingest(bridge: Any) -> None:
    script = """
    signal.signal(signal.SIGALRM, lambda *_: send(1, endpoint="handler"))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    send(20000)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert client.close(20)
    print(client.stats().sent)
    """
    done = run(script, bridge.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == len(bridge.events) > 20000


def test_the_import_is_light() -> None:
    script = f"""
import sys
{IMPORT}
heavy = {{"aiokafka", "numpy", "typer", "pandas", "scipy"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_contract_loads_no_http_client() -> None:
    script = (
        "import sys, ml_guard.decoding; assert 'httpx' not in sys.modules and 'asyncio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env={**os.environ})
