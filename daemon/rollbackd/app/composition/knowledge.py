"""What a process knows of each scope beside its incidents."""

from collections.abc import Callable

import msgspec

from rollbackd.app.changes import Changes
from rollbackd.app.coverage import InputCoverage
from rollbackd.app.pinning.baselines import Baselines
from rollbackd.app.pinning.sightings import ForeignBaseline
from rollbackd.app.targets import LiveTargets
from rollbackd.app.windows import LiveWindows
from rollbackd.clock import Clock
from rollbackd.evidence.pins import PinsTable
from rollbackd.ports import Store
from rollbackd.settings import Settings
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine


class Knowledge(msgspec.Struct, frozen=True, kw_only=True):
    """Filled by what is taken in; read by guardrails, evidence and the watch until green."""

    #: The pins seen last, by arm.
    pins: PinsTable
    #: The known good set in force.
    baselines: Baselines
    targets: LiveTargets
    windows: LiveWindows
    #: What was deployed lately.
    changes: Changes
    #: How many of the series that a rule reads still report.
    coverage: InputCoverage


def build_knowledge(
    settings: Settings,
    *,
    engine: Callable[[], Engine],
    store: Store,
    clock: Clock,
    telemetry: Telemetry,
) -> Knowledge:
    """Nothing is known yet but what is in the store."""
    pins = PinsTable(telemetry)
    baselines = Baselines(engine, store)
    foreign = ForeignBaseline(baselines, pins)
    return Knowledge(
        pins=pins,
        baselines=baselines,
        targets=LiveTargets(engine, settings.scope_labels, foreign),
        windows=LiveWindows(engine, settings.scope_labels),
        changes=Changes(settings.detectors.changes),
        coverage=InputCoverage(engine, clock, settings.scope_labels),
    )
