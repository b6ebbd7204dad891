"""Brokers in the config and no topic: the daemon runs, and nobody is connected to."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.end_to_end.daemon import DaemonProcess
from tests.services.polling import eventually


class SilentBroker:
    """Takes connections, counts them, and says nothing."""

    address = ""
    connections = 0

    async def met(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


@pytest.fixture
async def broker() -> AsyncIterator[SilentBroker]:
    silent = SilentBroker()
    server = await asyncio.start_server(silent.met, "127.0.0.1", 0)
    silent.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield silent
    server.close()
    await server.wait_closed()


async def is_ready(daemon: DaemonProcess) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{daemon.url}/-/ready") as answer:
        return answer.status == 200


async def test_a_daemon_without_topics_is_ready_and_connects_to_nobody(
    broker: SilentBroker, tmp_path: Path
) -> None:
    """Events come over HTTP; the log says that none come from Kafka."""
    config = {"kafka": {"bootstrap_servers": [broker.address], "topics": []}}
    async with DaemonProcess(tmp_path / "daemon", config=config) as daemon:
        await eventually(lambda: is_ready(daemon), within_seconds=30)
        await daemon.events({"event": "answer.served", "service": "rag", "values": {"delta_s": 1}})
        metrics = await daemon.get("/metrics", parse=False)
        assert broker.connections == 0
        assert "`kafka` names brokers and no topic" in daemon.log.read_text()
    assert 'rollbackd_events_received_total{source="http"} 1.0' in metrics
    assert 'rollbackd_events_received_total{source="kafka' not in metrics


async def test_a_daemon_with_a_topic_connects(broker: SilentBroker, tmp_path: Path) -> None:
    """The counterpart: who listens at that address is found."""
    config = {"kafka": {"bootstrap_servers": [broker.address], "topics": [{"name": "events"}]}}

    async def met() -> bool:
        return broker.connections > 0

    async with DaemonProcess(tmp_path / "daemon", config=config) as daemon:
        await eventually(met, within_seconds=30)
        assert await daemon.answers()
