"""How is Apache Kafka run here? One KRaft node on loopback, formatted once, started from its jars."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded.downloads import kafka_jars
from embedded.errors import PartFailedError
from embedded.process import HOST, Part, accepts, free_port

START_TIMEOUT_S = 60
JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseG1GC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")

# One node: nothing to replicate to, and no reason to wait for other members of a group.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}{behind}
advertised.listeners=PLAINTEXT://{host}:{port}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,BEHIND:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller_port}
log.dirs={logs}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
num.partitions=4
message.max.bytes=8388608
"""


@dataclass(frozen=True)
class Behind:
    """A second listener for clients behind a proxy: the broker listens on `port` and calls itself `advertised`."""

    port: int
    advertised: int


def start(
    data_dir: Path,
    port: int,
    log: Path,
    behind: Behind | None = None,
    properties_more: str = "",
    format_more: Sequence[str] = (),
) -> Part:
    """A broker that listens on `port` when this returns.

    `properties_more` are lines of server.properties that come last and so hold, `format_more` options of `format`.
    """
    classpath = f"{kafka_jars()}/*"
    data_dir.mkdir(parents=True, exist_ok=True)
    properties = data_dir / "server.properties"
    logs = data_dir / "logs"
    settings = {"host": HOST, "port": port, "controller_port": free_port(), "logs": logs}
    listeners = {
        "behind": f",BEHIND://{HOST}:{behind.port}" if behind else "",
        "advertised": f",BEHIND://{HOST}:{behind.advertised}" if behind else "",
    }
    properties.write_text(PROPERTIES.format(**settings, **listeners) + properties_more)
    if not (logs / "meta.properties").exists():
        _format(classpath, properties, format_more)
    part = Part("Kafka", ["java", *JVM, "-cp", classpath, "kafka.Kafka", str(properties)], log)
    try:
        part.wait_until(lambda: accepts(port), START_TIMEOUT_S)
    except PartFailedError:
        part.kill()
        raise
    return part


def _format(classpath: str, properties: Path, more: Sequence[str]) -> None:
    # `A` in front: an id that happens to begin with `-` would be taken for an option.
    cluster = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
    tool = [
        "java",
        "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        classpath,
    ]
    command = [*tool, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False)
    if done.returncode:
        raise PartFailedError(f"Kafka's log folder could not be formatted:\n{done.stdout}{done.stderr}")
