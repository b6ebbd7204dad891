"""dS of texts by somebody else's model, over HTTP.

POST {"items": [{"id": "0", "question": "...", "context": "...", "anchor": "..."}]}
-> {"scores": [{"id": "0", "delta_s": 0.31, "delta_s_anchor": 0.2}], "model": "m", "version": "3"}

An item without a score is left out, or has `null`. `model` and `version` are optional.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from rollbackd.connections.http import MAY_PASS, HttpApi, asked_delay
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.model.facts import Scorable
from rollbackd.model.scoring import Scores
from rollbackd.settings.endpoints import HttpEndpoint

#: Statuses are judged here: what an error says of a batch may quote its texts.
_ERRORS: Final = range(300, 600)
_Name = Annotated[str, Meta(max_length=100)]


class _Item(msgspec.Struct, omit_defaults=True):
    id: str
    question: str
    context: str
    anchor: str = ""


class _Batch(msgspec.Struct):
    items: list[_Item]


class _Score(msgspec.Struct):
    id: str
    delta_s: float | None = None
    delta_s_anchor: float | None = None


class _Scored(msgspec.Struct):
    scores: list[_Score]
    model: _Name = ""
    version: _Name = ""


_SCORED: Final = msgspec.json.Decoder(_Scored)
_JSON: Final = {"Content-Type": "application/json"}


class HttpScorer:
    """Asks once for a batch; opens nothing until it is used."""

    def __init__(self, endpoint: HttpEndpoint) -> None:
        self.model = ""
        self.version = ""
        self._url = endpoint.url
        self._api = HttpApi(endpoint)

    async def score(self, facts: Sequence[Scorable]) -> list[Scores]:
        """See `ports.Scorer`."""
        batch = _Batch(
            [
                _Item(str(at), fact.question, fact.context, fact.anchor)
                for at, fact in enumerate(facts)
            ]
        )
        body = msgspec.json.encode(batch)
        answer = await self._api.call("POST", "", body=body, headers=_JSON, allowed=_ERRORS)
        if answer.status in _ERRORS:
            message = f"POST {self._url}: answered {answer.status}"
            if answer.status in MAY_PASS:
                raise TemporaryError(message, delay_ms=asked_delay(answer.headers))
            raise PermanentError(message)
        try:
            said = _SCORED.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            what = f": {error}" if isinstance(error, msgspec.ValidationError) else ""
            raise PermanentError(f"POST {self._url}: not an answer of a scorer{what}") from None
        self.model, self.version = said.model, said.version
        found = {each.id: Scores(each.delta_s, each.delta_s_anchor) for each in said.scores}
        return [found.get(str(at), Scores()) for at in range(len(facts))]

    async def close(self) -> None:
        """See `ports.Scorer`."""
        await self._api.close()
