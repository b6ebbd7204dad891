"""The same tool call with the same answer again and again (requirements W4): `tool_loops_total`."""

from itertools import count
from typing import Final

from rollbackd.model.events import Sample
from rollbackd.model.facts import ToolCalled
from rollbackd.model.labels import Scope
from rollbackd.settings.detectors import ToolLoopsBounds
from rollbackd.triggers.detectors.detector import Lateness
from rollbackd.triggers.detectors.emission import Lines
from rollbackd.triggers.detectors.fingerprints import Fingerprints, digest, fingerprint
from rollbackd.triggers.detectors.scopes import Scopes

#: A call's value: the fingerprint of its output, how often in a row, and when, in milliseconds.
_OUTPUT_BYTES: Final = 3
_TIME_BYTES: Final = 4
_TIME_MASK: Final = (1 << 8 * _TIME_BYTES) - 1
_MOST_IN_A_ROW: Final = 255


class _State:
    __slots__ = ("lines", "prefix")

    def __init__(self, scope: Scope, life: int) -> None:
        self.lines = Lines(scope)
        #: What the table knew of an earlier life of the scope is not found again.
        self.prefix = f"{scope}/{life}/".encode()


class ToolLoops:
    """Counts a loop when a call of one trace has given the same output so often in a row.

    Once for each loop, however long it goes on. A call without an output is not judged, and one
    that is not after the last one is taken for an event that is delivered again.
    """

    name = "tool_loops"

    def __init__(self, bounds: ToolLoopsBounds, *, scopes: int, lateness: Lateness) -> None:
        self.table = Fingerprints(bounds.calls, value_bytes=_OUTPUT_BYTES + 1 + _TIME_BYTES)
        self._repeats = bounds.repeats
        lives = count()
        self._scopes = Scopes(lambda scope: _State(scope, next(lives)), scopes)
        self._lateness = lateness

    @property
    def evicted(self) -> int:
        """Calls and scopes that were forgotten for others."""
        return self.table.evicted + self._scopes.evicted

    def take(self, fact: ToolCalled, at_ms: int, origin: str, out: list[Sample]) -> None:
        """One call."""
        state, newest_ms = self._scopes.of(fact.scope, at_ms, origin)
        if self._lateness.refuses(at_ms, newest_ms):
            return
        loops = bool(fact.output_hash) and self._in_a_row(state, fact) == self._repeats
        state.lines.of("tool_loops_total", fact.arm).add(loops, newest_ms, out)

    def forget(self, origin: str) -> None:
        """See Detector."""
        self._scopes.forget(origin)

    def _in_a_row(self, state: _State, fact: ToolCalled) -> int:
        """How often the call has given this output now; 0 for an event that came again."""
        # parts with their lengths: no two calls have one text
        call = f"{len(fact.trace_id)}:{fact.trace_id}{len(fact.tool)}:{fact.tool}{fact.args_hash}"
        told = digest(state.prefix, call)
        output = fingerprint(fact.output_hash, _OUTPUT_BYTES)
        when = (fact.time_ms & _TIME_MASK).to_bytes(_TIME_BYTES, "little")
        place = self.table.find(told)
        if place is None:
            self.table.insert(told, output + b"\x01" + when)
            return 1
        before = self.table.read(place)
        last = int.from_bytes(before[_OUTPUT_BYTES + 1 :], "little")
        if not 0 < (fact.time_ms - last) & _TIME_MASK <= _TIME_MASK // 2:
            return 0
        row = 1
        if before[:_OUTPUT_BYTES] == output:
            row = min(before[_OUTPUT_BYTES] + 1, _MOST_IN_A_ROW)
        self.table.write(place, output + bytes((row,)) + when)
        return row
