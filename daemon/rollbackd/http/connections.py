"""What is logged about connections that carry no request that could be read."""

import logging
from collections.abc import Mapping
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError

from rollbackd.telemetry import Telemetry

_log = logging.getLogger(__name__)


class ConnectionLog(logging.LoggerAdapter[logging.Logger]):
    """Counts malformed requests instead of logging them.

    aiohttp logs each one with its traceback, which quotes the bytes that it could not read: a port
    scan would fill the log, and a token in a broken header would be in it.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__(_log)
        self._malformed = telemetry.http_requests.labels("malformed", "400")

    def debug(self, msg: object, *args: object, exc_info: Any = None, **kwargs: Any) -> None:
        """Where aiohttp reports a first line that is no request, such as a TLS handshake."""
        del msg, args, kwargs
        if isinstance(exc_info, HttpProcessingError):
            self._malformed.inc()

    def exception(
        self,
        msg: object,
        *args: object,
        exc_info: Any = True,
        stack_info: bool = False,
        stacklevel: int = 1,
        extra: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> None:
        """Count what a caller did wrong; log what is left, without its text."""
        del msg, args, stack_info, stacklevel, extra, kwargs
        if isinstance(exc_info, HttpProcessingError):
            self._malformed.inc()
            return
        _log.error("connection failed", extra={"error": type(exc_info).__qualname__})
