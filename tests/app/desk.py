"""A dispatcher on a real store, with a runner that only listens and pages that are kept."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.pausing import PauseFile
from rollbackd.clock import ManualClock
from rollbackd.model.facts import ChangeEvent
from rollbackd.model.incidents import Incident
from rollbackd.model.labels import labels_of
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.settings import ScopeLabels
from rollbackd.stores.sqlite import SQLiteStore
from rollbackd.telemetry import Telemetry
from tests.incidents.samples import NOW, TREE
from tests.incidents.walking import Walk


class ListeningRunner:
    """Drives nothing; remembers what it was told, and answers as it is set to."""

    def __init__(self) -> None:
        self.open: list[Incident] = []
        self.joined: list[tuple[str, str]] = []
        self.answers = True

    def current(self) -> list[Incident]:
        return self.open

    def start(self, incident: Incident) -> None:
        self.open.append(incident)

    def join(self, incident_id: str, trigger: Trigger, policy: BranchPolicy) -> bool:
        self.joined.append((incident_id, policy.branch))
        assert trigger.label("branch") == policy.branch
        return self.answers


class Desk:
    """A dispatcher with what it stands on."""

    def __init__(self, store: SQLiteStore, folder: Path) -> None:
        self.store = store
        self.runner = ListeningRunner()
        self.clock = ManualClock(NOW)
        self.telemetry = Telemetry(CollectorRegistry())
        self.tree = TREE
        #: (scope, reason) of each page.
        self.pages: list[tuple[str, str]] = []
        self.pins: dict[str, dict[str, str]] = {}
        self.coverage: float | None = None
        self.changes: list[ChangeEvent] = []
        self.pause_file = PauseFile(folder / "PAUSED")
        self.dispatcher = self.fresh()

    def fresh(self) -> Dispatcher:
        """A dispatcher as a new process has it."""
        runner: Any = self.runner
        self.dispatcher = Dispatcher(
            store=self.store,
            runner=runner,
            clock=self.clock,
            telemetry=self.telemetry,
            tree=self.tree,
            scope_labels=ScopeLabels(),
            pins_of=lambda _scope: self.pins,
            coverage_of=lambda _rule, _scope: self.coverage,
            changes_of=lambda _scope, within_ms: [
                each for each in self.changes if each.time_ms >= self.clock.now() - within_ms
            ],
            paused_here=self.pause_file.read,
            page=self.page,
        )
        return self.dispatcher

    async def page(self, incident: Incident, reason: str) -> None:
        self.pages.append((str(incident.scope), reason))

    def set_tree(self, **changes: Any) -> None:
        """Other limits than the shipped ones."""
        self.tree = self.dispatcher.tree = replace(self.tree, **changes)

    def set_policy(self, branch: str = "quality_regression", **changes: Any) -> None:
        """Other settings of a branch than the shipped ones."""
        policy = replace(self.tree.branches[branch], **changes)
        self.set_tree(branches={**self.tree.branches, branch: policy})

    async def fire(self, *triggers: Trigger, new: bool = True) -> None:
        """An evaluation in which these fire."""
        await self.dispatcher.dispatch(triggers if new else (), triggers)

    async def calm(self, *triggers: Trigger) -> None:
        """An evaluation in which these stopped."""
        ended = [replace(trigger, state=RuleState.INACTIVE) for trigger in triggers]
        await self.dispatcher.dispatch(ended, ())

    async def incidents(self) -> list[Incident]:
        return await self.store.incidents()

    async def reasons(self) -> list[str]:
        return sorted(incident.reason for incident in await self.incidents())

    async def close_open(self, *, helped: bool = True) -> Incident:
        """The open incident runs through at once; without help, nobody sees green."""
        walk = Walk(self.runner.open.pop())
        while walk.incident.is_open:
            walk.turn()
            now_ms, after = self.clock.now(), walk.incident
            incident = replace(
                after,
                closed_at_ms=now_ms if after.closed_at_ms else None,
                flipped_at_ms=now_ms if after.flipped_at_ms else None,
                green_at_ms=now_ms if after.green_at_ms and helped else None,
            )
            await self.store.advance(incident, [])
        return walk.incident

    def count(self, metric: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"rollbackd_{metric}_total", labels) or 0.0


def elsewhere(trigger: Trigger, **labels: str) -> Trigger:
    """The same trigger with other labels."""
    return replace(trigger, labels=labels_of({**dict(trigger.labels), **labels}))
