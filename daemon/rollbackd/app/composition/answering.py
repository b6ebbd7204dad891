"""What people and other programs ask of the daemon, and what looks after it."""

from collections.abc import Awaitable, Callable

import msgspec

from rollbackd.app.composition.acting import Acting
from rollbackd.app.composition.deciding import Deciding
from rollbackd.app.composition.ground import Ground
from rollbackd.app.composition.knowledge import Knowledge
from rollbackd.app.composition.receiving import Receiving
from rollbackd.app.housekeeping import Housekeeping
from rollbackd.app.operations import DaemonOperations
from rollbackd.app.pinning.building import KnownGoodParts, build_known_good
from rollbackd.app.reconciling import Reconciling
from rollbackd.app.systemd import ServiceManager
from rollbackd.http.server import HttpServer
from rollbackd.notifications.fanout import FanOut
from rollbackd.ports import KnownGoodDesk, Operations


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """What only the process as a whole can answer."""

    service_manager: ServiceManager
    #: Why it cannot do its work now; empty when it can.
    why_not_ready: Callable[[], list[str]]
    #: Reads the configuration again, all or nothing; gives what of it waits for a restart.
    reload: Callable[[], Awaitable[list[str]]]


def build_operations(
    ground: Ground,
    acting: Acting,
    receiving: Receiving,
    deciding: Deciding,
    notifiers: FanOut,
    *,
    process: Process,
) -> DaemonOperations:
    """Everything that the HTTP API may ask but for known good sets."""
    store, clock = ground.backends.store, ground.clock
    return DaemonOperations(
        intake=receiving.intake,
        dispatcher=deciding.dispatcher,
        runner=acting.runner,
        store=store,
        controls_store=ground.backends.controls,
        clock=clock,
        scope_labels=ground.settings.scope_labels,
        engine=ground.engine,
        why_not_ready=process.why_not_ready,
        reload_configuration=process.reload,
        reporter=acting.reporter,
        guard_board=deciding.guard_board,
        reconciling=Reconciling(store, acting.runner, acting.reconciler, clock),
        decided=notifiers.decided,
    )


def build_known_good_parts(
    ground: Ground, knowledge: Knowledge, acting: Acting, deciding: Deciding, notifiers: FanOut
) -> KnownGoodParts:
    """The tree, the levers and the settings are those in force when they are asked for."""
    dispatcher, levers = deciding.dispatcher, acting.levers
    return build_known_good(
        ground.pins,
        ground.settings.scope_labels,
        store=ground.backends.store,
        controls=ground.backends.controls,
        pins=knowledge.pins,
        baselines=knowledge.baselines,
        targets=knowledge.targets,
        engine=ground.engine,
        tree=lambda: dispatcher.tree,
        levers=lambda: levers.table,
        paused=lambda: dispatcher.pause_in_force is not None,
        hears=notifiers.known_good_changed,
        clock=ground.clock,
        telemetry=ground.telemetry,
    )


def build_http(
    ground: Ground, receiving: Receiving, operations: Operations, known_good: KnownGoodDesk
) -> HttpServer:
    """The listener; it has no address before it is started."""
    return HttpServer(
        ground.settings.http,
        operations,
        ground.telemetry,
        ground.clock,
        last_known=ground.last_known,
        known_good=known_good,
        mappings=receiving.mappings,
        formats=ground.settings.formats,
    )


def build_housekeeping(
    ground: Ground,
    knowledge: Knowledge,
    acting: Acting,
    receiving: Receiving,
    deciding: Deciding,
    *,
    service_manager: ServiceManager,
) -> Housekeeping:
    """Looks at all of the others; nothing looks at it but whoever asks whether it is ready."""
    return Housekeeping(
        engine=ground.engine,
        store=ground.backends.store,
        controls=ground.backends.controls,
        dispatcher=deciding.dispatcher,
        runner=acting.runner,
        evaluation=deciding.evaluation,
        clock=ground.clock,
        telemetry=ground.telemetry,
        service_manager=service_manager,
        source_healthy=receiving.healthy,
        rule_states=deciding.rule_states,
        coverage=knowledge.coverage,
        guard_board=deciding.guard_board,
    )
