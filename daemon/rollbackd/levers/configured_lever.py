"""What `http_request` and `exec` share: the levers file says what is read, moved and wanted."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import Meta

from rollbackd.levers.external_lever import ExternalLever, differing_facts, version_of
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.placeholders import named_in
from rollbackd.model.levers import (
    ACT_TIMEOUT_MS,
    Change,
    LeverKind,
    Observation,
    PlanRequest,
    Target,
)

#: One call, or one run of a program, may be given as much.
LONGEST_CALL_MS: Final = 600_000
#: To raise the fence before the move.
_FENCE_MS: Final = 2_000

Kind = Annotated[
    Literal["pointer", "temporary"],
    Meta(description="`temporary` is given back when the incident ends; it needs `wanted`."),
]
Wanted = Annotated[
    dict[str, object] | None,
    Meta(description="What to move to; left out, what the known good set holds."),
]


def check_wanted(kind: str, wanted: Mapping[str, object] | None) -> None:
    """Raise ValueError for a measure that nobody could plan."""
    if kind == "temporary" and not wanted:
        raise ValueError("a `temporary` lever needs `wanted`: no recorded set says how far it goes")
    if wanted is not None and not wanted:
        raise ValueError("`wanted` is empty")


class ConfiguredLever(ExternalLever):
    """A lever whose kind and wanted value the levers file sets."""

    named: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        surroundings: Surroundings,
        *,
        kind: str,
        wanted: dict[str, object] | None,
        observe: object,
        timeout_ms: int,
        has_facts: bool,
    ) -> None:
        super().__init__(name, surroundings)
        self.kind = LeverKind(kind)  # type: ignore[misc]  # each has the one that its settings say
        self.act_timeout_ms = _act_timeout_ms(timeout_ms, has_facts=has_facts)  # type: ignore[misc]  # and the time
        self._wanted = wanted
        self._read_by = named_in(observe)

    @classmethod
    def kind_with(cls, settings: Any) -> LeverKind:
        """The one that the settings say."""
        return LeverKind(settings.kind)

    def place(self, target: Target) -> str:
        """By its name, and by what `observe` asks for beside it."""
        scope = {"service": target.scope.service, "region": target.scope.region}
        asked = [f"{part}={value}" for part, value in scope.items() if part in self._read_by]
        return " ".join((target.key, *asked))

    @abstractmethod
    async def read(self, target: Target) -> tuple[dict[str, object], dict[str, object]]:
        """What stands there, and what a move needs of this very reading."""

    @abstractmethod
    async def facts_of(self, target: Target, value: dict[str, object]) -> dict[str, object] | None:
        """What a value leads to; None where it leads to nothing."""

    async def observe(self, target: Target) -> Observation:
        """What is read, with the facts of what it leads to."""
        value, undo = await self.read(target)
        facts = await self.facts_of(target, value)
        return Observation(value=value, version=version_of(value), undo=undo, facts=facts or {})

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        """The constant of the settings, else the recorded value; None when it is in force."""
        if self._wanted is None:
            return super().plan(request)
        return None if request.observed.value == self._wanted else self._wanted

    async def preflight(self, change: Change) -> str:
        """Refuse to point at nothing, or at less than what was recorded."""
        if objection := await super().preflight(change):
            return objection
        found = await self.facts_of(change.target, change.after)
        if found is None:
            return f"{change.after} of {change.target} leads to nothing"
        empty = [name for name, fact in found.items() if not fact]
        if empty:
            return f"{change.after} of {change.target} is empty: {', '.join(empty)}"
        kept = {name: fact for name, fact in change.facts.items() if not _grown(fact, found, name)}
        if differing := differing_facts(kept, found):
            return f"{change.after} of {change.target} is not what was recorded: {differing}"
        return ""


def _act_timeout_ms(timeout_ms: int, *, has_facts: bool) -> int:
    """`apply` makes the most calls, each of which is ended in time: it reads, moves and reads."""
    calls_to_read = 2 if has_facts else 1
    return max(ACT_TIMEOUT_MS, (2 * calls_to_read + 1) * timeout_ms + _FENCE_MS)


def _grown(fact: object, found: Mapping[str, object], name: str) -> bool:
    """A count that is higher than the recorded one is no loss."""
    now = found.get(name)
    return (
        isinstance(fact, int | float)
        and isinstance(now, int | float)
        and not isinstance(fact, bool)
        and now >= fact
    )
