"""A real Alertmanager drives each branch, through a real Redis, to a closed incident."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis as RedisClient

from tests.end_to_end.daemon import (
    BRANCHES,
    FLIPPED,
    GIVEN_BACK,
    DaemonProcess,
    Healthy,
    rollout,
)
from tests.services.fixtures import AlertmanagerFactory
from tests.services.polling import eventually
from tests.services.redis import Redis


@pytest.mark.services
@pytest.mark.parametrize("branch", BRANCHES)
async def test_an_alert_is_acted_on_and_everything_temporary_is_given_back(
    branch: str,
    scope: str,
    tmp_path: Path,
    redis_server: Redis,
    alertmanager_factory: AlertmanagerFactory,
) -> None:
    """An alert raised in Alertmanager flips the branch's switch in Redis and ends closed."""
    config = {
        "store": "redis",
        "redis": {"url": redis_server.url},
    }
    service, region = scope.split("/")
    async with (
        DaemonProcess(tmp_path / "daemon", config=config) as daemon,
        alertmanager_factory(f"{daemon.url}/api/v1/alertmanager") as alertmanager,
        RedisClient.from_url(redis_server.url) as redis,
    ):
        await rollout(daemon, scope)
        labels = {"alertname": "CanaryIsBad", "service": service, "region": region}
        await alertmanager.post_alert({**labels, "rollback": branch}, {"summary": "it is bad"})

        watched = await daemon.until_incident(scope, "watching")
        control, field, value = FLIPPED[branch]
        key = f"rollbackd:{{{scope}}}:control:{control}"
        while_open = json.loads(await redis.hget(key, "effective"))
        assert while_open[field] == value

        async with Healthy(daemon, scope):
            closed = await daemon.until_incident(scope, "closed")
        assert closed["id"] == watched["id"]
        assert closed["branch"] == branch
        for name, expected in GIVEN_BACK[branch].items():
            stored = await redis.hget(f"rollbackd:{{{scope}}}:control:{name}", "effective")
            assert expected.items() <= json.loads(stored).items()
        assert [i["state"] for i in await daemon.incidents(scope)] == ["closed"]
        assert (daemon.state_dir / "incidents" / closed["id"] / "report.md").is_file()
        assert daemon.unhandled() == []


@pytest.mark.services
async def test_an_alert_sent_while_the_daemon_is_down_is_not_lost(
    scope: str, tmp_path: Path, alertmanager_factory: AlertmanagerFactory
) -> None:
    """Alertmanager retries until the daemon is back, and the incident opens then."""
    daemon = DaemonProcess(tmp_path / "daemon")
    service, region = scope.split("/")
    async with alertmanager_factory(f"{daemon.url}/api/v1/alertmanager") as alertmanager:
        labels = {"alertname": "CanaryIsBad", "service": service, "region": region}
        await alertmanager.post_alert({**labels, "rollback": "cost_or_latency"}, {})
        async with daemon:
            await daemon.until_incident(scope, "watching", within_seconds=60)


@pytest.mark.services
async def test_a_resolved_alert_is_not_green(
    scope: str, tmp_path: Path, alertmanager_factory: AlertmanagerFactory
) -> None:
    """An incident goes on watching when its alert resolves and no target has data."""
    daemon = DaemonProcess(tmp_path / "daemon")
    service, region = scope.split("/")
    labels = {"alertname": "CanaryIsBad", "service": service, "region": region}
    labels["rollback"] = "cost_or_latency"
    async with (
        daemon,
        alertmanager_factory(f"{daemon.url}/api/v1/alertmanager") as alertmanager,
    ):
        await alertmanager.post_alert(labels, {})
        await daemon.until_incident(scope, "watching")
        await alertmanager.post_alert(labels, {}, ends_at=datetime.now(UTC))

        async def series_ended() -> bool:
            answer = await daemon.get("/api/v1/query?expr=ALERTS{rollback!=''}")
            return answer["vector"] == []

        await eventually(series_ended, within_seconds=20)
        incident = (await daemon.incidents(scope))[0]
        assert incident["state"] == "watching"
        assert incident["hold"]["green_ms"] == 0
