"""A desk that remembers what it was asked, and keeps its sets in memory."""

from msgspec.structs import replace

from rollbackd.model.events import KnownGood, KnownTarget
from rollbackd.model.known_good import PinRequest, SetStatus
from rollbackd.model.labels import Scope
from rollbackd.ports import LiveState, Recorded

SCOPE = Scope("rag", "eu-1")
NOW = 1_700_000_000_000


def known_good(prompt: str = "p-11", *, recorded_at_ms: int = NOW) -> KnownGood:
    """A set as a pipeline records it."""
    return KnownGood(
        scope=SCOPE,
        pins={"PROMPT_VER": prompt},
        recorded_at_ms=recorded_at_ms,
        controls={"alias:docs_live": {"index": "docs_vA"}},
        baseline={"delta_s": {"p95": 0.41, "count": 1800.0}},
        window_ms=300_000,
        by="ci",
        key="run-1#0",
    )


class FakeDesk:
    """`failure` is raised by every call."""

    def __init__(self) -> None:
        self.kept = {each.id: each for each in (known_good(), known_good("p-10", recorded_at_ms=1))}
        self.current = known_good().id
        self.requests: list[tuple[PinRequest, str]] = []
        self.failure: Exception | None = None

    async def record(self, request: PinRequest, *, by: str) -> Recorded:
        self._fail()
        repeated = any(request == earlier for earlier, _ in self.requests)
        self.requests.append((request, by))
        return Recorded(
            known_good=known_good(),
            is_new=not repeated,
            missing=["GIT_SHA"],
            not_measured=["coverage"],
            not_observed={"qdrant:docs": "no answer"},
        )

    async def restate(self, set_id: str, status: SetStatus, *, by: str) -> KnownGood:
        self._fail()
        changed = replace(await self.one(set_id), status=status, status_at_ms=NOW, status_by=by)
        self.kept[set_id] = changed
        self.current = set_id if status is SetStatus.GOOD else ""
        return changed

    async def sets(self, scope: Scope | None, *, limit: int) -> list[KnownGood]:
        self._fail()
        return [s for s in self.kept.values() if scope in (None, s.scope)][:limit]

    async def one(self, set_id: str) -> KnownGood:
        self._fail()
        return self.kept[set_id]

    async def in_force(self) -> dict[Scope, str]:
        return {SCOPE: self.current} if self.current else {}

    async def live(self, scope: Scope) -> LiveState:
        self._fail()
        return LiveState(
            scope=scope,
            arms={"baseline": {"PROMPT_VER": "p-12"}},
            controls={"alias:docs_live": {"index": "docs_vB"}},
            targets={"qdrant:docs": KnownTarget(value={"to": "docs_vB"}, facts={"documents": 7})},
            not_observed={"edge:docs": "no answer within 3 s"},
            in_force=self.current,
        )

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
