"""What an incident is driven with."""

import msgspec

from rollbackd.clock import Clock
from rollbackd.ports import (
    Auditor,
    Capture,
    FreezeProbes,
    LeverTable,
    Notifier,
    Reconciler,
    Reporter,
    Store,
    Targets,
)
from rollbackd.telemetry import Telemetry


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Every part that a driver asks, tells or stores with."""

    store: Store
    levers: LeverTable
    capture: Capture
    probes: FreezeProbes
    targets: Targets
    auditor: Auditor
    reconciler: Reconciler
    reporter: Reporter
    notifier: Notifier
    clock: Clock
    telemetry: Telemetry
