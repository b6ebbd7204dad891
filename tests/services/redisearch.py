"""A Redis with the query engine, put together from two wheels.

The one has the engine and a redis-server that wants an older OpenSSL than Debian has; the other has
a redis-server that is new enough for the engine, which Debian's is not.
"""

from pathlib import Path

from tests.services.availability import redisearch_parts
from tests.services.redis import Redis


class Redisearch(Redis):
    """Answers `FT.*` too; nothing of it survives `kill`."""

    name = "redisearch"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)

    def command(self) -> list[str | Path]:
        server, engine = redisearch_parts()
        _, *options = super().command()
        options[options.index("yes")] = "no"
        return [server, *options, "--loadmodule", engine]
