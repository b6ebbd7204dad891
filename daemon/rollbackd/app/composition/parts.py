"""The daemon on one screen: which part is built from which.

Every `build_` takes what its parts read and returns what it made; nothing runs yet.
"""

import msgspec

from rollbackd.app.composition.acting import Acting, build_acting
from rollbackd.app.composition.answering import (
    Process,
    build_housekeeping,
    build_http,
    build_known_good_parts,
    build_operations,
)
from rollbackd.app.composition.deciding import Deciding, build_deciding
from rollbackd.app.composition.ground import Ground
from rollbackd.app.composition.knowledge import build_knowledge
from rollbackd.app.composition.receiving import Receiving, build_receiving
from rollbackd.app.configuration import Configuration
from rollbackd.app.housekeeping import Housekeeping
from rollbackd.app.lifecycle import Cleanups
from rollbackd.app.notifying import build_notifiers
from rollbackd.app.pinning.building import KnownGoodParts
from rollbackd.http.server import HttpServer
from rollbackd.notifications.fanout import FanOut


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Whatever is started, stopped or told of a reload."""

    ground: Ground
    notifiers: FanOut
    acting: Acting
    receiving: Receiving
    deciding: Deciding
    housekeeping: Housekeeping
    known_good: KnownGoodParts
    http: HttpServer

    def adopt(self, fresh: Configuration) -> None:
        """Put a configuration that was read again in force; baselines come with the engine.

        Raises PermanentError for levers that cannot be built, and then nothing has changed.
        """
        self.acting.levers.replace(fresh.levers)
        fresh.engine.carry_over(self.ground.engine())
        self.ground.configuration = fresh
        self.deciding.dispatcher.tree = fresh.tree
        self.receiving.mappings.clear()
        self.receiving.mappings.update(fresh.mappings)


def build_parts(ground: Ground, process: Process, cleanups: Cleanups) -> Parts:
    """From what is known to who acts on it, and last what shows all that to people.

    Raises PermanentError when a part needs what is not installed.
    """
    knowledge = build_knowledge(
        ground.settings,
        engine=ground.engine,
        store=ground.backends.store,
        clock=ground.clock,
        telemetry=ground.telemetry,
    )
    notifiers = build_notifiers(
        ground.settings,
        store=ground.backends.store,
        pause=lambda: deciding.dispatcher.pause_in_force,
        clock=ground.clock,
        telemetry=ground.telemetry,
    )
    acting = build_acting(ground, knowledge, notifiers, cleanups)
    receiving = build_receiving(ground, knowledge, acting.runner)
    deciding = build_deciding(ground, knowledge, receiving, acting.runner, notifiers)
    housekeeping = build_housekeeping(
        ground, knowledge, acting, receiving, deciding, service_manager=process.service_manager
    )
    known_good = build_known_good_parts(ground, knowledge, acting, deciding, notifiers)
    operations = build_operations(ground, acting, receiving, deciding, notifiers, process=process)
    return Parts(
        ground=ground,
        notifiers=notifiers,
        acting=acting,
        receiving=receiving,
        deciding=deciding,
        housekeeping=housekeeping,
        known_good=known_good,
        http=build_http(ground, receiving, operations, known_good.desk),
    )
