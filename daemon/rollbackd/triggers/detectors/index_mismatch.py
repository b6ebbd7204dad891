"""Retrievers that read another index than they should (requirements W11): `index_mismatch`."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rollbackd.model.events import Sample
from rollbackd.model.facts import AnswerServed, RetrieverSeen
from rollbackd.model.labels import Scope
from rollbackd.model.pins import Pins
from rollbackd.settings.detectors import IndexMismatchBounds
from rollbackd.triggers.detectors.detector import Expected, IndexExpected, Lateness
from rollbackd.triggers.detectors.emission import MOST_ARMS, Lines
from rollbackd.triggers.detectors.scopes import Scopes

#: The pins of an index and of what reads it.
_NAMES: Final = (
    "INDEX_HASH", "EMBED_MODEL_VER", "EMBED_DIM", "NORM", "metric", "CHUNK_SCHEMA_VER", "TOK_VER",
    "ANALYZER_CONF",
)  # fmt: skip
_INDEX: Final = "INDEX_HASH"
#: The arm that may differ from what is known good, for that is what it is there for.
_CANARY: Final = "canary"


class _Reader(NamedTuple):
    """The last heartbeat of a process."""

    pins: Pins
    documents: int | None
    seen_ms: int


class _State:
    __slots__ = ("lines", "readers", "routed")

    def __init__(self, scope: Scope) -> None:
        self.lines = Lines(scope)
        #: Arm -> reader.
        self.readers: dict[str, dict[str, _Reader]] = {}
        #: When the canary answered last with pins that name an index, and with which.
        self.routed: tuple[int, Pins] | None = None


class IndexMismatch:
    """How many readers of an arm differ from what is expected of it, at their last heartbeat.

    Expected of a canary is the index that its answers of late say they were made with, or any other
    that `Expected` names, if one of its readers has it; of every other arm, any that `Expected`
    names. With neither, nothing is a mismatch. While a flip of our own spreads it says 0 (K22).
    """

    name = "index_mismatch"

    def __init__(
        self, bounds: IndexMismatchBounds, expected: Expected, *, scopes: int, lateness: Lateness
    ) -> None:
        self._bounds = bounds
        self._expected = expected
        self._scopes = Scopes(_State, scopes)
        self._lateness = lateness
        self._dropped = 0

    @property
    def evicted(self) -> int:
        """Scopes, arms and readers that were forgotten for others."""
        return self._scopes.evicted + self._dropped

    def take(
        self, fact: RetrieverSeen | AnswerServed, at_ms: int, origin: str, out: list[Sample]
    ) -> None:
        """One heartbeat, or the pins of one answer."""
        if isinstance(fact, AnswerServed):
            self._take_answer(fact, at_ms, origin)
            return
        state, newest_ms = self._scopes.of(fact.scope, at_ms, origin)
        if self._lateness.refuses(at_ms, newest_ms, self._ttl_ms) or not self._note(
            state, fact, at_ms
        ):
            return
        readers = state.readers[fact.arm]
        for name in [n for n, r in readers.items() if r.seen_ms < newest_ms - self._ttl_ms]:
            del readers[name]
        if state.routed is not None and state.routed[0] < newest_ms - self._ttl_ms:
            state.routed = None
        wrong = self._wrong(fact.scope, fact.arm, state, at_ms)
        state.lines.of("index_mismatch", fact.arm).set(wrong, newest_ms, out)
        state.lines.of("retriever_readers", fact.arm).set(len(readers), newest_ms, out)

    def forget(self, origin: str) -> None:
        """See Detector."""
        self._scopes.forget(origin)

    @property
    def _ttl_ms(self) -> int:
        return self._bounds.reader_ttl_ms

    def _take_answer(self, fact: AnswerServed, at_ms: int, origin: str) -> None:
        if fact.arm != _CANARY or _INDEX not in fact.pins:
            return
        state, _ = self._scopes.of(fact.scope, at_ms, origin)
        if state.routed is None or state.routed[0] <= at_ms:
            state.routed = at_ms, fact.pins

    def _note(self, state: _State, fact: RetrieverSeen, at_ms: int) -> bool:
        readers = state.readers.get(fact.arm)
        if readers is None:
            if len(state.readers) >= MOST_ARMS:
                self._dropped += 1
                return False
            readers = state.readers[fact.arm] = {}
        known = readers.get(fact.reader)
        if known is None and len(readers) >= self._bounds.readers:
            del readers[min(readers, key=lambda name: readers[name].seen_ms)]
            self._dropped += 1
        if known is None or known.seen_ms <= at_ms:
            readers[fact.reader] = _Reader(fact.pins, fact.documents, at_ms)
        return True

    def _wrong(self, scope: Scope, arm: str, state: _State, at_ms: int) -> int:
        if at_ms < self._expected.own_flip_until(scope):
            return 0
        readers = state.readers[arm].values()
        allowed = self._expected.index_of(scope, arm)
        if arm == _CANARY:
            allowed = _of_canary(state, allowed)
        if not allowed:
            return 0
        return sum(all(self._differs(reader, each) for each in allowed) for reader in readers)

    def _differs(self, reader: _Reader, expected: IndexExpected) -> bool:
        for name in _NAMES:
            wanted = expected.pins.get(name)
            if wanted is not None and reader.pins.get(name, wanted) != wanted:
                return True
        if expected.documents is None or reader.documents is None:
            return False
        return reader.documents < expected.documents * (1 - self._bounds.missing_documents)


def _of_canary(state: _State, announced: Sequence[IndexExpected]) -> list[IndexExpected]:
    """What the readers of a canary may read: by its answers, and by announcements."""
    # An announcement may name an index otherwise than readers do: by its alias, say.
    binding = {reader.pins.get(_INDEX) for reader in state.readers[_CANARY].values()}
    allowed = []
    if state.routed is not None:
        allowed.append(IndexExpected(state.routed[1], None))
        # Of an index that both name, the answers know more.
        binding.discard(state.routed[1][_INDEX])
    return allowed + [each for each in announced if each.pins.get(_INDEX) in binding]
