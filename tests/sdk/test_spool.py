"""Do batches on disk survive the process, in order, once, and within their bound?"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from ml_guard import MLGuardClient
from ml_guard.spool import LOOK_S, Spool
from ml_guard.transports.base import Batch
from tests.sdk.test_client import wait_for

EVENT: dict[str, Any] = {"project_id": "p", "model_id": "m"}
GONE = "http://127.0.0.1:9"

HOST = """
import os, signal, sys
from ml_guard import MLGuardClient
client = MLGuardClient(sys.argv[1], "k", spill_dir=sys.argv[2])
def send(first, last):
    for i in range(first, last):
        client.ingest_event(project_id="p", model_id="m", y_pred=i)
"""


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HOST + textwrap.dedent(script), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def batch(number: int, size: int = 2) -> Batch:
    return Batch(f"b-{number}", "p", tuple(b'{"i":%d}' % (number * 10 + i) for i in range(size)))


def drained(spool: Spool) -> list[Batch]:
    found = []
    while (first := spool.first()) is not None:
        found.append(first)
        spool.remove_first()
    return found


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_what_goes_in_comes_out_in_order_and_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    batches = [batch(i) for i in range(12)]
    assert all(spool.append(one) for one in batches)
    assert drained(spool) == batches
    assert spool.empty
    spool.close()
    assert files(tmp_path) == []


def test_a_bound_in_bytes_holds_for_all_that_share_the_folder(tmp_path: Path) -> None:
    one, other = Spool(tmp_path, 400), Spool(tmp_path, 400)
    kept = 0
    while one.append(batch(kept)):
        kept += 1
    assert 1 <= kept < 10
    assert not other.append(batch(0))
    one.remove_first()
    assert one.append(batch(99))


def test_a_folder_is_its_owners_as_long_as_he_lives_and_anybodys_then(tmp_path: Path) -> None:
    now = [0.0]
    owner, heir = Spool(tmp_path), Spool(tmp_path, clock=lambda: now[0])
    for i in range(3):
        owner.append(batch(i))
    assert heir.adopt() == 0
    heir.append(batch(7))
    owner.close()
    assert heir.adopt() == 0  # it has just looked
    now[0] += LOOK_S
    assert heir.adopt() == 6
    assert [one.batch_id for one in drained(heir)] == ["b-0", "b-1", "b-2", "b-7"]
    heir.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_cut_is_set_aside_and_counted_and_the_rest_is_sent(tmp_path: Path) -> None:
    lost: list[int] = []
    spool = Spool(tmp_path, unreadable=lambda path, events: lost.append(events))
    for i in range(3):
        spool.append(batch(i))
    (second,) = tmp_path.glob("*/*1-2.batch")
    second.write_bytes(second.read_bytes()[:-9].replace(b"\n", b""))
    assert [one.batch_id for one in drained(spool)] == ["b-0", "b-2"]
    assert lost == [2]
    assert any(name.endswith(".unreadable") for name in files(tmp_path))


def test_a_forked_child_has_a_folder_of_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(batch(0))
    pid = os.fork()
    if pid == 0:
        spool.forget()
        fine = spool.empty and spool.adopt() == 0 and spool.append(batch(1))
        os._exit(0 if fine else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert [one.batch_id for one in drained(spool)] == ["b-0"]


def test_events_wait_on_disk_while_the_bridge_is_away_and_arrive_in_order_once(
    bridge: Any, tmp_path: Path
) -> None:
    bridge.always = bridge.answer(drop_after_taking=True)  # it took the first batch, but nobody knows
    with MLGuardClient(bridge.url, spill_dir=tmp_path, max_queue=2000) as client:
        for start in range(0, 5000, 1000):
            client.ingest_batch([{**EVENT, "y_pred": start + i} for i in range(1000)])
            wait_for(lambda: client.stats().queued == 0)
        stats = client.stats()
        assert (stats.spilled, stats.sent, stats.dropped) == (5000, 0, {})
        bridge.always = None
        assert client.flush(20)
        assert client.stats().sent == 5000
        assert client.stats().spilled == 0
    assert [event.y_pred for event in bridge.events] == list(range(5000))
    assert files(tmp_path) == []


def test_the_next_process_sends_what_the_last_one_left(bridge: Any, tmp_path: Path) -> None:
    assert run("send(0, 1200)", GONE, tmp_path).returncode == 0
    assert len(files(tmp_path)) >= 3
    done = run(
        "send(1200, 1201); assert client.flush(20); print(client.stats().recovered)", bridge.url, tmp_path
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "1200", "")
    assert [event.y_pred for event in bridge.events] == list(range(1201))
    assert files(tmp_path) == []


def test_a_process_that_is_killed_leaves_whole_batches(bridge: Any, tmp_path: Path) -> None:
    script = """
    send(0, 700)
    while client.stats().spilled < 700:
        client.flush(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(script, GONE, tmp_path).returncode == -9
    with MLGuardClient(bridge.url, spill_dir=tmp_path) as client:
        client.ingest_event(**EVENT, y_pred=700)
        assert client.flush(20)
        assert client.stats().recovered == 700
    assert sorted(event.y_pred for event in bridge.events) == list(range(701))


def test_processes_that_share_a_folder_do_not_send_each_others_batches(bridge: Any, tmp_path: Path) -> None:
    script = """
    send(0, 10)
    client.flush(0.3)
    children = []
    for i in range(3):
        if (pid := os.fork()) == 0:
            send(100 * (i + 1), 100 * (i + 1) + 10)
            client.close(5)
            os._exit(0)
        children.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
    """
    assert run(script, GONE, tmp_path).returncode == 0
    with MLGuardClient(bridge.url, spill_dir=tmp_path) as client:
        client.ingest_event(**EVENT, y_pred=9999)
        assert client.flush(20)
        assert client.stats().recovered == 40
    sent = sorted(event.y_pred for event in bridge.events)
    assert sent == sorted([*range(10), *(100 * k + i for k in (1, 2, 3) for i in range(10)), 9999])


def test_a_full_disk_bound_loses_the_newest_counted_and_explained(tmp_path: Path, caplog: Any) -> None:
    with MLGuardClient(GONE, spill_dir=tmp_path, spill_bytes=100_000) as client:
        client.ingest_batch([EVENT] * 3000)
        client.flush(0.2)
        wait_for(lambda: client.stats().queued == 0)
        stats = client.stats()
    assert 0 < stats.spilled < 3000
    assert stats.dropped == {"spill_full": 3000 - stats.spilled}
    assert "raise it" in caplog.text
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.batch")) <= 100_000


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path, caplog: Any) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    with MLGuardClient(GONE, spill_dir=blocked / "spill") as client:
        client.ingest_event(**EVENT)
        client.flush(0.2)
        wait_for(lambda: client.stats().queued == 0)
        assert client.stats().dropped == {"spill_failed": 1}
    assert "spill_dir= cannot be written" in caplog.text


@pytest.mark.parametrize("status", [401, 404])
def test_what_is_refused_for_good_does_not_wait_on_disk(bridge: Any, tmp_path: Path, status: int) -> None:
    bridge.always = bridge.answer(status, {"title": "no"})
    with MLGuardClient(bridge.url, spill_dir=tmp_path) as client:
        client.ingest_event(**EVENT)
        assert client.flush()
        assert sum(client.stats().dropped.values()) == 1
    assert files(tmp_path) == []
