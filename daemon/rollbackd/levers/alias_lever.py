"""What the levers on search systems share: a name that readers use, and where it leads.

Before an alias is moved, what it would lead to is looked at: it must be there, ready, not empty,
and as it was recorded (`documents`, `index_hash`).
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, NamedTuple

import msgspec
from msgspec import Meta

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.external_lever import (
    ExternalLever,
    differing_facts,
    points_at_nothing,
    version_of,
)
from rollbackd.model.levers import Change, Observation, Target

logger = logging.getLogger(__name__)

#: What stands at an alias must be known although what it leads to is sick; facts may wait.
_FACTS_SECONDS: Final = 1.0

IndexHashKey = Annotated[
    str, Meta(min_length=1, description="What the INDEX_HASH is called where it is kept.")
]


class Holding(NamedTuple):
    """What a collection or an index holds."""

    #: None where the system does not say.
    documents: int | None
    #: Empty where none is kept beside the documents.
    index_hash: str = ""
    #: Why it cannot be searched now, or empty.
    unready: str = ""

    def facts(self) -> dict[str, object]:
        """What is recorded with a known good set."""
        found: dict[str, object] = {}
        if self.documents is not None:
            found["documents"] = self.documents
        if self.index_hash:
            found["index_hash"] = self.index_hash
        return found


class AliasLever(ExternalLever):
    """Moves an alias from one collection or index to another that is there already."""

    #: What the system calls the thing that an alias leads to; the one part of the value.
    leads_to: ClassVar[str]

    @abstractmethod
    async def read(self, target: Target) -> Observation:
        """Where the alias leads, without facts. Raises PermanentError when there is no alias."""

    @abstractmethod
    async def holding(self, name: str) -> Holding | None:
        """What a collection or an index holds; None when there is none of that name."""

    async def observe(self, target: Target) -> Observation:
        """Where the alias leads, and as facts `documents` and `index_hash`."""
        seen = await self.read(target)
        facts = await self._facts(target, str(seen.value[self.leads_to]))
        return msgspec.structs.replace(seen, facts=facts)

    async def preflight(self, change: Change) -> str:
        """Refuse what is missing, not ready, empty, or not as it was recorded."""
        objection = points_at_nothing(change)
        if objection:
            return objection
        if change.after.keys() != {self.leads_to}:
            return f"{change.target} has a `{self.leads_to}` and nothing else: {change.after}"
        name = str(change.after[self.leads_to])
        held = await self.holding(name)
        what = f"{change.target}: the {self.leads_to} `{name}`"
        if held is None:
            return f"{what} does not exist"
        if held.unready:
            return f"{what} {held.unready}"
        if held.documents == 0:
            return f"{what} holds no documents"
        differs = differing_facts(change.facts, _as_expected(change.facts, held.facts()))
        return f"{what} is not as it was recorded: {differs}" if differs else ""

    def value(self, name: str, undo: dict[str, object] | None = None) -> Observation:
        """An alias that leads to `name`."""
        value: dict[str, object] = {self.leads_to: name}
        return Observation(value=value, version=version_of(value), undo=undo or {})

    async def _facts(self, target: Target, name: str) -> dict[str, object]:
        try:
            async with asyncio.timeout(_FACTS_SECONDS):
                held = await self.holding(name)
        except (PermanentError, TemporaryError, TimeoutError) as error:
            extra = {"target": str(target), "because": str(error) or "no answer in time"}
            logger.warning("cannot read what an alias leads to", extra=extra)
            return {}
        return held.facts() if held is not None else {}


def _as_expected(expected: Mapping[str, object], found: dict[str, object]) -> dict[str, object]:
    """What was found, where more documents than were recorded are as good as the same number."""
    wanted, there = expected.get("documents"), found.get("documents")
    grown = isinstance(wanted, int) and isinstance(there, int) and there > wanted
    return {**found, "documents": wanted} if grown else found
