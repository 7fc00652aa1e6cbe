"""How do events leave the host's threads without ever holding them up?

A bounded queue and one thread. `put` takes a lock for a moment and returns; the thread gathers what is there
into batches and hands each to `deliver`. What does not fit is counted as lost with a reason. Between batches the
thread gives `between` a turn, which says when it wants the next one.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Sequence

from ml_guard.exit_hook import at_end_of_celery_child, at_exit
from ml_guard.transports.base import Batch

MAX_EVENTS = 50_000
MAX_BYTES = 64 * 2**20
"""What waits at most: at 500 bytes an event some 25 MB of a host's memory, and never more than 64 MiB."""
SPILL_BYTES = 256 * 2**20
"""What waits on disk at most, of all processes that share a folder (`ml_guard.spool`)."""
BATCH_EVENTS = 500
BATCH_BYTES = 512 * 2**10
"""A batch's size: half of the 1 MiB that a Kafka record may have, for names and the batch's own fields."""
LINGER_S = 0.2
"""How long the first event of a batch waits for others."""
EXIT_TIMEOUT_S = 5.0
"""How long the end of the process waits for events under way, if the server answers."""
NEVER = float("inf")


class Outbox:
    """Takes encoded events from any thread and gives them in batches, in order, to `deliver` in its own.

    Promises: `put` never waits and never raises. `flush` returns at its deadline. A forked child starts empty.
    `deliver` is called for one batch at a time and settles it, whatever happens. Every event that was taken is
    handed to `deliver` or counted by `lost`.
    """

    def __init__(
        self,
        deliver: Callable[[Batch, Outbox], None],
        lost: Callable[[str, int, str], None],
        *,
        leave: Callable[[Sequence[Batch], Sequence[Batch]], None] | None = None,
        between: Callable[[Outbox], float] = lambda outbox: NEVER,
        open_transport: Callable[[], None] = lambda: None,
        close_transport: Callable[[], None] = lambda: None,
        after_fork: Callable[[], None] = lambda: None,
        exit_timeout_s: Callable[[], float] = lambda: EXIT_TIMEOUT_S,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
        batch_events: int = BATCH_EVENTS,
        batch_bytes: int = BATCH_BYTES,
        linger_s: float = LINGER_S,
    ) -> None:
        self._deliver = deliver
        self._lost = lost
        self._leave = leave or self._lose
        self._between = between
        self._open_transport = open_transport
        self._close_transport = close_transport
        self._after_fork = after_fork
        self.exit_timeout_s = exit_timeout_s
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        self._linger_s = linger_s
        self._start_empty()
        _alive.add(self)

    def _start_empty(self) -> None:
        # Re-entrant, since a signal handler or a finaliser may put an event while this thread holds it.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._settled = threading.Condition(self._lock)
        self._queue: deque[tuple[str, bytes] | Batch] = deque()
        self._under_way: list[Batch] = []
        self._bytes = 0
        self._taken = 0
        self._done = 0
        self._hurried = 0
        self._nudges = 0
        self._asleep = False
        self._woken = False
        self._closing = False
        self._close_by = NEVER
        self._thread: threading.Thread | None = None

    @property
    def taken(self) -> int:
        """Events taken so far."""
        return self._taken

    @property
    def waiting(self) -> int:
        """Events taken and not settled yet."""
        return self._taken - self._done

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    def put(self, project_id: str, event: bytes, wait_s: float = 0.0) -> bool:
        """Take one encoded event; False if it was lost instead. With `wait_s`, first wait so long for room."""
        size = len(event)
        with self._lock:
            if self._closing:
                reason = "closed"
            elif size > self._batch_bytes:
                reason = "oversized"
            elif self._has_room(size) or (wait_s > 0 and self._room_within(size, wait_s)):
                if self._thread is not None or self._start():
                    self._queue.append((project_id, event))
                    self._bytes += size
                    self._taken += 1
                    waiting = len(self._queue)
                    if waiting == 1 or waiting == self._batch_events:
                        self._changed.notify_all()
                    return True
                reason = "no_thread"
            else:
                reason = "queue_full"
        self._lost(reason, 1, project_id)
        return False

    def put_batch(self, batch: Batch, wait_s: float) -> bool:
        """Take a batch whose id and contents are settled, after waiting so long for room; False if it was not taken."""
        size = sum(map(len, batch.events))
        with self._lock:
            if self._closing or not self._room_within(size, wait_s, len(batch.events)):
                return False
            if self._thread is None and not self._start():
                return False
            self._queue.append(batch)
            self._bytes += size
            self._taken += len(batch.events)
            self._changed.notify_all()
            return True

    def wake(self) -> None:
        """Let `between` have a turn soon, if the thread has nothing to do; start it if there is none."""
        with self._lock:
            if self._closing:
                return
            self._woken = True
            if self._thread is None:
                self._start()
            elif self._asleep:
                self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Whether every event taken so far was settled (sent, or lost for a reason) within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            goal = self._taken
            self._hurried = goal
            self._nudges += 1
            self._changed.notify_all()
            while self._done < goal:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._settled.wait(left)
            return True

    def close(self, timeout_s: float) -> bool:
        """Send what is left for at most `timeout_s`, then count the rest as lost. Further events are refused."""
        self.begin_close(timeout_s)
        finished = self.flush(timeout_s)
        thread = self._thread
        if finished and thread is not None and thread is not threading.current_thread():
            thread.join(timeout=max(0.0, self._close_by - time.monotonic()))
        with self._lock:
            under_way = [] if finished else list(self._under_way)
            queued: list[Batch] = []
            while self._queue:
                queued += self._take_batches()
            self._done += sum(len(batch.events) for batch in queued)
            self._settled.notify_all()
        if queued or under_way:
            self._leave(queued, under_way)
        return finished

    def begin_close(self, timeout_s: float) -> None:
        """Refuse further events and let the thread end by itself once it has sent what is left."""
        with self._lock:
            self._closing = True
            self._close_by = min(self._close_by, time.monotonic() + timeout_s)
            self._hurried = self._taken
            self._changed.notify_all()

    def time_left_s(self) -> float:
        """Seconds until the close gives up; infinite while nothing closes."""
        return self._close_by - time.monotonic()

    def pause(self, seconds: float, *, patient: bool = False) -> None:
        """Wait, in the outbox's thread; a flush (unless `patient`) or a close ends it early."""
        deadline = time.monotonic() + seconds
        with self._lock:
            nudges, closing = self._nudges, self._closing
            while (left := min(deadline, self._close_by) - time.monotonic()) > 0:
                if self._closing != closing or (not patient and self._nudges != nudges):
                    return
                self._changed.wait(left)

    def _has_room(self, size: int, events: int = 1) -> bool:
        waiting = self._taken - self._done
        return waiting == 0 or (
            waiting + events <= self._max_events and self._bytes + size <= self._max_bytes
        )

    def _room_within(self, size: int, wait_s: float, events: int = 1) -> bool:
        deadline = time.monotonic() + wait_s
        while not self._has_room(size, events):
            left = deadline - time.monotonic()
            if left <= 0 or self._closing:
                return False
            self._settled.wait(left)
        return not self._closing

    def _start(self) -> bool:
        # Assigned before it starts: a signal handler that puts an event meanwhile must not start a second one.
        self._thread = threading.Thread(target=self._run, name="ml-guard-outbox", daemon=True)
        try:
            self._open_transport()
            self._thread.start()
        except Exception:  # the interpreter is ending, or the system has no thread or no file left
            self._thread = None
            return False
        return True

    def _lose(self, queued: Sequence[Batch], under_way: Sequence[Batch]) -> None:
        for batch in queued:
            self._lost("unsent_at_close", len(batch.events), batch.project_id)

    def _run(self) -> None:
        while (batches := self._next_batches(self._between(self))) is not None:
            self._under_way = batches
            for batch in batches:
                self._settle(batch)
            self._under_way = []
        self._close_transport()

    def _settle(self, batch: Batch) -> None:
        try:
            self._deliver(batch, self)
        except Exception:
            self._lost("internal_error", len(batch.events), batch.project_id)
        with self._lock:
            self._done += len(batch.events)
            self._bytes -= sum(map(len, batch.events))
            self._settled.notify_all()

    def _next_batches(self, turn_in_s: float) -> list[Batch] | None:
        """What to deliver next; nothing if it is time for another turn of `between`; None at the end."""
        turn_at = time.monotonic() + turn_in_s
        with self._lock:
            while not self._queue:
                if self._closing:
                    return None
                if self._woken or (left := turn_at - time.monotonic()) <= 0:
                    self._woken = False
                    return []
                self._asleep = True
                self._changed.wait(None if left == NEVER else left)
                self._asleep = False
            full_by = time.monotonic() + self._linger_s
            while not self._has_full_batch() and self._hurried <= self._done and not self._closing:
                left = full_by - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return self._take_batches()

    def _has_full_batch(self) -> bool:
        return len(self._queue) >= self._batch_events or isinstance(self._queue[0], Batch)

    def _take_batches(self) -> list[Batch]:
        """What is next in the queue, at most a batch's worth, by project."""
        by_project: dict[str, list[bytes]] = {}
        count = size = 0
        while self._queue and count < self._batch_events:
            head = self._queue[0]
            if isinstance(head, Batch):
                if count == 0:
                    return [self._queue.popleft()]  # type: ignore[list-item]
                break
            project_id, event = head
            if size + len(event) > self._batch_bytes:
                break
            self._queue.popleft()
            count += 1
            size += len(event)
            by_project.setdefault(project_id, []).append(event)
        return [Batch(str(uuid.uuid4()), project_id, tuple(e)) for project_id, e in by_project.items()]

    def _forked(self) -> None:
        closed = self._closing
        self._start_empty()
        self._closing = closed
        self._after_fork()


_alive: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _close_all() -> None:
    outboxes = list(_alive)
    for outbox in outboxes:
        outbox.begin_close(outbox.exit_timeout_s())
    for outbox in outboxes:
        outbox.close(max(0.0, outbox.time_left_s()))


def _forked() -> None:
    for outbox in list(_alive):
        outbox._forked()
    at_end_of_celery_child(_close_all)


at_exit(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
