"""What carries an incident out: levers, evidence, audit, report."""

import msgspec

from rollbackd.app.composition.ground import Ground
from rollbackd.app.composition.knowledge import Knowledge
from rollbackd.app.lever_table import LeversInForce
from rollbackd.app.lifecycle import Cleanups
from rollbackd.app.receipts import build_reconciler
from rollbackd.evidence.audit import IncidentAuditor
from rollbackd.evidence.capture import EvidenceCapture
from rollbackd.evidence.report import FileReporter
from rollbackd.incidents.runner import Runner, Surroundings
from rollbackd.ports import Notifier
from rollbackd.probes import Probes
from rollbackd.reconciliation.reconciler import LedgerReconciler


class Acting(msgspec.Struct, frozen=True, kw_only=True):
    """The runner, and those of its surroundings that others ask too."""

    levers: LeversInForce
    reconciler: LedgerReconciler
    reporter: FileReporter
    runner: Runner


def build_acting(
    ground: Ground, knowledge: Knowledge, notifier: Notifier, cleanups: Cleanups
) -> Acting:
    """Levers and listings hold connections: their cleanups are registered. No incident runs yet."""
    settings, clock, telemetry = ground.settings, ground.clock, ground.telemetry
    store, controls = ground.backends.store, ground.backends.controls
    levers = LeversInForce(controls, clock, ground.configuration.levers)
    cleanups.push("levers", levers.close)
    reconciler = build_reconciler(settings, ground.backends, clock, telemetry)
    cleanups.push("listings", reconciler.close)
    pins, targets = knowledge.pins, knowledge.targets
    reporter = FileReporter(settings.state_dir / "incidents", controls=controls, pins=pins)
    runner = Runner(
        Surroundings(
            store=store,
            levers=levers.table,
            capture=EvidenceCapture(
                store=store,
                controls=controls,
                targets=targets,
                windows=knowledge.windows,
                pins=pins,
                clock=clock,
            ),
            probes=Probes(settings.kafka, ground.backends.controls_redis),
            targets=targets,
            auditor=IncidentAuditor(levers.table, store, controls, pins),
            reconciler=reconciler,
            reporter=reporter,
            notifier=notifier,
            clock=clock,
            telemetry=telemetry,
        )
    )
    return Acting(levers=levers, reconciler=reconciler, reporter=reporter, runner=runner)
