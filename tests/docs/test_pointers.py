"""Do the pages point at what is there: files, tests that hold a promise, other pages, pictures?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TOPS = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} | {".ci", ".github"}
TEST_FILES = sorted((ROOT / "tests").rglob("test_*.py"))


def quoted(page: Path) -> Iterator[str]:
    yield from re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    for words in quoted(page):
        name = words.removeprefix("./").partition("::")[0]
        if re.fullmatch(r"[\w./-]+/[\w.-]*", name) and name.split("/")[0] in TOPS:
            assert (ROOT / name).exists() or (ROOT / "tests" / name).exists(), f"{page.name}: `{words}`"
        if found := re.match(r"python -m (bench|docs|stream|api|dashboards)((?:\.\w+)*)", words):
            module = ROOT / (found[1] + found[2]).replace(".", "/")
            assert module.with_suffix(".py").exists() or module.is_dir(), f"{page.name}: `{words}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    for words in quoted(page):
        if found := re.fullmatch(r"(?:tests/)?((?:\w+/)*test_\w+\.py)(?:::(test_\w+))?", words):
            texts = [path.read_text() for path in TEST_FILES if path.as_posix().endswith(f"/{found[1]}")]
            assert texts, f"{page.name}: `{words}`"
            assert any(f"def {found[2] or 'test_'}" in text for text in texts), f"{page.name}: `{words}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


def test_the_readme_names_its_two_commands_before_everything_else() -> None:
    commands = re.search(r"```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert commands is not None
    assert [line.split("#")[0].strip() for line in commands[1].splitlines()] == ["make demo", "make test"]
