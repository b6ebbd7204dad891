"""The same user served by two arms (requirements W9): `sticky_breaks_total`."""

from itertools import count
from typing import Final

from rollbackd.model.events import Sample
from rollbackd.model.facts import AnswerServed
from rollbackd.model.labels import Scope
from rollbackd.settings.detectors import StickyBreaksBounds
from rollbackd.triggers.detectors.detector import Expected, Lateness
from rollbackd.triggers.detectors.emission import MOST_ARMS, Lines
from rollbackd.triggers.detectors.fingerprints import Fingerprints, digest
from rollbackd.triggers.detectors.scopes import Scopes

#: A user's value: the number of the arm, and when it served them, in seconds.
_SECONDS_BYTES: Final = 3
_SECONDS_MASK: Final = (1 << 8 * _SECONDS_BYTES) - 1


class _State:
    __slots__ = ("arms", "lines", "prefix")

    def __init__(self, scope: Scope, life: int) -> None:
        self.lines = Lines(scope)
        #: What the table knew of an earlier life of the scope is not found again.
        self.prefix = f"{scope}/{life}/".encode()
        self.arms: dict[str, int] = {}


class StickyBreaks:
    """Remembers the arm that served each user last; users are hashes in a table of fixed size.

    A change of arms counts when the one before was seen within the window, and nobody has moved the
    traffic since: a user who comes back after a step of the rollout may be elsewhere, however late.
    The series carries the arm that the user came to.
    """

    name = "sticky_breaks"

    def __init__(
        self, bounds: StickyBreaksBounds, expected: Expected, *, scopes: int, lateness: Lateness
    ) -> None:
        self.table = Fingerprints(bounds.users, value_bytes=1 + _SECONDS_BYTES)
        self._window_seconds = bounds.window_ms // 1_000
        self._expected = expected
        lives = count()
        self._scopes = Scopes(lambda scope: _State(scope, next(lives)), scopes)
        self._lateness = lateness
        self._dropped = 0

    @property
    def evicted(self) -> int:
        """Users, scopes and arms that were forgotten for others."""
        return self.table.evicted + self._scopes.evicted + self._dropped

    def take(self, fact: AnswerServed, at_ms: int, origin: str, out: list[Sample]) -> None:
        """One answer."""
        if not fact.user or not fact.arm:
            return
        state, newest_ms = self._scopes.of(fact.scope, at_ms, origin)
        if self._lateness.refuses(at_ms, newest_ms):
            return
        arm = state.arms.get(fact.arm)
        if arm is None:
            if len(state.arms) >= MOST_ARMS:
                self._dropped += 1
                return
            arm = state.arms[fact.arm] = len(state.arms)
        left = self._left(digest(state.prefix, fact.user), arm, at_ms // 1_000)
        counts = left is not None and left * 1_000 >= self._expected.users_move_until(fact.scope)
        state.lines.of("sticky_breaks_total", fact.arm).add(counts, newest_ms, out)

    def forget(self, origin: str) -> None:
        """See Detector. Users whose scope comes back are new to it."""
        self._scopes.forget(origin)

    def _left(self, user: bytes, arm: int, seconds: int) -> int | None:
        """When another arm served the user, if that was last and within the window, in seconds."""
        now = bytes((arm,)) + (seconds & _SECONDS_MASK).to_bytes(_SECONDS_BYTES, "little")
        place = self.table.find(user)
        if place is None:
            self.table.insert(user, now)
            return None
        before = self.table.read(place)
        if before == now:
            return None
        self.table.write(place, now)
        age = (seconds - int.from_bytes(before[1:], "little")) & _SECONDS_MASK
        return seconds - age if before[0] != arm and age <= self._window_seconds else None
