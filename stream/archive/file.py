"""What is an archive as a file, and how is a broken one told from a whole one?

A zip: for each table the text that PostgreSQL's COPY writes, and at last `manifest.json`, which says what the file is,
at which schema it was made, and how many rows and which SHA-256 each table's text has. Rows as text, not as a server
keeps them, fit the embedded stack, TimescaleDB and any version of PostgreSQL alike.

Errors::

    ArchiveError
    ├── BrokenArchiveError    not an archive, cut off, or changed since it was written
    ├── ArchiveVersionError   the file and the database, or the file and this ML Guard, are of different schemas
    └── OccupiedError         what is to be written is there already
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Literal

import msgspec

FORMAT = 1
MANIFEST_BYTES = 16 << 20
ROW_BYTES = 64 << 20
"""The most that is read of each into memory; what a zip unpacks to is the word of whoever made it."""
MANIFEST = "manifest.json"
CHUNK_BYTES = 1 << 20
PIECE_BYTES = 4 << 20
"""How much of a table is handed to the database at once: the embedded one takes a COPY as a whole."""

LEVEL = 3
"""Of compression: sketches shrink to less than half either way, and higher levels take twice as long."""


_UNREADABLE = (
    KeyError,
    OSError,
    EOFError,
    RuntimeError,  # encrypted; of a kind that is not known; nested beyond all measure
    zipfile.BadZipFile,
    zlib.error,
)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class ArchiveError(Exception):
    """The file, the database and what was asked for do not fit; says what the operator does next."""

    retriable = False


class BrokenArchiveError(ArchiveError):
    """The file is not an archive, or not whole."""


class ArchiveVersionError(ArchiveError):
    """Another schema."""


class OccupiedError(ArchiveError):
    """What is to be written is there already."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table's rows in the file."""

    name: str
    columns: list[str]
    rows: int
    sha256: str


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """A migration that the database had had."""

    number: int
    name: str
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the file is. `tables` are in the order in which they can be written."""

    format: int = FORMAT
    kind: Literal["backup", "export"]
    project_id: str | None = None
    made_at: datetime
    made_by: str
    migrations: list[Migration]
    tables: list[Table]
    sequences: dict[str, int] = {}

    @property
    def schema(self) -> int:
        """The number of the newest migration."""
        return max((migration.number for migration in self.migrations), default=0)

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables)


class TableWriter:
    """Takes a table's text, piece by piece."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._sha256 = hashlib.sha256()
        self.rows = 0

    async def __call__(self, data: bytes) -> None:
        """Write some more. In COPY's text a line end is always a row's."""
        self._sha256.update(data)
        self.rows += data.count(b"\n")
        self._out.write(data)

    def table(self, name: str, columns: list[str]) -> Table:
        """What was written."""
        return Table(name=name, columns=columns, rows=self.rows, sha256=self._sha256.hexdigest())


class ArchiveWriter:
    """An archive that is being written."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._zip = archive

    @contextmanager
    def table(self, name: str) -> Iterator[TableWriter]:
        """Write a table's text."""
        with self._zip.open(_member(name), "w", force_zip64=True) as out:
            yield TableWriter(out)

    def finish(self, manifest: Manifest) -> None:
        """Write what the file is."""
        self._zip.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))


@contextmanager
def written(path: Path, *, overwrite: bool) -> Iterator[ArchiveWriter]:
    """A new archive at this path, for its owner alone; there is all of it or nothing.

    Raises
    ------
    OccupiedError
        If the file is there and may not be replaced.
    ArchiveError
        If it cannot be written.
    """
    if path.exists() and not overwrite:
        raise OccupiedError(f"{path} is there already: choose another name, or give --overwrite")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    except OSError as error:
        raise ArchiveError(
            f"{path} cannot be written ({error.strerror}): choose a folder that is there and yours"
        ) from error
    try:
        with os.fdopen(handle, "wb") as out:
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
                yield ArchiveWriter(archive)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(path)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise ArchiveError(f"{path} cannot be written ({error.strerror}); nothing of it is left") from error
    finally:
        Path(name).unlink(missing_ok=True)


class ArchiveReader:
    """A whole archive, whose texts are what its manifest says."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._zip = archive

    def pieces(self, table: Table) -> Iterator[bytes]:
        """A table's text, in pieces that end with a row."""
        with self._zip.open(_member(table.name)) as text:
            rest = b""
            while read := text.read(PIECE_BYTES):
                whole, found, behind = (rest + read).rpartition(b"\n")
                rest = behind
                if found:
                    yield whole + found


@contextmanager
def opened(path: Path) -> Iterator[ArchiveReader]:
    """The archive, after every byte of it has been checked.

    Raises
    ------
    BrokenArchiveError
    ArchiveVersionError
        If the file is of a format that this ML Guard does not know.
    """
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read ({error.strerror})") from error
    except zipfile.BadZipFile as error:
        raise BrokenArchiveError(
            f"{path} is not an archive of ML Guard, or was cut off: take another copy of it"
        ) from error
    with archive:
        manifest = _manifest(path, archive)
        for table in manifest.tables:
            _check(path, archive, table)
        yield ArchiveReader(path, archive, manifest)


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        with archive.open(MANIFEST) as text:
            data = text.read(MANIFEST_BYTES)
        found = msgspec.json.decode(data)
        known = found.get("format") if isinstance(found, dict) else None
        if isinstance(known, int) and known != FORMAT:
            raise ArchiveVersionError(
                f"{path} has format {known}, this ML Guard reads {FORMAT}: use the version that wrote it, or a newer one"
            )
        return msgspec.json.decode(data, type=Manifest)
    except (*_UNREADABLE, msgspec.MsgspecError) as error:
        raise BrokenArchiveError(
            f"{path} is not an archive of ML Guard: its manifest cannot be read"
        ) from error


def _check(path: Path, archive: zipfile.ZipFile, table: Table) -> None:
    sha256, rows, row = hashlib.sha256(), 0, 0
    try:
        with archive.open(_member(table.name)) as text:
            while chunk := text.read(CHUNK_BYTES):
                sha256.update(chunk)
                ends = chunk.count(b"\n")
                rows += ends
                row = len(chunk) + (0 if ends else row)
                if row > ROW_BYTES:
                    raise EOFError
    except _UNREADABLE as error:
        raise BrokenArchiveError(
            f"{path} is damaged at table {table.name}: take another copy of it"
        ) from error
    if (sha256.hexdigest(), rows) != (table.sha256, table.rows):
        raise BrokenArchiveError(
            f"{path} was changed since it was written, at table {table.name}: take another copy of it"
        )


def _member(table: str) -> str:
    return f"{table}.copy"
