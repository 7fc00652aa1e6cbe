"""How does a data set of the host become a model's baseline: a frame or a file, a column at a time?"""

from __future__ import annotations

import hashlib
import importlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ml_guard.call import Call
from ml_guard.errors import ConfigError
from ml_guard.frames import Columns, planned
from ml_guard.progress import Progress
from ml_guard.shapes import BaselineFromData
from ml_guard.tabular import Table, table_of
from ml_guard.weekdays import check

PART_ROWS = 5_000
"""Values of a line: some 100 KB."""

_BUILT_IN = {"y_pred": "@y_pred", "y_proba": "@y_proba", "latency_ms": "@latency_ms"}
_GZIP = 16 + zlib.MAX_WBITS
_encode = msgspec.json.Encoder().encode


def reference_call(
    data: Any,
    names: Mapping[str, str | None],
    columns: Mapping[str, str | None],
    features: Columns,
    *,
    leave_out: Iterable[str],
    weekdays: Iterable[int] | None,
    note: str | None,
    name: str | None,
    preview: bool,
    progress: bool | None,
) -> Call[BaselineFromData]:
    """The request that makes a baseline of a frame or of a file. Raises `ConfigError` before anything is sent."""
    missing = [field for field in ("project_id", "model_id") if not names.get(field)]
    if missing:
        raise ConfigError(f"{', '.join(missing)} must be named: whose baseline is it?")
    sha256 = None
    if isinstance(data, (str, Path)):
        data, sha256, name = read_file(Path(data)), _hash_of(Path(data)), name or Path(data).name
    table = table_of(data)
    if table.rows == 0:
        raise ConfigError("the data set has no rows")
    plan = planned(table, {}, columns, None, features)
    chosen = {_BUILT_IN[field]: column for field, column in plan.columns.items() if field in _BUILT_IN}
    unwanted = set(leave_out)
    if absent := sorted(unwanted - set(table.names)):
        raise ConfigError(f"the data has no column {', '.join(absent)} to leave out")
    chosen |= plan.features
    chosen = {feature: column for feature, column in chosen.items() if column not in unwanted}
    days = None if weekdays is None else sorted(weekdays)
    if days is not None:
        check([days])
    query = {**names, "name": name, "sha256": sha256, "weekdays": days, "note": None if preview else note}
    return Call(
        "POST",
        "/baselines/from-data" + ("/preview" if preview else ""),
        BaselineFromData,
        {key: value for key, value in query.items() if value is not None},
        stream=_packed(table, chosen, progress),
    )


def read_file(path: Path) -> Any:
    """The table in a file of CSV, Parquet or Arrow. Raises `ConfigError`."""
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise ConfigError(f"{path} is no file of a known kind: {', '.join(sorted(_READERS))}")
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    try:
        importlib.import_module("pyarrow")
    except ImportError:
        raise ConfigError(f"reading {path} needs pyarrow: pip install 'ml-guard[data]'") from None
    try:
        return _READERS[suffix](path)
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _read_csv(path: Path) -> Any:
    csv = importlib.import_module("pyarrow.csv")
    # An empty field is missing in a column of text too; NA is a country.
    options = csv.ConvertOptions(null_values=["", "null", "NULL", "nan", "NaN"], strings_can_be_null=True)
    return csv.read_csv(path, convert_options=options)


def _read_parquet(path: Path) -> Any:
    return importlib.import_module("pyarrow.parquet").read_table(path)


def _read_arrow(path: Path) -> Any:
    ipc = importlib.import_module("pyarrow.ipc")
    with path.open("rb") as file:
        whole = file.read(6) == b"ARROW1"
        file.seek(0)
        return (ipc.open_file if whole else ipc.open_stream)(file).read_all()


_READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
}


def _hash_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _packed(table: Table, columns: Mapping[str, str], progress: bool | None) -> Callable[[], Iterator[bytes]]:
    def stream() -> Iterator[bytes]:
        packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        with Progress("sending values", table.rows * len(columns), progress) as bar:
            done = 0
            for feature, column in columns.items():
                for start in range(0, table.rows, PART_ROWS):
                    stop = min(start + PART_ROWS, table.rows)
                    values = table.plain(column, start, stop, feature)
                    # A number that is not finite is written raw, and is missing in a baseline.
                    plain = [None if isinstance(value, msgspec.Raw) else value for value in values]
                    chunk = packer.compress(_encode({"feature": feature, "values": plain}) + b"\n")
                    if chunk:
                        yield chunk
                    done += stop - start
                    bar.show(done)
            yield packer.flush()

    return stream
