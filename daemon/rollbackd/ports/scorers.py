"""The distances of texts."""

from collections.abc import Sequence
from typing import Protocol

from rollbackd.model.facts import Scorable
from rollbackd.model.scoring import Scores


class Scorer(Protocol):
    """Computes the distances of texts: a model, here or elsewhere."""

    @property
    def model(self) -> str:
        """What computes them, with `version`; empty where nobody said."""
        ...

    @property
    def version(self) -> str:
        """Distances of two versions do not compare."""
        ...

    async def score(self, facts: Sequence[Scorable]) -> list[Scores]:
        """One item a fact, in their order; all of them have texts.

        Raises TemporaryError and PermanentError; no message of theirs quotes a text.
        """
        ...

    async def close(self) -> None:
        """Release what it holds. Idempotent."""
        ...
