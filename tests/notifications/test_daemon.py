"""A real daemon tells a real Alertmanager, a webhook and Kafka, and again after `kill -9`."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.daemon import DaemonProcess, Healthy, rollout
from tests.notifications.receiver import Receiver
from tests.notifications.test_alertmanager import firing, until_firing
from tests.services.fixtures import AlertmanagerFactory
from tests.services.kafka import Broker
from tests.services.polling import eventually
from tests.services.processes import HOST, free_port
from tests.sources.conftest import Bench


@pytest.mark.services
@pytest.mark.slow
async def test_from_the_config_file_to_everybody(
    tmp_path: Path,
    kafka: Broker,
    alertmanager_factory: AlertmanagerFactory,
    receiver: Receiver,
) -> None:
    name = uuid.uuid4().hex[:8]
    scope = f"rag-{name}/eu"
    await kafka.create_topic(f"decisions-{name}", 1)
    await kafka.create_topic(f"events-{name}", 1)
    async with alertmanager_factory(f"http://{HOST}:{free_port()}/") as alertmanager:
        config = {
            "kafka": {"bootstrap_servers": [kafka.address], "topics": [{"name": f"events-{name}"}]},
            "notifications": {
                "alertmanager": {"urls": [alertmanager.url], "resend": "1s"},
                "webhooks": [{"name": "chat", "url": receiver.url, "events": ["decision"]}],
                "cloudevents": {"topic": f"decisions-{name}"},
            },
        }
        async with DaemonProcess(tmp_path / "daemon", config=config) as daemon:
            await rollout(daemon, scope)
            body = {"branch": "quality_regression", "scope": scope, "reason": "by hand"}
            status, answer = await daemon.send("POST", "/api/v1/incidents", body)
            assert status in {200, 201}, answer
            await until_firing(alertmanager, "RollbackdIncidentOpen")
            daemon.kill()
            await daemon.start()
            async with Healthy(daemon, scope):
                closed = await daemon.until_incident(scope, "closed")
            await until_firing(alertmanager)
            detail = await daemon.get(f"/api/v1/incidents/{closed['id']}")
            journal = [record["sequence"] for record in detail["journal"]]

            async def all_told() -> bool:
                told = {r.json["decision"]["sequence"] for r in receiver.requests}
                return journal[-1] in told

            await eventually(all_told, within_seconds=20)
            published = await _published(kafka, f"decisions-{name}", journal[-1])
            assert sorted(set(published)) == journal
            assert daemon.unhandled() == []
        assert await firing(alertmanager) == {}


async def _published(kafka: Broker, topic: str, last: int) -> list[int]:
    """The sequences in a topic, up to the last one of an incident."""
    bench = Bench(kafka, topic=topic, group="onlooker")

    async def there() -> list[int]:
        records: list[Any] = await bench.read_topic(topic, await bench.end())
        found = [json.loads(record.value)["sequence"] for record in records]
        return found if last in found else []

    return await eventually(there, within_seconds=30)
