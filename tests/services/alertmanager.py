"""An Alertmanager that notifies one webhook as fast as it can."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import aiohttp

from tests.services.processes import ServerProcess, answers_http


class Alertmanager(ServerProcess):
    """One Alertmanager without gossip; each alertname is a group of its own.

    Alerts it never keeps. Its notification log survives `restart`; after a `kill` it has forgotten
    what it sent since it last stopped, and sends that again.
    """

    name = "prometheus-alertmanager"

    def __init__(
        self,
        directory: Path,
        webhook_url: str,
        *,
        bearer_token_file: Path | None = None,
        group_interval: str = "100ms",
        repeat_interval: str = "4h",
    ) -> None:
        super().__init__(directory)
        self.webhook_url = webhook_url
        self.bearer_token_file = bearer_token_file
        self.group_interval = group_interval
        self.repeat_interval = repeat_interval

    @property
    def url(self) -> str:
        """The root of its HTTP API."""
        return f"http://{self.address}"

    async def prepare(self) -> None:
        # a JSON document is a YAML document
        self._config_file.write_text(json.dumps(self._config(), indent=2))

    def command(self) -> Sequence[str | Path]:
        return [
            "prometheus-alertmanager",
            f"--config.file={self._config_file}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
        ]

    async def answers(self) -> bool:
        return await answers_http(f"{self.url}/-/ready")

    async def post_alert(
        self,
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
        *,
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
    ) -> None:
        """Send one alert as Prometheus does; one whose `ends_at` has passed is resolved."""
        alert: dict[str, object] = {"labels": dict(labels), "annotations": dict(annotations)}
        if starts_at is not None:
            alert["startsAt"] = _rfc3339(starts_at)
        if ends_at is not None:
            alert["endsAt"] = _rfc3339(ends_at)
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/api/v2/alerts", json=[alert]) as response,
        ):
            if response.status != 200:
                raise ValueError(f"alert refused: {response.status} {await response.text()}")

    @property
    def _config_file(self) -> Path:
        return self.directory / "alertmanager.yml"

    def _config(self) -> dict[str, object]:
        webhook: dict[str, object] = {"url": self.webhook_url, "send_resolved": True}
        if self.bearer_token_file is not None:
            authorization = {"type": "Bearer", "credentials_file": str(self.bearer_token_file)}
            webhook["http_config"] = {"authorization": authorization}
        return {
            "route": {
                "receiver": "webhook",
                "group_by": ["alertname"],
                "group_wait": "0s",
                "group_interval": self.group_interval,
                "repeat_interval": self.repeat_interval,
            },
            "receivers": [{"name": "webhook", "webhook_configs": [webhook]}],
        }


def _rfc3339(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return moment.isoformat()
