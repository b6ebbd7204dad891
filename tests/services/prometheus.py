"""A Prometheus that scrapes and evaluates several times a second, and promtool as an oracle."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from tests.services.processes import ServerProcess, answers_http


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of an instant vector; a scalar has no labels."""

    labels: Mapping[str, str]
    value: float


class QueryError(Exception):
    """Prometheus refused an expression; the message is its own."""


class Prometheus(ServerProcess):
    """One Prometheus; it scrapes `/metrics` of each `host:port` as job `scraped`."""

    name = "prometheus"

    def __init__(
        self,
        directory: Path,
        scrape_targets: Sequence[str],
        rule_files: Sequence[Path] = (),
        *,
        alertmanagers: Sequence[str] = (),
        interval: str = "200ms",
        remote_write: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(directory)
        self.scrape_targets = scrape_targets
        self.rule_files = rule_files
        self.alertmanagers = alertmanagers
        self.interval = interval
        #: An entry of `remote_write`, at least its `url`.
        self.remote_write = remote_write

    @property
    def url(self) -> str:
        """The root of its HTTP API."""
        return f"http://{self.address}"

    async def prepare(self) -> None:
        # a JSON document is a YAML document
        self._config_file.write_text(json.dumps(self._config(), indent=2))

    def command(self) -> Sequence[str | Path]:
        return [
            "prometheus",
            f"--config.file={self._config_file}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={self.address}",
            "--rules.alert.resend-delay=1s",
        ]

    async def answers(self) -> bool:
        """Whether it is ready, and knows its targets and Alertmanagers: it takes them up later."""
        if not await answers_http(f"{self.url}/-/ready"):
            return False
        targets = await self._get("targets")
        alertmanagers = await self._get("alertmanagers")
        return len(targets["activeTargets"]) == len(self.scrape_targets) and len(
            alertmanagers["activeAlertmanagers"]
        ) == len(self.alertmanagers)

    async def query(self, expr: str) -> list[Sample]:
        """The value of an instant query, now. A range selector is not an instant query."""
        return _samples(await self._get("query", query=expr))

    async def _get(self, what: str, **parameters: str) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/api/v1/{what}", params=parameters) as response,
        ):
            body = await response.json()
        if body["status"] != "success":
            raise QueryError(body["error"])
        return body["data"]

    @property
    def _config_file(self) -> Path:
        return self.directory / "prometheus.yml"

    def _config(self) -> dict[str, object]:
        return {
            "global": {
                "scrape_interval": self.interval,
                "scrape_timeout": self.interval,
                "evaluation_interval": self.interval,
            },
            "rule_files": [str(path.absolute()) for path in self.rule_files],
            "scrape_configs": [
                {"job_name": "scraped", "static_configs": [{"targets": [*self.scrape_targets]}]}
            ],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [*self.alertmanagers]}]}]
            },
            "remote_write": [self.remote_write] if self.remote_write else [],
        }


def _samples(data: Mapping[str, Any]) -> list[Sample]:
    match data["resultType"]:
        case "vector":
            return [Sample(one["metric"], float(one["value"][1])) for one in data["result"]]
        case "scalar":
            return [Sample({}, float(data["result"][1]))]
        case other:
            raise QueryError(f"a {other} is not an instant vector")


class Verdict(NamedTuple):
    """What promtool said; a return code of 0 is its yes."""

    returncode: int
    output: str


def check_rules(*rule_files: Path) -> Verdict:
    """`promtool check rules`."""
    return _promtool("check", "rules", *rule_files)


def unit_test_rules(*test_files: Path) -> Verdict:
    """`promtool test rules`."""
    return _promtool("test", "rules", *test_files)


def check_metrics(exposition: str) -> Verdict:
    """`promtool check metrics`, with its linter: return code 3 is a matter of style."""
    return _promtool("check", "metrics", stdin=exposition)


def _promtool(*arguments: str | Path, stdin: str = "") -> Verdict:
    done = subprocess.run(
        ["promtool", *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return Verdict(done.returncode, done.stdout)
