"""A Milvus server: milvus-lite, which speaks Milvus's gRPC protocol and not its REST API."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.services.processes import HOST, ServerProcess

# an HTTP/2 connection preface with an empty SETTINGS frame
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
_HTTP2_SETTINGS = 4


class Milvus(ServerProcess):
    """One `milvus-lite server`; collections and aliases survive `kill`."""

    name = "milvus-lite"

    @property
    def uri(self) -> str:
        """What `pymilvus.MilvusClient` takes."""
        return f"http://{self.address}"

    def command(self) -> Sequence[str | Path]:
        return [
            *(sys.executable, "-m", "milvus_lite", "server"),
            *("--data-dir", self.directory / "data", "--host", HOST, "--port", str(self.port)),
        ]

    async def answers(self) -> bool:
        """Whether the gRPC server shakes hands; pymilvus takes half a second to import."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            writer.write(_HTTP2_HELLO)
            frame = await reader.readexactly(9)
        except asyncio.IncompleteReadError:
            return False
        else:
            return frame[3] == _HTTP2_SETTINGS
        finally:
            writer.close()
