"""What both stores know of known good sets beyond their bodies."""

from collections.abc import Iterable

from msgspec.structs import replace

from rollbackd.model.events import KnownGood
from rollbackd.model.known_good import SetStatus


def restated(
    known_good: KnownGood, status: SetStatus, *, by: str, now_ms: int, in_force: bool
) -> KnownGood:
    """The set with its new status; the same one when that would change nothing."""
    unchanged = in_force if status is SetStatus.GOOD else known_good.status is status
    if unchanged:
        return known_good
    return replace(known_good, status=status, status_at_ms=now_ms, status_by=by)


def newest_first(sets: Iterable[KnownGood]) -> list[KnownGood]:
    """By when they were recorded."""
    return sorted(sets, key=lambda each: (each.recorded_at_ms, each.id), reverse=True)
