"""Is there what Kafka and TimescaleDB need to run? Java, Maven and Node, each new enough."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from embedded.errors import MissingToolError

ANSWER_TIMEOUT_S = 60


@dataclass(frozen=True)
class Tool:
    """A program, the oldest version that does, and where a person gets it."""

    name: str
    program: str
    question: str
    oldest: tuple[int, ...]
    needed_for: str
    source: str

    def version(self) -> tuple[int, ...] | None:
        """None when it is not there or does not say; Debian's Java, asked for 17, answers `17.0.15`."""
        if shutil.which(self.program) is None:
            return None
        asked = [self.program, self.question]
        try:
            done = subprocess.run(
                asked, capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return parse_version(done.stdout + done.stderr)

    def trouble(self) -> str | None:
        """One sentence if it is missing or too old."""
        wanted = ".".join(map(str, self.oldest))
        found = self.version()
        if found is not None and found >= self.oldest:
            return None
        state = "is not there" if found is None else f"is {'.'.join(map(str, found))}"
        return f"{self.name} {wanted} or later runs {self.needed_for}, but `{self.program}` {state}: {self.source}"


JAVA = Tool(
    "Java",
    "java",
    "-version",
    (17,),
    "Kafka",
    "install it with `apt install openjdk-17-jre-headless`, `brew install openjdk@17` or from https://adoptium.net",
)
MAVEN = Tool(
    "Maven",
    "mvn",
    "--version",
    (3, 6),
    "Kafka's download",
    "install it with `apt install maven`, `brew install maven` or from https://maven.apache.org",
)
NODE = Tool(
    "Node",
    "node",
    "--version",
    (20,),
    "TimescaleDB",
    "install it with `brew install node` or from https://nodejs.org",
)
NPM = Tool(
    "npm", "npm", "--version", (8,), "TimescaleDB's download", "it comes with Node from https://nodejs.org"
)


def parse_version(text: str) -> tuple[int, ...] | None:
    """The first version number of an answer.

    >>> parse_version('openjdk version "17.0.15" 2025-04-15')
    (17, 0, 15)
    >>> parse_version('java version "1.8.0_292"')
    (8, 0)
    >>> parse_version("v20.20.2")
    (20, 20, 2)
    >>> parse_version("Apache Maven 3.8.7")
    (3, 8, 7)
    >>> parse_version("\\x1b[1mApache Maven 3.8.7\\x1b[m")  # as it answers where colour is forced
    (3, 8, 7)
    """
    found = re.search(r"(\d+(?:\.\d+)*)", re.sub(r"\x1b\[[\d;]*m", "", text))
    if found is None:
        return None
    numbers = tuple(int(part) for part in found.group(1).split("."))
    return numbers[1:] if numbers[0] == 1 and len(numbers) > 1 else numbers


def require(*tools: Tool) -> None:
    """Raises with a sentence for each that is missing or too old."""
    troubles = [trouble for tool in tools if (trouble := tool.trouble()) is not None]
    if troubles:
        raise MissingToolError("; ".join(troubles) + ".")
