"""What takes events in: the sinks behind the intake, and the source in front of it."""

import msgspec

from rollbackd.app.composition.ground import Ground
from rollbackd.app.composition.knowledge import Knowledge
from rollbackd.app.detecting import Detecting
from rollbackd.app.intake import Intake
from rollbackd.app.mappings import MappingMetrics
from rollbackd.app.receipts import ReceiptIntake
from rollbackd.app.scoring import Scoring, build_scoring
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.incidents.runner import Runner
from rollbackd.sources.kafka import KafkaSource


class Receiving(msgspec.Struct, frozen=True, kw_only=True):
    """Everything between a socket and the windows of the engine."""

    intake: Intake
    #: None where no scorer is configured.
    scoring: Scoring | None
    #: None where no topic is read.
    kafka: KafkaSource | None
    #: In force, by name; every source reads this one table.
    mappings: dict[str, FieldMapping]

    def behind(self) -> bool:
        """Whether much is still to be read."""
        return self.kafka is not None and self.kafka.behind()

    def caught_up(self) -> bool:
        """Whether the windows are as full as they can be."""
        return self.kafka is None or self.kafka.caught_up()

    def healthy(self) -> bool:
        """Whether the source makes progress."""
        return self.kafka is None or self.kafka.healthy()


def build_receiving(ground: Ground, knowledge: Knowledge, runner: Runner) -> Receiving:
    """Detectors compare with the incidents that the runner drives. Nothing is read yet.

    Raises PermanentError when the scorer needs what is not installed.
    """
    settings, clock, telemetry = ground.settings, ground.clock, ground.telemetry
    scoring = build_scoring(settings, engine=ground.engine, clock=clock, telemetry=telemetry)
    intake = Intake(
        engine=ground.engine,
        store=ground.backends.store,
        pins=knowledge.pins,
        clock=clock,
        telemetry=telemetry,
        fact_sinks=(
            ReceiptIntake.of(settings, ground.backends, clock, telemetry),
            Detecting(
                engine=ground.engine,
                settings=settings,
                in_force=knowledge.baselines.in_force,
                changes=knowledge.changes,
                incidents=runner.current,
                clock=clock,
                telemetry=telemetry,
            ),
            *([] if scoring is None else [scoring]),
        ),
        baselines=knowledge.baselines,
        changes=knowledge.changes,
    )
    mappings = dict(ground.configuration.mappings)
    telemetry.registry.register(MappingMetrics(mappings))
    kafka = _kafka_source(ground, intake, mappings)
    return Receiving(intake=intake, scoring=scoring, kafka=kafka, mappings=mappings)


def _kafka_source(
    ground: Ground, intake: Intake, mappings: dict[str, FieldMapping]
) -> KafkaSource | None:
    settings = ground.settings
    if settings.kafka is None or not settings.kafka.topics:
        # without topics the brokers are only asked, by freeze probes
        return None
    return KafkaSource(
        settings.kafka,
        intake,
        ground.telemetry,
        ground.clock,
        refill_ms=ground.engine().longest_window_ms,
        formats=settings.formats,
        mappings=mappings,
    )
