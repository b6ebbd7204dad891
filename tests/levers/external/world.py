"""What the contract asks of the surroundings of each lever on another system.

A world is one target in a real system, or in a faithful server of the tests' own, reached through
a proxy that loses, delays and cuts. Adding a lever adds a world here and a line in `worlds.py`.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Final

from rollbackd.clock import ManualClock
from rollbackd.levers import EXTERNAL
from rollbackd.levers.external_lever import ExternalLever
from rollbackd.levers.lever_type import Surroundings
from rollbackd.model.events import KnownGood, KnownTarget
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Change, LeverKind, Op, PlanRequest, Target
from rollbackd.ports import Controls
from tests.services.proxy import FaultProxy

SCOPE: Final = Scope("rag", "eu-1")

Value = dict[str, object]


class World(ABC):
    """One lever with its target. `start` leaves the target as a rollout would: at `bad`."""

    #: The lever's type in the catalogue.
    lever_type: ClassVar[str]
    #: Fixtures of the run that the world needs, by name; handed to it as `servers`.
    needs: ClassVar[tuple[str, ...]] = ()
    #: The name that the tree gives.
    name: ClassVar[str] = ""
    #: What the decision tree says beside.
    params: ClassVar[Value] = {}
    #: A secret that the lever sends, or nothing: it must stand in no error.
    secret: ClassVar[str] = ""
    #: What `observe` says before, and what the lever makes of it.
    bad: ClassVar[Value]
    good: ClassVar[Value]
    #: What neither the rollout nor the lever has set: somebody's doing. `bad` for a switch, which
    #: has no third value.
    other: ClassVar[Value]
    #: Whether what it moves to has to be in a recorded set; a kill does not.
    needs_recorded: ClassVar[bool] = True
    #: Whether it is reached over a network, through `self.proxy`.
    over_network: ClassVar[bool] = True
    #: The proxy's fault by which a call gets no answer and no end.
    hangs_by: ClassVar[str] = "drop_replies"
    #: Whether there is something behind the target that can be empty or missing.
    can_be_empty: ClassVar[bool] = True
    #: What the recorded set says of the target beside its value.
    facts: ClassVar[Value] = {}

    def __init__(self, folder: Path, servers: dict[str, object], controls: Controls) -> None:
        self.folder = folder
        self.servers = servers
        self.controls = controls
        #: Between the lever and its target; None where nothing is reached over a network.
        self.proxy: FaultProxy | None = None
        self.lever: ExternalLever

    @abstractmethod
    async def start(self) -> None:
        """Bring the target to `bad`, and build `self.lever` on it by `build`."""

    @abstractmethod
    async def put(self, value: Value) -> None:
        """Move the target by hand, past the lever and past the proxy."""

    @abstractmethod
    async def held(self) -> Value:
        """What the target holds, read past the lever and past the proxy, as `observe` says it."""

    async def empty(self) -> None:
        """Make what the lever would point at empty, or take it away: the preflight must refuse.

        For a world that says so by `can_be_empty`.
        """
        raise NotImplementedError

    async def changes(self) -> int | None:
        """How often the target was changed so far; None where the system cannot tell."""
        return None

    @abstractmethod
    async def stop(self) -> None:
        """Release what `start` took."""

    async def proxied(self, upstream: str) -> str:
        """Start the proxy before `host:port`; the address to give to the lever."""
        self.proxy = FaultProxy(upstream)
        await self.proxy.start()
        return self.proxy.address

    def build(self, settings: object) -> None:
        """The lever as the levers file would name it: `under_test`."""
        lever = EXTERNAL[self.lever_type]
        surroundings = Surroundings(self.controls, ManualClock())
        self.lever = lever("under_test", settings, surroundings)  # type: ignore[arg-type, call-arg]

    @property
    def kind(self) -> LeverKind:
        """What becomes of the lever's effect."""
        return EXTERNAL[self.lever_type].kind

    @property
    def target(self) -> Target:
        """The target under test."""
        return Target(lever="under_test", scope=SCOPE, name=self.name)

    @property
    def known_good(self) -> KnownGood:
        """The set that was recorded while the target was good."""
        known = KnownTarget(value=self.good, facts=self.facts)
        return KnownGood(
            scope=SCOPE,
            pins={"INDEX_HASH": "a1"},
            recorded_at_ms=1,
            targets={self.target.key: known},
        )

    async def planned(self) -> Change | None:
        """The change that the lever wants, from what it observes."""
        observed = await self.lever.observe(self.target)
        after = self.lever.plan(
            PlanRequest(
                target=self.target,
                observed=observed,
                known_good=self.known_good,
                params=self.params,
                pins_seen={},
            )
        )
        if after is None:
            return None
        return Change(target=self.target, before=observed, after=after, facts=self.facts)

    async def change(self) -> Change:
        """The same, where there is something to move."""
        change = await self.planned()
        assert change is not None
        return change


def op(op_id: str = "INC-1:1", epoch: int = 5) -> Op:
    """Under whose name an act happens."""
    return Op(op_id=op_id, epoch=epoch, incident_id="INC-1")
