"""Does the queue keep the promises of its docstring?"""

import threading
import time
from collections import Counter
from collections.abc import Callable

from ml_guard.outbox import Outbox
from ml_guard.transports.base import Batch


class Receiver:
    """Takes batches when its gate is open."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.lost: Counter[str] = Counter()
        self.gate = threading.Event()
        self.gate.set()

    def deliver(self, batch: Batch, outbox: Outbox) -> None:
        while not self.gate.is_set() and outbox.time_left_s() > 0:
            outbox.pause(0.05, patient=True)
        self.batches.append(batch)

    def count(self, reason: str, events: int, project_id: str) -> None:
        self.lost[reason] += events

    def outbox(self, **options: float) -> Outbox:
        return Outbox(self.deliver, self.count, **{"linger_s": 0.01, **options})  # type: ignore[arg-type]

    @property
    def events(self) -> list[bytes]:
        return [event for batch in self.batches for event in batch.events]


def seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def test_events_arrive_in_order_in_batches_of_one_project() -> None:
    receiver = Receiver()
    outbox = receiver.outbox(batch_events=3)
    for i in range(8):
        assert outbox.put("a" if i < 5 else "b", b"%d" % i)
    assert outbox.flush(5)
    assert receiver.events == [b"%d" % i for i in range(8)]
    assert all(len(batch.events) <= 3 for batch in receiver.batches)
    assert all((event < b"5") == (b.project_id == "a") for b in receiver.batches for event in b.events)
    assert len({batch.batch_id for batch in receiver.batches}) == len(receiver.batches)
    assert outbox.close(5)


def test_projects_that_take_turns_share_no_batch_and_need_no_batch_an_event() -> None:
    receiver = Receiver()
    outbox = receiver.outbox(batch_events=100, linger_s=60)
    for i in range(100):
        outbox.put("ab"[i % 2], b"%d" % i)
    assert outbox.close(5)
    assert [(b.project_id, len(b.events)) for b in receiver.batches] == [("a", 50), ("b", 50)]
    assert receiver.batches[0].events == tuple(b"%d" % i for i in range(0, 100, 2))


def test_a_batch_is_bounded_in_bytes() -> None:
    receiver = Receiver()
    outbox = receiver.outbox(batch_bytes=100)
    for _ in range(10):
        outbox.put("p", b"x" * 40)
    assert not outbox.put("p", b"x" * 101)
    assert outbox.close(5)
    assert [len(batch.events) for batch in receiver.batches] == [2] * 5
    assert receiver.lost == {"oversized": 1}


def test_a_full_queue_loses_the_newest_and_counts_it() -> None:
    receiver = Receiver()
    receiver.gate.clear()
    outbox = receiver.outbox(max_events=5)
    taken = [outbox.put("p", b"%d" % i) for i in range(8)]
    assert taken == [True] * 5 + [False] * 3
    assert receiver.lost == {"queue_full": 3}
    receiver.gate.set()
    assert outbox.flush(5)
    assert receiver.events == [b"0", b"1", b"2", b"3", b"4"]
    assert outbox.put("p", b"again")
    assert outbox.close(5)


def test_what_is_on_its_way_counts_against_the_bytes_too() -> None:
    receiver = Receiver()
    receiver.gate.clear()
    outbox = receiver.outbox(max_bytes=100)
    assert [outbox.put("p", b"x" * 40) for _ in range(3)] == [True, True, False]
    time.sleep(0.1)
    assert not outbox.put("p", b"x" * 40)
    receiver.gate.set()
    assert outbox.flush(5)
    assert outbox.put("p", b"x" * 100)
    assert outbox.close(5)


def test_put_can_wait_for_room_if_asked_to() -> None:
    receiver = Receiver()
    receiver.gate.clear()
    outbox = receiver.outbox(max_events=1)
    assert outbox.put("p", b"0")
    assert 0.1 <= seconds(lambda: outbox.put("p", b"1", wait_s=0.1)) < 2
    threading.Timer(0.1, receiver.gate.set).start()
    assert outbox.put("p", b"2", wait_s=5)
    assert outbox.close(5)
    assert receiver.events == [b"0", b"2"]


def test_flush_returns_at_its_deadline() -> None:
    receiver = Receiver()
    receiver.gate.clear()
    outbox = receiver.outbox()
    outbox.put("p", b"0")
    assert 0.1 <= seconds(lambda: outbox.flush(0.1)) < 2
    assert not outbox.flush(0)
    receiver.gate.set()
    assert outbox.flush(5)
    assert outbox.close(5)


def test_flush_does_not_wait_for_a_batch_to_fill() -> None:
    receiver = Receiver()
    outbox = receiver.outbox(linger_s=60)
    outbox.put("p", b"0")
    assert seconds(lambda: outbox.flush(30)) < 5
    assert receiver.events == [b"0"]
    assert outbox.close(5)


def test_close_counts_what_is_left_and_refuses_more() -> None:
    receiver = Receiver()
    receiver.gate.clear()
    outbox = receiver.outbox(batch_events=1)
    for i in range(3):
        outbox.put("p", b"%d" % i)
    time.sleep(0.1)
    assert seconds(lambda: outbox.close(0.2)) < 2
    assert not outbox.put("p", b"late")
    assert receiver.lost["closed"] == 1
    time.sleep(0.1)
    assert len(receiver.events) + receiver.lost["unsent_at_close"] == 3
    assert outbox.close(0)


def test_a_defect_of_deliver_loses_its_batch_only() -> None:
    lost: Counter[str] = Counter()
    good: list[bytes] = []

    def deliver(batch: Batch, outbox: Outbox) -> None:
        if batch.events == (b"bad",):
            raise RuntimeError
        good.extend(batch.events)

    outbox = Outbox(
        deliver, lambda reason, n, project_id: lost.update({reason: n}), batch_events=1, linger_s=0
    )
    for event in (b"1", b"bad", b"2"):
        outbox.put("p", event)
    assert outbox.close(5)
    assert good == [b"1", b"2"]
    assert lost == {"internal_error": 1}


def test_many_threads_lose_nothing_between_them() -> None:
    receiver = Receiver()
    outbox = receiver.outbox(batch_events=50)
    threads = [
        threading.Thread(target=lambda k=k: [outbox.put("p", b"%d-%d" % (k, i)) for i in range(500)])
        for k in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outbox.close(10)
    assert sorted(receiver.events) == sorted(b"%d-%d" % (k, i) for k in range(8) for i in range(500))


def test_the_thread_ends_with_the_close() -> None:
    receiver = Receiver()
    outbox = receiver.outbox()
    outbox.put("p", b"0")
    outbox.close(5)
    assert outbox._thread is not None
    outbox._thread.join(5)
    assert not outbox._thread.is_alive()


def test_an_event_that_is_put_while_the_thread_starts_starts_no_second_one() -> None:
    receiver = Receiver()

    def signal_handler() -> None:
        outbox.put("p", b"from a handler")

    outbox = Outbox(receiver.deliver, receiver.count, open_transport=signal_handler, linger_s=0.01)
    before = threading.active_count()
    outbox.put("p", b"from the host")
    assert threading.active_count() == before + 1
    assert outbox.close(5)
    assert sorted(receiver.events) == [b"from a handler", b"from the host"]


def test_a_system_without_a_thread_to_spare_loses_events_counted() -> None:
    receiver = Receiver()

    def no_thread() -> None:
        raise RuntimeError("can't start new thread")

    outbox = Outbox(receiver.deliver, receiver.count, open_transport=no_thread)
    assert not outbox.put("p", b"0")
    assert receiver.lost == {"no_thread": 1}
    assert outbox.close(5)
