"""The sink of texts and vectors: what waits is scored beside the intake, and becomes samples."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError, RollbackdError, TemporaryError
from rollbackd.model.events import Sample
from rollbackd.model.facts import AnyFact, Scorable
from rollbackd.model.labels import METRIC_NAME, Labels, labels_of
from rollbackd.model.scoring import Outcome, ScoredMetric, Scores, judged
from rollbackd.ports import Scorer
from rollbackd.scorers.distances import VectorScorer
from rollbackd.scorers.embedded import EmbeddedScorer
from rollbackd.scorers.http import HttpScorer
from rollbackd.scorers.waiting import ScoringQueue, Waiting
from rollbackd.settings import Settings
from rollbackd.settings.scoring import ScoringSettings
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine

logger = logging.getLogger(__name__)

_SOURCE: Final = "scoring"
#: Facts that are looked at before others get a turn.
_TURN: Final = 500
#: Label sets whose series and counts are remembered.
_MOST_SENDERS: Final = 10_000


class _Sender:
    """The series of events with the same labels, and how many of them came."""

    __slots__ = ("seen", "series")

    def __init__(self, labels: Labels, metrics: Sequence[ScoredMetric]) -> None:
        self.series: dict[ScoredMetric, Labels] = {
            metric: labels_of({**dict(labels), METRIC_NAME: metric.value}) for metric in metrics
        }
        self.seen = 0


class Scoring:
    """Implements `ports.FactSink`. Taking never waits for the scorer, nor does it raise.

    A score is what the event's own value would have been: a sample with its time, labels and
    origin. What waits is in
    memory, and is read again from Kafka after a restart.
    """

    def __init__(
        self,
        settings: ScoringSettings,
        scorer: Scorer | None,
        *,
        engine: Callable[[], Engine],
        lateness_ms: int,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._metrics = [ScoredMetric(name) for name in settings.metrics]
        self._scorer = scorer
        self._vectors = VectorScorer()
        self._engine = engine
        self._lateness_ms = lateness_ms
        self._clock = clock
        self._telemetry = telemetry
        self._queue = ScoringQueue(
            most=settings.queue,
            most_bytes=settings.queue_bytes,
            batch=settings.batch,
            wait_ms=settings.wait,
        )
        self._senders: dict[Labels, _Sender] = {}
        self._arrived = asyncio.Event()
        #: Partitions that were lost while a batch of theirs was under way.
        self._lost: set[str] = set()
        self._is_up: bool | None = None
        self._told: tuple[str, str] | None = None

    async def take(self, facts: Sequence[AnyFact], *, source: str, origin: str) -> None:  # noqa: ARG002  # the port
        """See `ports.FactSink`."""
        for first in range(0, len(facts), _TURN):
            if first:
                await asyncio.sleep(0)
            now_ms = self._clock.now()
            for fact in facts[first : first + _TURN]:
                if isinstance(fact, Scorable) and self._is_wanted(fact):
                    self._put(Waiting(self._pared(fact), origin, now_ms))

    async def forget(self, origin: str) -> None:
        """See `ports.FactSink`."""
        self._queue.forget(origin)
        self._lost.add(origin)

    async def run(self) -> None:
        """Score what waits until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                await self._clock.sleep(self._queue.due_in_ms(self._clock.now()))
                self._lost.clear()
                await self._score(self._queue.take())
                self._telemetry.scorer_queue.set(len(self._queue))

    async def close(self) -> None:
        """Release what the scorer holds, once `run` was cancelled."""
        if self._scorer is not None:
            await self._scorer.close()

    def _is_wanted(self, fact: Scorable) -> bool:
        if not any(_has(fact, metric) for metric in self._metrics):
            return False
        sender = self._sender(fact)
        sender.seen += 1
        return sender.seen % self._settings.one_in == 0

    def _pared(self, fact: Scorable) -> Scorable:
        """Without the anchor where nobody asks for it."""
        if fact.anchor and ScoredMetric.DELTA_S_ANCHOR not in self._metrics:
            return msgspec.structs.replace(fact, anchor="")
        return fact

    def _put(self, waiting: Waiting) -> None:
        self._count(Outcome.DROPPED, self._queue.put(waiting))
        self._arrived.set()

    async def _score(self, batch: Sequence[Waiting]) -> None:
        earliest = self._clock.now() - self._lateness_ms
        in_time = [waiting for waiting in batch if waiting.since_ms >= earliest]
        self._count(Outcome.LATE, len(batch) - len(in_time))
        embedded = [waiting for waiting in in_time if waiting.fact.vectors is not None]
        texts = [waiting for waiting in in_time if waiting.fact.vectors is None]
        if embedded:
            facts = [waiting.fact for waiting in embedded]
            self._emit(embedded, await asyncio.to_thread(self._vectors.score, facts))
        if texts and self._scorer is None:
            self._count(Outcome.NO_MODEL, len(texts))
        elif texts:
            await self._ask(self._scorer, texts)

    async def _ask(self, scorer: Scorer | None, batch: Sequence[Waiting]) -> None:
        assert scorer is not None
        with self._telemetry.scoring_duration.time():
            scores = await self._tried(scorer, [waiting.fact for waiting in batch])
        if scores is None:
            self._count(Outcome.FAILED, len(batch))
            return
        self._tell_model(scorer.model, scorer.version)
        self._emit(batch, scores)

    async def _tried(self, scorer: Scorer, facts: Sequence[Scorable]) -> list[Scores] | None:
        """The scores, or None once it was asked often enough."""
        problem: RollbackdError
        for left in reversed(range(self._settings.attempts)):
            try:
                scores = await scorer.score(facts)
            except PermanentError as error:
                problem = error
                break
            except TemporaryError as error:
                problem = error
                if left:
                    await self._clock.sleep(error.delay_ms)
            else:
                self._note(is_up=True)
                return scores
        self._note(is_up=False, because=str(problem))
        return None

    def _emit(self, batch: Sequence[Waiting], scores: Sequence[Scores]) -> None:
        samples: dict[str, list[Sample]] = defaultdict(list)
        for waiting, found in zip(batch, scores, strict=True):
            if waiting.origin in self._lost:
                continue
            fact = waiting.fact
            series = self._sender(fact).series
            for metric in self._metrics:
                if _has(fact, metric):
                    outcome, value = judged(found.of(metric))
                    self._count(outcome, 1)
                    if outcome is Outcome.SCORED:
                        sample = Sample(series[metric], value, fact.time_ms)
                        samples[waiting.origin].append(sample)
        now_ms = self._clock.now()
        for origin, of_origin in samples.items():
            result = self._engine().ingest(of_origin, now_ms, origin)
            self._telemetry.samples_ingested.labels(_SOURCE).inc(result.accepted)
            for reason, count in result.refused.items():
                self._telemetry.samples_refused.labels(reason).inc(count)

    def _sender(self, fact: Scorable) -> _Sender:
        found = self._senders.get(fact.labels)
        if found is None:
            if len(self._senders) >= _MOST_SENDERS:
                self._senders.clear()
            found = _Sender(fact.labels, self._metrics)
            self._senders[fact.labels] = found
        return found

    def _count(self, outcome: Outcome, count: int) -> None:
        if count:
            self._telemetry.scores.labels(outcome).inc(count)

    def _note(self, *, is_up: bool, because: str = "") -> None:
        """Say once that the scorer failed, and once that it works again."""
        self._telemetry.scorer_up.labels(self._settings.mode).set(is_up)
        if is_up == self._is_up:
            return
        if not is_up:
            logger.warning("the scorer fails", extra={"because": because})
        elif self._is_up is not None:
            logger.info("the scorer works again")
        self._is_up = is_up

    def _tell_model(self, model: str, version: str) -> None:
        if (model, version) == self._told:
            return
        if self._told is not None:
            about = {"model": model, "version": version}
            logger.warning("the scorer has another model; old scores do not compare", extra=about)
        self._told = model, version
        self._telemetry.scorer_info.clear()
        self._telemetry.scorer_info.labels(self._settings.mode, model, version).set(1)


def build_scoring(
    settings: Settings, *, engine: Callable[[], Engine], clock: Clock, telemetry: Telemetry
) -> Scoring | None:
    """None where nothing is configured. Raises PermanentError when the extra is missing."""
    found = settings.scoring
    if found is None:
        return None
    scorer: Scorer | None = None
    if found.mode == "embedded":
        scorer = EmbeddedScorer()
    elif found.http is not None:
        scorer = HttpScorer(found.http)
    return Scoring(
        found,
        scorer,
        engine=engine,
        lateness_ms=settings.engine.lateness_ms,
        clock=clock,
        telemetry=telemetry,
    )


def _has(fact: Scorable, metric: ScoredMetric) -> bool:
    """Whether an event can have a score of this series at all."""
    if metric is ScoredMetric.DELTA_S:
        return True
    return fact.anchor != "" if fact.vectors is None else fact.vectors.anchor is not None
