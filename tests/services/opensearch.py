"""One node of OpenSearch or of Elasticsearch, from jars: no registry has the distributions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import aiohttp

from tests.services.availability import jars_of
from tests.services.processes import ServerProcess, free_port

_FOLDER = Path(__file__).parent


class OpenSearch(ServerProcess):
    """Nobody has to log in."""

    name = "opensearch"
    node: ClassVar[Path] = _FOLDER / "opensearch_node" / "OpenSearchNode.java"
    start_seconds: ClassVar[float] = 120.0

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.transport_port = free_port()

    @property
    def url(self) -> str:
        """The REST API."""
        return f"http://{self.address}"

    def command(self) -> Sequence[str | Path]:
        return [
            *("java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-Dlog4j2.level=WARN", "-cp", f"{jars_of(self.name)}/*", self.node),
            *(self.directory / "home", str(self.port), str(self.transport_port)),
        ]

    async def answers(self) -> bool:
        return bool((await self.call("GET", "/_cluster/health"))["status"] != "red")

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """What the API answers, read as JSON; an error of the API is an error here."""
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.request(method, path, json=body) as response,
        ):
            found = await response.json()
            if response.status >= 400:
                raise OSError(f"{method} {path}: {response.status} {found}")
            return found


class Elasticsearch(OpenSearch):
    """The other one."""

    name = "elasticsearch"
    node: ClassVar[Path] = _FOLDER / "elasticsearch_node" / "ElasticsearchNode.java"
