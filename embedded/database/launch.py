"""How is the database started? Node runs server.mjs over a directory; this starts it and knows its address."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from embedded.downloads import DATABASE_DIR, database_modules
from embedded.errors import PartFailedError
from embedded.process import HOST, Part, accepts

USER = "ml_guard"
DATABASE = "ml_guard"
DEMO_PASSWORD = "ml_guard"  # noqa: S105 -- the documented demo credential, loopback only
START_TIMEOUT_S = 60


def url(port: int, password: str = DEMO_PASSWORD, user: str = USER) -> str:
    return f"postgresql://{user}:{password}@{HOST}:{port}/{DATABASE}"


def start(
    data_dir: Path, port: int, log: Path, password: str = DEMO_PASSWORD, options: Sequence[str] = ()
) -> Part:
    """A database that accepts clients on `port` when this returns; `options` are server.mjs's own."""
    database_modules()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    command = ["node", str(DATABASE_DIR / "server.mjs"), "--data", str(data_dir), "--port", str(port)]
    command += ["--user", USER, "--database", DATABASE, *options]
    part = Part("the database", command, log, env={"ML_GUARD_DATABASE_PASSWORD": password})
    try:
        part.wait_until(lambda: accepts(port), START_TIMEOUT_S)
    except PartFailedError:
        part.kill()
        raise
    return part
