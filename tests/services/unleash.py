"""An Unleash server on a PostgreSQL of its own."""

from collections.abc import Sequence
from pathlib import Path

from tests.services.availability import unleash_package
from tests.services.postgresql import PostgreSQL
from tests.services.processes import HOST, ServerProcess, answers_http


class Unleash(ServerProcess):
    """One `unleash-server` with its default project `default` and environment `development`.

    What it acknowledged is in `database`, which runs before it starts, and survives `kill` of
    either.
    """

    name = "unleash-server"
    start_seconds = 90.0

    def __init__(self, directory: Path, database: PostgreSQL) -> None:
        super().__init__(directory)
        self.database = database
        #: What the admin API takes in `Authorization`.
        self.admin_token = "*:*.admin-secret-for-tests"
        #: What SDKs of the environment `development` send.
        self.client_token = "default:development.client-secret-for-tests"

    @property
    def url(self) -> str:
        """The server's root; the admin API is below `/api/admin`."""
        return f"http://{self.address}"

    @property
    def api_url(self) -> str:
        """What SDKs take."""
        return f"{self.url}/api"

    def command(self) -> Sequence[str | Path]:
        settings = {
            "DATABASE_URL": self.database.url,
            "DATABASE_SSL": "false",
            "HTTP_HOST": HOST,
            "HTTP_PORT": self.port,
            "INIT_ADMIN_API_TOKENS": self.admin_token,
            "INIT_BACKEND_API_TOKENS": self.client_token,
            "CHECK_VERSION": "false",
            "SEND_TELEMETRY": "false",
        }
        environment = [f"{name}={value}" for name, value in settings.items()]
        return ["env", *environment, "node", unleash_package() / "dist" / "server.js"]

    async def answers(self) -> bool:
        return await answers_http(f"{self.url}/health")
