"""What aiokafka is told about security."""

import shutil
import ssl
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from rollbackd.settings import KafkaSettings, KafkaTopic
from rollbackd.sources.kafka import connection, driver


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the PATH")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the next consumer is made of."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(driver, "consumer", lambda **given: seen.update(given))
    return seen


def settings(**changes: Any) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=["b:9092"], topics=[KafkaTopic(name="t")], **changes)


def test_nothing_is_committed_automatically(options: dict[str, Any]) -> None:
    connection.new_consumer(settings())
    assert options["enable_auto_commit"] is False
    assert options["isolation_level"] == "read_committed"
    assert "group_instance_id" not in options
    assert "ssl_context" not in options
    assert options["client_id"].startswith("rollbackd-")


def test_tls_has_a_floor_and_checks_names(
    options: dict[str, Any], certificate: tuple[Path, Path]
) -> None:
    cert, key = certificate
    connection.new_consumer(
        settings(security_protocol="SSL", ca_file=cert, cert_file=cert, key_file=key)
    )
    context = options["ssl_context"]
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1


def test_the_password_is_read_again_for_each_consumer(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """A rotated password counts from the next rebuild on."""
    file = tmp_path / "password"
    sasl = settings(security_protocol="SASL_SSL", username="u", password_file=file)
    for password in ("one", "two"):
        file.write_text(f"{password}\n")
        connection.new_consumer(sasl)
        assert options["sasl_plain_password"] == password
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_username"] == "u"


def test_a_secret_that_is_missing_says_which_file(tmp_path: Path) -> None:
    file = tmp_path / "missing"
    with pytest.raises(OSError, match="missing"):
        connection.new_consumer(settings(security_protocol="SASL_SSL", password_file=file))


def test_a_topic_is_subscribed_once() -> None:
    twice = KafkaSettings(
        bootstrap_servers=["b:9092"], topics=[KafkaTopic(name=n) for n in ("a", "b", "a")]
    )
    assert connection.topic_names(twice) == ["a", "b"]


def fetched(count: int) -> PartitionRecords:
    """Records as aiokafka keeps them between a fetch and a poll."""
    written = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for offset in range(count):
        value = str(offset).encode()
        assert written.append(offset, 1, b"k", value, [("h", b"v")]) is not None
    parsed = MemoryRecords(bytes(written.build()))
    options: dict[str, Any] = {
        "aborted_transactions": None, "fetch_offset": 0, "key_deserializer": None,
        "value_deserializer": None, "check_crcs": True, "isolation_level": 1,
    }  # fmt: skip
    return PartitionRecords(TopicPartition("t", 0), parsed, **options)


async def test_records_come_as_they_were_parsed() -> None:
    """aiokafka hands out what it has fetched without making records of its own of it."""
    consumer: Any = driver.consumer(bootstrap_servers="nobody:9092")
    consumer._coordinator = SimpleNamespace(check_errors=lambda: None)
    buffered = fetched(3)

    async def hand_out(*_: object, **__: object) -> list[Any]:
        return list(buffered)

    consumer._fetcher = SimpleNamespace(
        _records={1: SimpleNamespace(_partition_records=buffered), 2: SimpleNamespace()},
        fetched_records=hand_out,
    )
    records = await consumer.getmany(timeout_ms=0)
    consumer._closed = True  # it was never started
    assert [(r.offset, r.key, r.value, list(r.headers)) for r in records] == [
        (offset, b"k", str(offset).encode(), [("h", b"v")]) for offset in range(3)
    ]
    assert not any(isinstance(record, ConsumerRecord) for record in records)
    assert buffered.next_fetch_offset == 3
