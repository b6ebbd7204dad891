"""Builds what deals with known good sets."""

from collections.abc import Callable

import msgspec

from rollbackd.app.pinning.baselines import Baselines
from rollbackd.app.pinning.keeping import KnownGoodKeeper
from rollbackd.app.pinning.measuring import Measuring
from rollbackd.app.pinning.observing import ObserveTargets
from rollbackd.app.pinning.recording import Hears, KnownGoodSets
from rollbackd.app.targets import LiveTargets
from rollbackd.clock import Clock
from rollbackd.evidence.pins import PinsTable
from rollbackd.model.policy import DecisionTree
from rollbackd.ports import Controls, LeverTable, Store
from rollbackd.settings import PinSettings, ScopeLabels
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine


class KnownGoodParts(msgspec.Struct, frozen=True, kw_only=True):
    """What answers for known good sets, and what looks after them."""

    desk: KnownGoodSets
    keeper: KnownGoodKeeper


def build_known_good(
    settings: Callable[[], PinSettings],
    scope_labels: ScopeLabels,
    *,
    store: Store,
    controls: Controls,
    pins: PinsTable,
    baselines: Baselines,
    targets: LiveTargets,
    engine: Callable[[], Engine],
    tree: Callable[[], DecisionTree],
    levers: Callable[[], LeverTable],
    paused: Callable[[], bool],
    hears: Hears,
    clock: Clock,
    telemetry: Telemetry,
) -> KnownGoodParts:
    """Both on the same baselines; nothing runs yet. The settings are asked for at each use."""
    desk = KnownGoodSets(
        store=store,
        controls=controls,
        pins=pins,
        baselines=baselines,
        measuring=Measuring(engine, settings, scope_labels),
        observe=ObserveTargets(levers, tree),
        settings=settings,
        clock=clock,
        telemetry=telemetry,
        hears=hears,
    )
    keeper = KnownGoodKeeper(
        store=store,
        controls=controls,
        pins=pins,
        baselines=baselines,
        targets=targets,
        desk=desk,
        tree=tree,
        compiled=lambda text: engine().compile(text),
        paused=paused,
        settings=lambda: settings().auto,
        clock=clock,
        telemetry=telemetry,
    )
    return KnownGoodParts(desk=desk, keeper=keeper)
