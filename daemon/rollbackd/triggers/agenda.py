"""Which rules have to be looked at: what they read has changed, or their time has come."""

from collections.abc import Sequence

from rollbackd.promql.store import Store
from rollbackd.triggers.building import Group


class Agenda:
    """Rules by their places in the list of all rules."""

    def __init__(self, groups: Sequence[Group], store: Store) -> None:
        self._groups = groups
        self._store = store
        self._left_over: set[int] = set()
        self._deadlines: dict[int, int] = {}

    @property
    def dirty(self) -> bool:
        """Whether something that a rule reads has changed since it was looked at."""
        return bool(self._left_over) or any(r.rules for r in self._store.dirty)

    def next_due_ms(self, now_ms: int, *, at_most_ms: int) -> int:
        """When to look next if nothing changes before; not before `now_ms`."""
        if self._left_over:
            return now_ms
        times = [now_ms if g.is_due(now_ms) else g.next_due_ms or now_ms for g in self._groups]
        times += self._deadlines.values()
        return max(now_ms, min(times, default=now_ms + at_most_ms))

    def due(self, now_ms: int, *, force: bool) -> set[int]:
        """What a round begins with, or with `force` all rules; their groups have had their turn."""
        due = self.changed() | self._left_over
        self._left_over = set()
        due.update(index for index, at in self._deadlines.items() if now_ms >= at)
        for group in self._groups:
            if force or group.is_due(now_ms):
                due.update(group.rules)
                group.evaluated_at(now_ms)
        return due

    def changed(self) -> set[int]:
        """The rules that read what has changed since the last call."""
        dirty = self._store.dirty
        if not dirty:
            return set()
        rules = set[int]().union(*(readers.rules for readers in dirty))
        dirty.clear()
        return rules

    def leave(self, rule: int) -> None:
        """Look at a rule in the next round."""
        self._left_over.add(rule)

    def set_deadline(self, rule: int, at_ms: int | None) -> None:
        """Look at a rule at this time, whatever happens before; None for never."""
        if at_ms is None:
            self._deadlines.pop(rule, None)
        else:
            self._deadlines[rule] = at_ms
