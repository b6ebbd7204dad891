"""An HAProxy that routes each host to the backend which a map file names for it."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import aiohttp

from tests.services.processes import HOST, ServerProcess, free_port

#: Where a host goes that is not in the map.
DEFAULT_BACKEND: Final = "blue"

_BACKENDS: Final = {"blue": ("blue1", "blue2"), "green": ("green1", "green2")}


class HAProxy(ServerProcess):
    """One frontend, the backends blue and green of two servers each, and the runtime API.

    A host that is not in the map goes to `DEFAULT_BACKEND`. Each server answers with its own name.
    As ever with HAProxy, what the runtime API changed is gone after `restart` and `kill`: the map
    is then what its file says, and all servers are ready with weight 100.
    """

    name = "haproxy"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        #: The runtime API's UNIX socket, with level admin.
        self.socket = directory / "admin.sock"
        #: `HOST BACKEND` a line, read at each start.
        self.map_file = directory / "backends.map"
        self.map_file.touch()
        #: The names of the servers by the name of their backend.
        self.backends: Mapping[str, tuple[str, ...]] = _BACKENDS
        self._servers = {
            server: free_port() for servers in _BACKENDS.values() for server in servers
        }

    @property
    def frontend(self) -> str:
        """Where requests go: `host:port`."""
        return self.address

    async def prepare(self) -> None:
        self._config_file.write_text(self._config())

    def command(self) -> Sequence[str | Path]:
        return ["haproxy", "-db", "-f", self._config_file]

    async def answers(self) -> bool:
        """Whether the runtime API answers; by then all ports are open."""
        return (await self.runtime("show info")).startswith("Name: HAProxy")

    async def runtime(self, command: str) -> str:
        """The runtime API's answer to one command."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            writer.write(f"{command}\n".encode())
            return (await reader.read()).decode().strip()
        finally:
            writer.close()

    async def routes(self, host: str) -> str:
        """The name of the server that answers a request for `host`, or the status if none does."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.frontend}/", headers={"Host": host}) as response,
        ):
            return await response.text() if response.status == 200 else str(response.status)

    @property
    def _config_file(self) -> Path:
        return self.directory / "haproxy.cfg"

    def _config(self) -> str:
        sections = [
            f"""global
    stats socket {self.socket} mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
frontend web
    bind {self.frontend}
    use_backend %[req.hdr(host),field(1,:),lower,map({self.map_file},{DEFAULT_BACKEND})]
"""
        ]
        for backend, servers in _BACKENDS.items():
            sections.append(f"backend {backend}\n")
            sections += [
                f"    server {server} {HOST}:{self._servers[server]} weight 100\n"
                for server in servers
            ]
        # the servers live in the same process: a real route needs no second program
        sections += [
            f"frontend origin_{server}\n"
            f"    bind {HOST}:{port}\n"
            f"    http-request return status 200 content-type text/plain string {server}\n"
            for server, port in self._servers.items()
        ]
        return "".join(sections)
