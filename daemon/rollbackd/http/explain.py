"""Why a rule fires or does not."""

from typing import Final

from aiohttp import web

from rollbackd.clock import Clock
from rollbackd.http.answers import answer
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import READING, Endpoint
from rollbackd.http.refusals import Refusal
from rollbackd.model.labels import Scope
from rollbackd.ports import Operations
from rollbackd.settings import Permission

_MOST_CHARACTERS: Final = 512
_LIMIT: Final = 20
_MOST: Final = 1_000


class ExplainApi:
    """Explains one rule on the windows of the running engine."""

    def __init__(self, operations: Operations, clock: Clock) -> None:
        self._operations = operations
        self._clock = clock

    def endpoints(self) -> list[Endpoint]:
        """The one path."""
        return [
            Endpoint(
                methods=READING,
                path="/api/v1/explain",
                permission=Permission.READ,
                handler=self.explain,
            )
        ]

    async def explain(self, request: web.Request, _caller: Caller) -> web.Response:
        """One explanation for each rule of the name."""
        rule = request.query.get("rule", "")
        if not 1 <= len(rule) <= _MOST_CHARACTERS:
            raise Refusal(400, f"`rule` is the name of a rule, 1 to {_MOST_CHARACTERS} characters")
        scope = request.query.get("scope", "")
        explanations = self._operations.explain(
            rule,
            scope=Scope.parse(scope) if scope else None,
            at=request.query.get("at", "")[:_MOST_CHARACTERS],
            limit=_limit(request),
        )
        return answer({"now_ms": self._clock.now(), "explanations": explanations})


def _limit(request: web.Request) -> int:
    word = request.query.get("limit", str(_LIMIT))
    if not (word.isascii() and word.isdigit() and len(word) <= 4 and 1 <= int(word) <= _MOST):
        raise Refusal(400, f"`limit={word[:40]}` must be 1 to {_MOST}")
    return int(word)
