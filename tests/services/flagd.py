"""A flagd that serves the flags of one file, or of one HTTP address."""

from collections.abc import Sequence
from pathlib import Path

from tests.services.processes import HOST, ServerProcess, answers_http, free_port


class Flagd(ServerProcess):
    """One flagd; `source` is `file:PATH` or `http://...`, as its option `--uri` takes it.

    It keeps nothing: after a start its flags are what the source says.
    """

    name = "flagd"

    def __init__(self, directory: Path, source: str) -> None:
        super().__init__(directory)
        self.source = source
        self.ofrep_port = free_port()
        self.management_port = free_port()
        self.sync_port = free_port()

    @property
    def ofrep_url(self) -> str:
        """What OFREP clients take."""
        return f"http://{HOST}:{self.ofrep_port}"

    def command(self) -> Sequence[str | Path]:
        return [
            *("flagd", "start", "--uri", self.source),
            *("--port", str(self.port), "--ofrep-port", str(self.ofrep_port)),
            *("--management-port", str(self.management_port)),
            *("--sync-port", str(self.sync_port)),
        ]

    async def answers(self) -> bool:
        return await answers_http(f"http://{HOST}:{self.management_port}/readyz")
