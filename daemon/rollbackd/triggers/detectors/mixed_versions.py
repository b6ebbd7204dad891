"""One arm that answers with several versions at once (requirements W9): `mixed_versions`."""

from typing import Final

from rollbackd.model.events import Sample
from rollbackd.model.facts import AnswerServed
from rollbackd.model.labels import Scope
from rollbackd.settings.detectors import MixedVersionsBounds
from rollbackd.triggers.detectors.detector import Expected, Lateness
from rollbackd.triggers.detectors.emission import MOST_ARMS, Lines
from rollbackd.triggers.detectors.scopes import Scopes

#: The pins that a user sees in the answer.
_NAMES: Final = ("INDEX_HASH", "PROMPT_VER", "MODEL_VER")
#: Versions of one pin of one arm that are told apart.
_MOST_VERSIONS: Final = 64


class _State:
    __slots__ = ("arms", "lines")

    def __init__(self, scope: Scope) -> None:
        self.lines = Lines(scope)
        #: Arm -> for each of the pins, version -> when it answered last.
        self.arms: dict[str, tuple[dict[str, int], ...]] = {}


class MixedVersions:
    """How many versions of that pin of which an arm has most answered within the window.

    Pin by pin, for one sender may know the index alone and another one the prompt. While a flip of
    our own spreads it says 0 and remembers nothing (K22).
    """

    name = "mixed_versions"

    def __init__(
        self, bounds: MixedVersionsBounds, expected: Expected, *, scopes: int, lateness: Lateness
    ) -> None:
        self._window_ms = bounds.window_ms
        self._expected = expected
        self._scopes = Scopes(_State, scopes)
        self._lateness = lateness
        self._dropped = 0

    @property
    def evicted(self) -> int:
        """Scopes, arms and versions that were forgotten for others."""
        return self._scopes.evicted + self._dropped

    def take(self, fact: AnswerServed, at_ms: int, origin: str, out: list[Sample]) -> None:
        """One answer."""
        if not fact.pins:
            return
        state, newest_ms = self._scopes.of(fact.scope, at_ms, origin)
        if self._lateness.refuses(at_ms, newest_ms, self._window_ms):
            return
        line = state.lines.of("mixed_versions", fact.arm)
        if at_ms < self._expected.own_flip_until(fact.scope):
            state.arms.clear()
            line.set(0, newest_ms, out)
            return
        seen = state.arms.get(fact.arm)
        if seen is None:
            if len(state.arms) >= MOST_ARMS:
                self._dropped += 1
                return
            seen = state.arms[fact.arm] = ({}, {}, {})
        line.set(self._versions(seen, fact, at_ms, newest_ms), newest_ms, out)

    def forget(self, origin: str) -> None:
        """See Detector."""
        self._scopes.forget(origin)

    def _versions(
        self, seen: tuple[dict[str, int], ...], fact: AnswerServed, at_ms: int, newest_ms: int
    ) -> int:
        most = 0
        for name, versions in zip(_NAMES, seen, strict=True):
            version = fact.pins.get(name)
            if version is not None:
                versions[version] = max(versions.get(version, at_ms), at_ms)
            if len(versions) > 1:
                self._expire(versions, newest_ms - self._window_ms)
            most = max(most, len(versions))
        return most

    def _expire(self, versions: dict[str, int], since_ms: int) -> None:
        for version in [v for v, last_ms in versions.items() if last_ms < since_ms]:
            del versions[version]
        if len(versions) > _MOST_VERSIONS:
            del versions[min(versions, key=versions.__getitem__)]
            self._dropped += 1
