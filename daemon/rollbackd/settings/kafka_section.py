"""Reading `kafka`: where events come from."""

from pathlib import Path

from rollbackd.documents.reader import Reader
from rollbackd.settings.scalars import optional_file
from rollbackd.settings.values import TOPIC_FORMATS, KafkaSettings, KafkaTopic


def read_kafka(reader: Reader, folder: Path) -> KafkaSettings:
    """The `kafka` section: brokers, topics, and how to sign in."""
    f = reader.fields(
        (
            "bootstrap_servers", "topics", "group_id", "client_id", "dead_letter_topic",
            "offset_reset", "security_protocol", "sasl_mechanism", "username", "password_file",
            "ca_file", "cert_file", "key_file", "insecure", "session_timeout", "stall",
        ),
        required=("bootstrap_servers", "topics"),
    )  # fmt: skip
    protocols = ("PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT")
    mechanisms = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    settings = KafkaSettings(
        bootstrap_servers=f.read("bootstrap_servers", Reader.string_list, []),
        topics=f.read("topics", lambda r: [_topic(i) for i in r.items()], []),
        group_id=f.read("group_id", Reader.string, "rollbackd"),
        client_id=f.read("client_id", Reader.string, "rollbackd"),
        dead_letter_topic=f.read("dead_letter_topic", Reader.string, ""),
        offset_reset=f.read(
            "offset_reset", lambda r: r.choice(("earliest", "latest"), "earliest"), "earliest"
        ),
        security_protocol=f.read(
            "security_protocol", lambda r: r.choice(protocols, "PLAINTEXT"), "PLAINTEXT"
        ),
        sasl_mechanism=f.read(
            "sasl_mechanism", lambda r: r.choice(mechanisms, "SCRAM-SHA-512"), "SCRAM-SHA-512"
        ),
        username=f.read("username", Reader.string, None),
        password_file=optional_file(f, "password_file", folder),
        ca_file=optional_file(f, "ca_file", folder),
        cert_file=optional_file(f, "cert_file", folder),
        key_file=optional_file(f, "key_file", folder),
        insecure=f.read("insecure", Reader.boolean, default=False),
        session_timeout_ms=f.read("session_timeout", Reader.positive_duration_ms, 30_000),
        stall_ms=f.read("stall", Reader.positive_duration_ms, 30_000),
    )
    if settings.security_protocol == "SASL_PLAINTEXT" and not settings.insecure:
        f.problem(
            "security_protocol",
            "config/kafka-plaintext",
            "`SASL_PLAINTEXT` sends the password in the clear",
            fix="use `SASL_SSL`, or say `insecure: true`",
        )
    if settings.security_protocol.startswith("SASL") and not settings.password_file:
        reader.problem("key/missing", "`password_file` is missing for SASL")
    return settings


def _topic(reader: Reader) -> KafkaTopic:
    f = reader.fields(("name", "format", "mapping"), required=("name",))
    if "mapping" in f and "format" in f:
        f.problem("mapping", "config/exclusive-keys", "`mapping` and `format` exclude each other")
    return KafkaTopic(
        name=f.read("name", Reader.string, ""),
        format=f.read("format", lambda r: r.choice(TOPIC_FORMATS, "auto"), "auto"),
        mapping=f.read("mapping", Reader.string, ""),
    )
