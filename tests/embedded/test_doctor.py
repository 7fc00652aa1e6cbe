"""Does the doctor see what is set up in a way that costs something later?"""

from __future__ import annotations

import uuid

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from embedded.doctor import examine
from stream.settings import Settings


@pytest.mark.parametrize(("kind", "well"), [("LogAppendTime", True), ("CreateTime", False)])
async def test_a_topic_that_takes_its_producers_times_is_told(kafka: str, kind: str, well: bool) -> None:
    topic = f"events-{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"message.timestamp.type": kind})])
    finally:
        await admin.close()
    nowhere = "postgresql://nobody@127.0.0.1:9/none"
    findings = {
        one.what: one for one in await examine(Settings(kafka=kafka, topic=topic, database_url=nowhere))
    }
    found = findings["times of records"]
    assert found.ok == well
    assert well or ("CreateTime" in found.seen and f"--topic {topic}" in found.remedy)
