"""Does the wheel work where nothing else is installed but what it says that it needs, and is it light?"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MOST_BYTES = 5_000_000


def needed(
    name: str, found: dict[str, metadata.Distribution] | None = None
) -> dict[str, metadata.Distribution]:
    """A distribution's dependencies, and theirs, extras left out."""
    from packaging.requirements import Requirement

    found = {} if found is None else found
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if requirement.name not in found:
            found[requirement.name] = metadata.distribution(requirement.name)
            needed(requirement.name, found)
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The Python of an environment with the wheel and what it needs, copied from ours: no index is asked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(
        subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    )
    for distribution in needed("ml-guard").values():
        for file in distribution.files or ():
            source = Path(str(distribution.locate_file(file)))
            if source.is_file() and ".." not in file.parts and "__pycache__" not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                (site / file).write_bytes(source.read_bytes())
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        "-q",
        str(wheel),
    ]
    subprocess.run(pip, check=True, timeout=120)
    return python


def run(python: Path, script: str, *arguments: str) -> str:
    done = subprocess.run(
        [python, "-I", "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=python.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_sends_and_asks_from_an_empty_environment(empty: Path, bridge: Any) -> None:
    bridge.routes["GET", "/api/v1/health"] = [bridge.answer(200, {"status": "ok"})]
    script = """
    import sys, ml_guard
    assert "wheel" in ml_guard.__file__, ml_guard.__file__
    from ml_guard import MLGuardClient
    from ml_guard.asgi import MLGuardMiddleware
    from ml_guard.testing import RecordingClient
    with MLGuardClient(sys.argv[1], project_id="p", model_id="m") as client:
        client.ingest_event(y_pred=1)
        assert client.flush()
        print(client.health().status)
    """
    assert run(empty, script, bridge.url) == "ok"
    assert len(bridge.events) == 1


def test_what_an_extra_is_needed_for_says_which(empty: Path) -> None:
    script = """
    from ml_guard import ConfigError, MLGuardClient
    try:
        MLGuardClient(kafka="127.0.0.1:9092")
    except ConfigError as error:
        print(error)
    """
    assert "pip install" in run(empty, script)
    assert "ml-guard[kafka]" in run(empty, script)


def test_the_wheel_holds_the_sdk_only(empty: Path) -> None:
    script = """
    import importlib.metadata as m
    print(sorted({f.parts[0] for f in m.files("ml-guard") if not f.parts[0].startswith("..")}))
    """
    assert run(empty, script) == "['ml_guard', 'ml_guard-0.1.0.dist-info']"


def test_it_needs_two_packages_and_is_light() -> None:
    wanted = {text.split(">")[0] for text in metadata.requires("ml-guard") or () if "extra ==" not in text}
    assert wanted == {"msgspec", "httpx"}
    size = sum(
        Path(str(distribution.locate_file(file))).stat().st_size
        for distribution in needed("ml-guard").values()
        for file in distribution.files or ()
        if "__pycache__" not in file.parts and Path(str(distribution.locate_file(file))).is_file()
    )
    own = sum(path.stat().st_size for path in (ROOT / "sdk" / "ml_guard").rglob("*.py"))
    assert size + own < MOST_BYTES
