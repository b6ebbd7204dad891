"""Asking the live series: one PromQL expression, one instant vector."""

import math
from typing import Final

from aiohttp import web

from rollbackd.clock import Clock
from rollbackd.http.answers import answer
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import READING, Endpoint
from rollbackd.http.refusals import Refusal
from rollbackd.ports import Operations
from rollbackd.settings import Permission

_MOST: Final = 4_096


class QueryApi:
    """Evaluates an expression now, on the windows that the rules read."""

    def __init__(self, operations: Operations, clock: Clock) -> None:
        self._operations = operations
        self._clock = clock

    def endpoints(self) -> list[Endpoint]:
        """The one path."""
        return [
            Endpoint(
                methods=READING,
                path="/api/v1/query",
                permission=Permission.READ,
                handler=self.query,
            )
        ]

    async def query(self, request: web.Request, _caller: Caller) -> web.Response:
        """The vector; an empty one is unknown, not zero."""
        expr = request.query.get("expr", "")
        if not 1 <= len(expr) <= _MOST:
            raise Refusal(400, f"`expr` is the PromQL expression, 1 to {_MOST} characters")
        vector = [
            {"labels": labels, "value": _number(value)}
            for labels, value in self._operations.query(expr)
        ]
        return answer({"now_ms": self._clock.now(), "vector": vector})


def _number(value: float) -> float | str:
    # JSON has no such numbers: they are the words that Prometheus reads.
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Inf" if value > 0 else "-Inf"
