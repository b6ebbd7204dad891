"""How many of the series that a rule read an hour ago still report, for one scope."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Final

from rollbackd.clock import Clock
from rollbackd.model.labels import Labels, Scope
from rollbackd.settings import ScopeLabels
from rollbackd.triggers.engine import Engine

#: What the number of series is compared with.
LOOKS_BACK_MS: Final = 3_600_000
_EVERY_MS: Final = 300_000
_KNOWN_LABELS: Final = 200_000

#: Series of one selector that report, by scope.
_Count = dict[str, Counter[Scope]]


class InputCoverage:
    """Counts the series that report every five minutes, and remembers the counts for an hour.

    Series are counted, not told apart: a fleet whose instances were replaced still reports. A
    series without a service belongs to no scope and is left out.
    """

    def __init__(
        self, engine: Callable[[], Engine], clock: Clock, scope_labels: ScopeLabels
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._service, self._region = scope_labels.service, scope_labels.region
        self._counts: deque[tuple[int, _Count]] = deque()
        self._scopes: dict[Labels, Scope | None] = {}
        #: What was counted last: many scopes ask of one rule at the same time.
        self._read: tuple[tuple[str, int], _Count] | None = None

    def note(self) -> None:
        """Count, if it is time to."""
        now_ms = self._clock.now()
        if self._counts and now_ms - self._counts[-1][0] < _EVERY_MS:
            return
        self._counts.append((now_ms, dict(self._counted(now_ms))))
        # the last one that is an hour old stays
        while len(self._counts) > 1 and self._counts[1][0] <= now_ms - LOOKS_BACK_MS:
            self._counts.popleft()

    def of(self, rule: str, scope: Scope) -> float | None:
        """The share that still reports, at most 1; None where nothing is known of an hour ago.

        A process that is younger compares with the oldest count that it has.
        """
        if not self._counts:
            return None
        before, now_ms = self._counts[0][1], self._clock.now()
        if self._read is None or self._read[0] != (rule, now_ms):
            self._read = (rule, now_ms), dict(self._counted(now_ms, rule))
        counts = self._read[1]
        expected = sum(before[selector][scope] for selector in counts if selector in before)
        found = sum(counter[scope] for selector, counter in counts.items() if selector in before)
        return min(1.0, found / expected) if expected else None

    def _counted(
        self, now_ms: int, rule: str | None = None
    ) -> Iterator[tuple[str, Counter[Scope]]]:
        for selector, alive in self._engine().reporting(now_ms, rule):
            scopes = (self._scope_of(labels) for labels in alive)
            yield selector, Counter(scope for scope in scopes if scope is not None)

    def _scope_of(self, labels: Labels) -> Scope | None:
        if labels not in self._scopes:
            if len(self._scopes) >= _KNOWN_LABELS:
                self._scopes.clear()
            self._scopes[labels] = self._parsed(labels)
        return self._scopes[labels]

    def _parsed(self, labels: Labels) -> Scope | None:
        found = dict(labels)
        try:
            return Scope.of(found.get(self._service, ""), found.get(self._region) or "global")
        except ValueError:
            return None
