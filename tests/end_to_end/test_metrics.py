"""The daemon's own metrics, judged by Prometheus."""

from pathlib import Path

import pytest

from tests.end_to_end.daemon import DaemonProcess, rollout
from tests.services.fixtures import PrometheusFactory
from tests.services.polling import eventually
from tests.services.prometheus import check_metrics


@pytest.mark.services
async def test_prometheus_scrapes_the_daemon_and_sees_the_freeze(
    scope: str, tmp_path: Path, prometheus_factory: PrometheusFactory
) -> None:
    """A real Prometheus sees the frozen writes and their age while an incident is open."""
    async with DaemonProcess(tmp_path / "daemon") as daemon:
        await rollout(daemon, scope)
        status, _ = await daemon.send(
            "POST",
            "/api/v1/incidents",
            {"branch": "quality_regression", "scope": scope, "reason": "by hand"},
        )
        assert status in {200, 201}
        await daemon.until_incident(scope, "watching")
        async with prometheus_factory([daemon.address]) as prometheus:

            async def frozen_for_a_while() -> bool:
                age = await prometheus.query(
                    f'rollbackd_writes_frozen_age_seconds{{scope="{scope}"}} > 0'
                    f' and rollbackd_writes_frozen{{scope="{scope}"}} == 1'
                )
                return bool(age)

            await eventually(frozen_for_a_while, within_seconds=30)
            state = await prometheus.query("rollbackd_incident_state == 1")
            assert [s.labels["state"] for s in state] == ["watching"]


@pytest.mark.services
async def test_promtool_accepts_the_metrics(scope: str, tmp_path: Path) -> None:
    """`promtool check metrics` has nothing to say, also after an incident was opened."""
    async with DaemonProcess(tmp_path / "daemon") as daemon:
        await rollout(daemon, scope)
        await daemon.send(
            "POST",
            "/api/v1/incidents",
            {"branch": "cost_or_latency", "scope": scope, "reason": "by hand"},
        )
        await daemon.until_incident(scope, "watching")
        verdict = check_metrics(await daemon.get("/metrics", parse=False))
        assert verdict.returncode == 0, verdict.output
        assert verdict.output.strip() == ""
