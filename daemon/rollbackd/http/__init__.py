"""The HTTP door: ingest, controls, incidents, the operator's calls and the daemon's own state."""

from rollbackd.http.limits import Limits
from rollbackd.http.server import HttpServer

__all__ = ["HttpServer", "Limits"]
