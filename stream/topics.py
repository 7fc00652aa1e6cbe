"""Which topics does ML Guard need, and are they there?"""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, TopicAlreadyExistsError, for_code

from stream.kafka import connection, no_broker
from stream.settings import Settings

# Seen batches expire by the time at which the broker appended them: a producer's clock cannot be trusted with that.
EVENTS_CONFIG = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete"}
DEAD_CONFIG = {"cleanup.policy": "delete"}


async def ensure_topics(settings: Settings, replication_factor: int = 1) -> list[str]:
    """Create the topics that are missing and return their names; those that exist stay as they are.

    Raises:
        ConfigError: the settings of Kafka contradict one another.
        NoBrokerError: with a sentence that says why it does not answer.
    """
    client = connection(settings)
    admin = AIOKafkaAdminClient(**client)
    try:
        await admin.start()
        present = set(await admin.list_topics())
        wanted = [
            NewTopic(settings.topic, settings.partitions, replication_factor, topic_configs=EVENTS_CONFIG),
            NewTopic(settings.dead_topic, 1, replication_factor, topic_configs=DEAD_CONFIG),
        ]
        missing = [topic for topic in wanted if topic.name not in present]
        if missing:
            answer = await admin.create_topics(missing)
            for name, code, *explanation in answer.topic_errors:
                if code and for_code(code) is not TopicAlreadyExistsError:
                    reason = next((text for text in explanation if text), for_code(code).__name__)
                    raise RuntimeError(f"Kafka refused to create the topic {name}: {reason}")
        return [topic.name for topic in missing]
    except KafkaConnectionError as error:
        raise await no_broker(client, error) from error
    finally:
        await admin.close()
