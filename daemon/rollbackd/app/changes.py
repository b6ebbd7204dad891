"""What was changed lately about each service: deploys, flags, indexes, prompts, configuration."""

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from rollbackd.model.facts import ChangeEvent, ChangeKind
from rollbackd.model.labels import Scope

_MOST_SCOPES: Final = 2_000


class Changes:
    """The newest changes of each scope, `most` of each; in memory, and filled again from Kafka.

    After a restart it knows what the sources have read again: one longest window of the rules.
    The loss of a partition takes nothing away: what was done stays done.
    """

    def __init__(self, most: int = 100) -> None:
        self._most = most
        self._of: OrderedDict[Scope, list[ChangeEvent]] = OrderedDict()

    def note(self, changes: Iterable[ChangeEvent]) -> None:
        """Take what a batch says; a change that is known is known once."""
        for change in changes:
            known = self._of.setdefault(change.scope, [])
            self._of.move_to_end(change.scope)
            if change not in known:
                insort(known, change, key=lambda each: each.time_ms)
                del known[: -self._most]
            if len(self._of) > _MOST_SCOPES:
                self._of.popitem(last=False)

    def of(self, scope: Scope, *, since_ms: int, until_ms: int) -> list[ChangeEvent]:
        """The changes of a scope in a closed range of time, oldest first."""
        known = self._of.get(scope, [])
        return [change for change in known if since_ms <= change.time_ms <= until_ms]

    def before(self, now_ms: int, scope: Scope, within_ms: int) -> list[ChangeEvent]:
        """The changes of a scope in the last so many milliseconds, oldest first."""
        return self.of(scope, since_ms=now_ms - within_ms, until_ms=now_ms)

    def newest(self, scope: Scope, kind: ChangeKind) -> ChangeEvent | None:
        """The last change of a kind, or None."""
        known = self._of.get(scope, [])
        return next((change for change in reversed(known) if change.kind is kind), None)
