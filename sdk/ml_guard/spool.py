"""How do batches wait on disk while the server is away, so that the next process finds them if this one ends?

    <spill_dir>/<owner>/lock                    held as long as the owner lives
    <spill_dir>/<owner>/000000000017-500.batch  one batch of 500: a line that describes it, then an event a line

A batch is written aside, synchronised and renamed, so a file is whole or not there. Each process has a folder of
its own; a folder whose lock nobody holds belonged to a process that is gone, and whoever gets the lock sends what is
in it, under the ids that the batches had: what had arrived after all counts once.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from ml_guard.outbox import SPILL_BYTES
from ml_guard.transports.base import Batch

LOOK_S = 30.0
"""How often the others' folders are looked at: for what they take, and for what those left that are gone."""

_LOCK = "lock"
_BATCH = ".batch"


class _Head(msgspec.Struct):
    batch_id: str
    project_id: str
    events: int
    v: int = 1


class Spool:
    """A queue of batches on disk, bounded in bytes. `append` and `first` may raise `OSError`."""

    def __init__(
        self,
        folder: Path,
        max_bytes: int = SPILL_BYTES,
        *,
        unreadable: Callable[[Path, int], None] = lambda path, events: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = folder
        self._max_bytes = max_bytes
        self._unreadable = unreadable
        self._clock = clock
        self._locks: dict[Path, int] = {}
        self.forget()

    def forget(self) -> None:
        """A forked child: the parent's folder and locks are the parent's."""
        for lock in self._locks.values():
            os.close(lock)
        self._lock = threading.RLock()
        self._locks = {}
        self._own: Path | None = None
        self._waiting: deque[tuple[Path, int]] = deque()
        self._next_number = 0
        self._bytes = 0
        self._others_bytes = 0
        self._look_at = float("-inf")

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def append(self, batch: Batch) -> bool:
        """Keep a batch; False if that were more than the bound."""
        head = _Head(batch.batch_id, batch.project_id, len(batch.events))
        content = b"\n".join((msgspec.json.encode(head), *batch.events))
        with self._lock:
            self._look()
            if self._bytes + self._others_bytes + len(content) > self._max_bytes:
                return False
            path = self._folder() / f"{self._next_number:012d}-{len(batch.events)}{_BATCH}"
            _write(path, content)
            self._next_number += 1
            self._waiting.append((path, len(content)))
            self._bytes += len(content)
            return True

    def first(self) -> Batch | None:
        """The batch that waits longest; what cannot be read is set aside."""
        with self._lock:
            while self._waiting:
                path = self._waiting[0][0]
                batch = _read(path)
                if batch is not None:
                    return batch
                self._unreadable(path, _events_in(path))
                with contextlib.suppress(OSError):
                    path.rename(path.with_suffix(".unreadable"))
                self._drop_first()
            return None

    def remove_first(self) -> None:
        """The first was sent, or is hopeless."""
        with self._lock:
            path = self._waiting[0][0]
            self._drop_first()
            path.unlink(missing_ok=True)

    def adopt(self) -> int:
        """Take over what processes left that are gone; the number of events. At most every `LOOK_S` seconds."""
        with self._lock:
            if self._clock() < self._look_at:
                return 0
            self._look()
            events = 0
            for folder in sorted(self._root.iterdir()) if self._root.is_dir() else ():
                if folder not in self._locks and folder.is_dir() and self._hold(folder):
                    events += self._take_over(folder)
            return events

    def close(self) -> None:
        """Let go of the folders; what waits in them is for the next process."""
        with self._lock:
            for folder in list(self._locks):
                self._let_go(folder)
            self._waiting.clear()
            self._own = None

    def _folder(self) -> Path:
        if self._own is None:
            own = self._root / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
            own.mkdir(parents=True, mode=0o700)
            if not self._hold(own):
                raise OSError(f"the spill folder {own} cannot be locked")
            self._own = own
        return self._own

    def _hold(self, folder: Path) -> bool:
        """Lock a folder, unless its owner lives or has just removed it."""
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return False
        if not _locked(lock) or not _same_file(folder / _LOCK, lock):
            os.close(lock)
            return False
        self._locks[folder] = lock
        return True

    def _take_over(self, folder: Path) -> int:
        found = [(path, path.stat().st_size) for path in sorted(folder.glob(f"*{_BATCH}"))]
        if not found:
            self._let_go(folder)
            return 0
        mine = [entry for entry in self._waiting if entry[0].parent == self._own]
        adopted = [entry for entry in self._waiting if entry[0].parent != self._own]
        self._waiting = deque([*adopted, *found, *mine])
        size = sum(size for _, size in found)
        self._bytes += size
        self._others_bytes = max(0, self._others_bytes - size)
        return sum(_events_in(path) for path, _ in found)

    def _drop_first(self) -> None:
        path, size = self._waiting.popleft()
        self._bytes -= size
        if path.parent != self._own and not any(other.parent == path.parent for other, _ in self._waiting):
            path.unlink(missing_ok=True)
            self._let_go(path.parent)

    def _let_go(self, folder: Path) -> None:
        lock = self._locks.pop(folder)
        with contextlib.suppress(OSError):
            if not any(entry.name != _LOCK for entry in folder.iterdir()):
                (folder / _LOCK).unlink()
                folder.rmdir()
        os.close(lock)

    def _look(self) -> None:
        if self._clock() < self._look_at:
            return
        self._look_at = self._clock() + LOOK_S
        self._others_bytes = sum(
            _size(path) for path in self._root.glob(f"*/*{_BATCH}") if path.parent not in self._locks
        )


def _write(path: Path, content: bytes) -> None:
    aside = path.with_suffix(".part")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def _read(path: Path) -> Batch | None:
    try:
        head, *events = path.read_bytes().split(b"\n")
        described = msgspec.json.decode(head, type=_Head)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    if described.v != 1 or described.events != len(events):
        return None
    return Batch(described.batch_id, described.project_id, tuple(events))


def _events_in(path: Path) -> int:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _locked(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
