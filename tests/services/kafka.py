"""A Kafka broker: Apache Kafka where it can be had, else Tansu."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from tests.services.availability import apache_kafka, kafka_jars, kafka_version, tansu_binary
from tests.services.polling import eventually
from tests.services.processes import HOST, ServerProcess, exited, free_port, spawn

_CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"
_FORMAT_SECONDS = 30.0
_TOPIC_SECONDS = 15.0
_COORDINATOR_NOT_READY = {14, 15, 16}


class Broker(ServerProcess):
    """One broker that clients reach at `address`; topics exist once they were created.

    With `advertised_port` it sends its clients there after their first question: to a proxy, for
    which the broker then is of use only while the proxy listens.
    """

    keeps_data: ClassVar[bool]

    def __init__(self, directory: Path, *, advertised_port: int | None = None) -> None:
        super().__init__(directory)
        self.advertised_port = advertised_port or self.port

    @property
    def flavor(self) -> str:
        """The product and its version."""
        raise NotImplementedError

    async def answers(self) -> bool:
        """Whether clients get metadata and, unless they are sent to a proxy, a coordinator."""
        # a plain connection first: the client logs each refusal as an error
        _, writer = await asyncio.open_connection(HOST, self.port)
        writer.close()
        try:
            async with self._admin() as admin:
                return self.advertised_port != self.port or await _coordinates(admin)
        except KafkaError:
            return False

    async def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic and wait until each partition has a leader."""
        async with self._admin() as admin:
            response = await admin.create_topics(
                [NewTopic(name, num_partitions=partitions, replication_factor=1)]
            )
            for _, code, *message in response.topic_errors:
                if code:
                    raise ValueError(f"topic {name!r} refused: error {code} {message}")

            async def is_led() -> bool:
                (topic,) = await admin.describe_topics([name])
                leaders = [partition["leader"] for partition in topic["partitions"]]
                return len(leaders) == partitions and -1 not in leaders

            await eventually(is_led, within_seconds=_TOPIC_SECONDS)

    @contextlib.asynccontextmanager
    async def _admin(self) -> AsyncIterator[Any]:
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=5_000)
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()


class Kafka(Broker):
    """Apache Kafka, one KRaft node; what it acknowledged survives `kill`."""

    name = "kafka"
    keeps_data = True

    def __init__(self, directory: Path, *, advertised_port: int | None = None) -> None:
        super().__init__(directory, advertised_port=advertised_port)
        self.controller_port = free_port()

    @property
    def flavor(self) -> str:
        return f"apache-kafka {kafka_version()}"

    async def prepare(self) -> None:
        """Write the configuration, and format the data directory unless it is formatted."""
        if (self._data / "meta.properties").exists():
            return
        settings = "".join(f"{key}={value}\n" for key, value in self._settings().items())
        self._config_file.write_text(settings)
        command = self._java(
            "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", self._config_file
        )
        formatting = spawn(command, log=self.log, directory=self.directory)
        if await exited(formatting, within_seconds=_FORMAT_SECONDS):
            raise self._failed("could not format its data directory")

    def command(self) -> Sequence[str | Path]:
        return self._java("kafka.Kafka", self._config_file)

    @property
    def _config_file(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _java(self, main: str, *arguments: str | Path) -> list[str | Path]:
        return [
            *("java", "-Xmx512m", "-XX:-UsePerfData", f"-Djava.io.tmpdir={self.directory}"),
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
            *("-cp", f"{kafka_jars()}/*", main, *arguments),
        ]

    def _settings(self) -> dict[str, object]:
        controller = f"{HOST}:{self.controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.advertised_port}",
            "log.dirs": self._data,
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 500,
            # after a kill, the node's own controller holds its last session to be alive this long
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
        }


class Tansu(Broker):
    """Tansu: part of Kafka's protocol, in memory, so that it forgets all when it ends."""

    name = "tansu"
    keeps_data = False

    @property
    def flavor(self) -> str:
        return "tansu"

    def command(self) -> Sequence[str | Path]:
        return [
            *(tansu_binary() or "tansu", "broker", "--storage-engine", "memory://tansu/"),
            *("--listener-url", f"tcp://{self.address}"),
            *("--advertised-listener-url", f"tcp://{HOST}:{self.advertised_port}"),
        ]


def kafka_broker(directory: Path, *, advertised_port: int | None = None) -> Broker:
    """The best broker of this machine, not started; KAFKA_FLAVOR=tansu asks for that one."""
    if os.environ.get("KAFKA_FLAVOR") == "tansu" or apache_kafka() is not None:
        return Tansu(directory, advertised_port=advertised_port)
    return Kafka(directory, advertised_port=advertised_port)


async def _coordinates(admin: Any) -> bool:
    (response,) = await admin.describe_consumer_groups(["is-there-a-coordinator"])
    return all(group[0] not in _COORDINATOR_NOT_READY for group in response.groups)
