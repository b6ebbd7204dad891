"""Paraphrases of one question that do not all converge (requirements W3): `lambda_flips_total`."""

from typing import Final

from rollbackd.model.events import Sample
from rollbackd.model.facts import LambdaProbed
from rollbackd.model.labels import Scope
from rollbackd.settings.detectors import LambdaFlipsBounds
from rollbackd.triggers.detectors.detector import Lateness
from rollbackd.triggers.detectors.emission import Lines
from rollbackd.triggers.detectors.scopes import Scopes

#: The one state that is no flip (K4).
_CONVERGENT: Final = "convergent"

_Key = tuple[str, str, str]


class _Group:
    __slots__ = ("began_ms", "states")

    def __init__(self, began_ms: int) -> None:
        self.began_ms = began_ms
        self.states: dict[str, str] = {}


class _State:
    __slots__ = ("groups", "lines")

    def __init__(self, scope: Scope) -> None:
        self.lines = Lines(scope)
        #: (arm, question, seed) -> its probes, in the order of their beginning.
        self.groups: dict[_Key, _Group] = {}


class LambdaFlips:
    """A group of one question and seed is complete with `paraphrases` different ones.

    It is a flip when any of them is not convergent (K5). A group that is not complete after
    `group_ttl` is dropped: half a group says nothing.
    """

    name = "lambda_flips"

    def __init__(self, bounds: LambdaFlipsBounds, *, scopes: int, lateness: Lateness) -> None:
        self._bounds = bounds
        self._scopes = Scopes(_State, scopes)
        self._lateness = lateness
        self._dropped = 0

    @property
    def evicted(self) -> int:
        """Scopes, and groups that were dropped before they were complete."""
        return self._scopes.evicted + self._dropped

    def take(self, fact: LambdaProbed, at_ms: int, origin: str, out: list[Sample]) -> None:
        """One probe."""
        state, newest_ms = self._scopes.of(fact.scope, at_ms, origin)
        if self._lateness.refuses(at_ms, newest_ms):
            return
        key = fact.arm, fact.question, fact.seed
        group = state.groups.get(key)
        if group is None:
            self._make_room(state, newest_ms)
            group = state.groups[key] = _Group(newest_ms)
        group.states[fact.paraphrase] = fact.state
        complete = len(group.states) >= self._bounds.paraphrases
        flipped = complete and any(each != _CONVERGENT for each in group.states.values())
        if complete:
            del state.groups[key]
        state.lines.of("lambda_groups_total", fact.arm).add(complete, newest_ms, out)
        state.lines.of("lambda_flips_total", fact.arm).add(flipped, newest_ms, out)

    def forget(self, origin: str) -> None:
        """See Detector."""
        self._scopes.forget(origin)

    def _make_room(self, state: _State, newest_ms: int) -> None:
        groups = state.groups
        while groups:
            oldest = next(iter(groups))
            expired = groups[oldest].began_ms < newest_ms - self._bounds.group_ttl_ms
            if not expired and len(groups) < self._bounds.groups:
                return
            del groups[oldest]
            self._dropped += 1
