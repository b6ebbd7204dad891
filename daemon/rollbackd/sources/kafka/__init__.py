"""The Kafka source.

`source` keeps a `session` alive; a session is the life of one consumer. It hands records to one
`partition` each, whose worker decodes them, feeds the sink and says how far it has come; `commits`
writes that down at the broker. `watchdog` notices a consumer that has silently stopped.
"""

from rollbackd.sources.kafka.source import KafkaSource

__all__ = ["KafkaSource"]
