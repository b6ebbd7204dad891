"""Texts and vectors on their way to samples, with a scorer and a clock that do as they are told."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from rollbackd.app.configuration import build_engine, load
from rollbackd.app.lifecycle import cancel
from rollbackd.app.scoring import Scoring, build_scoring
from rollbackd.clock import ManualClock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.model.facts import AnswerServed, Scorable
from rollbackd.model.labels import labels_of
from rollbackd.model.scoring import Scores
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.settings import default_settings
from rollbackd.settings.scoring import ScoringSettings
from rollbackd.telemetry import Telemetry
from tests.scorers.answers import NOW, RAG, asked, embedded
from tests.services.polling import eventually

#: Only what a rule reads is kept.
READ = """
groups:
  - name: read
    rules:
      - {record: "read:delta_s", expr: "count_over_time(delta_s[10m])"}
      - {record: "read:anchor", expr: "count_over_time(delta_s_anchor[10m])"}
"""
#: What a scorer does with a batch.
Answer = Callable[[Sequence[Scorable]], Sequence[Scores]]


def by_length(facts: Sequence[Scorable]) -> list[Scores]:
    """A tenth for each character of the question."""
    return [Scores(len(fact.question) / 10, 0.5 if fact.anchor else None) for fact in facts]


class ToldScorer:
    """Implements `ports.Scorer`; waits at the gate while it is shut."""

    def __init__(self) -> None:
        self.model, self.version = "told", "1"
        self.batches: list[list[Scorable]] = []
        self.answers: list[Answer | Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_closed = False

    async def score(self, facts: Sequence[Scorable]) -> list[Scores]:
        self.batches.append(list(facts))
        await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else by_length
        if isinstance(answer, Exception):
            raise answer
        return list(answer(facts))

    async def close(self) -> None:
        self.is_closed = True


class Line:
    """A scoring that runs, and the engine behind it."""

    def __init__(self, scorer: ToldScorer | None, **said: Any) -> None:
        settings = default_settings()
        self.engine = build_engine(
            [read_rule_file(READ, file="read.yaml")], load(settings).tree, settings
        )
        self.clock = ManualClock(NOW)
        self.telemetry = Telemetry(CollectorRegistry())
        chosen = {"mode": "vectors", "batch": 2, "wait": 200, **said}
        self.scoring = Scoring(
            msgspec.convert(chosen, ScoringSettings),
            scorer,
            engine=lambda: self.engine,
            lateness_ms=60_000,
            clock=self.clock,
            telemetry=self.telemetry,
        )
        self.task = asyncio.create_task(self.scoring.run())

    async def take(self, *facts: Scorable | AnswerServed, origin: str = "t-0") -> None:
        await self.scoring.take(facts, source="kafka", origin=origin)

    def metric(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"rollbackd_{name}", labels) or 0.0

    def outcome(self, outcome: str) -> float:
        return self.metric("scores_total", outcome=outcome)

    async def until(self, outcome: str, count: float) -> None:
        """Time passes where somebody waits for it."""

        async def there() -> bool:
            self.clock.advance(200)
            return self.outcome(outcome) >= count

        await eventually(there, within_seconds=5, every_seconds=0.001)
        assert self.outcome(outcome) == count

    async def turns(self) -> None:
        """Let everything happen that no time has to pass for."""
        for _ in range(20):
            await asyncio.sleep(0)

    def found(self, metric: str = "delta_s", at_ms: int = NOW) -> dict[str, float]:
        """Arm -> the last value of a series."""
        vector = self.engine.query(self.engine.compile(f"last_over_time({metric}[10m])"), at_ms)
        return {dict(labels)["arm"]: value for labels, value in vector}


@pytest.fixture
async def lines() -> AsyncIterator[Callable[..., Line]]:
    """Makes lines, and stops them in the end."""
    made: list[Line] = []

    def make(scorer: ToldScorer | None = None, **said: Any) -> Line:
        made.append(Line(scorer, **said))
        return made[-1]

    yield make
    for line in made:
        await cancel(line.task)
        await line.scoring.close()


@pytest.fixture
def scorer() -> ToldScorer:
    return ToldScorer()


Lines = Callable[..., Line]


async def test_a_score_is_a_sample_at_its_event_s_own_time(
    lines: Lines, scorer: ToldScorer
) -> None:
    line = lines(scorer)
    then = msgspec.structs.replace(asked("four"), time_ms=NOW - 30_000)
    await line.take(then)
    await line.until("scored", 1)
    assert line.found(at_ms=NOW - 30_001) == {}
    assert line.found(at_ms=NOW - 30_000) == {"canary": 0.4}
    assert line.metric("samples_ingested_total", source="scoring") == 1


async def test_a_full_batch_does_not_wait_and_the_rest_waits_for_more(
    lines: Lines, scorer: ToldScorer
) -> None:
    line = lines(scorer)
    await line.take(asked("a"), asked("b"), asked("c"))
    await line.turns()
    assert [len(batch) for batch in scorer.batches] == [2]
    line.clock.advance(199)
    await line.turns()
    assert len(scorer.batches) == 1
    line.clock.advance(1)
    await line.turns()
    assert [[fact.question for fact in batch] for batch in scorer.batches] == [["a", "b"], ["c"]]


async def test_taking_does_not_wait_for_a_scorer_that_hangs_and_the_oldest_go(
    lines: Lines, scorer: ToldScorer
) -> None:
    line = lines(scorer, queue=3)
    scorer.gate.clear()
    await line.take(asked("a"), asked("b"))
    await line.turns()
    await line.take(*map(asked, "cdefgh"))
    assert line.outcome("dropped") == 3
    scorer.gate.set()
    await line.until("scored", 5)
    asked_for = [fact.question for batch in scorer.batches for fact in batch]
    assert asked_for == ["a", "b", "f", "g", "h"]


async def test_other_facts_and_facts_that_nobody_wants_a_series_of_are_left_alone(
    lines: Lines, scorer: ToldScorer
) -> None:
    line = lines(scorer, metrics=["delta_s_anchor"])
    await line.take(
        AnswerServed(scope=RAG, time_ms=NOW, pins={}), asked("a"), asked("b", anchor="gold")
    )
    await line.until("scored", 1)
    assert [fact.question for batch in scorer.batches for fact in batch] == ["b"]
    assert (line.found(), line.found("delta_s_anchor")) == ({}, {"canary": 0.5})


async def test_an_anchor_that_nobody_asks_for_is_not_handed_on(
    lines: Lines, scorer: ToldScorer
) -> None:
    line = lines(scorer, metrics=["delta_s"])
    await line.take(asked("a", anchor="gold"))
    await line.until("scored", 1)
    assert [fact.anchor for fact in scorer.batches[0]] == [""]


async def test_one_in_so_many_is_scored_of_each_arm(lines: Lines, scorer: ToldScorer) -> None:
    """By arm: of arms that take turns, one in two would else be one arm alone."""
    line = lines(scorer, one_in=2)
    other = labels_of({"service": "rag", "region": "eu", "arm": "baseline"})
    for each in "abcdefgh":
        await line.take(asked(each), msgspec.structs.replace(asked(each), labels=other))
    await line.until("scored", 8)
    asked_for = [fact for batch in scorer.batches for fact in batch]
    for arm in (other, asked("").labels):
        assert [f.question for f in asked_for if f.labels == arm] == ["b", "d", "f", "h"]
    assert set(line.found()) == {"canary", "baseline"}


async def test_vectors_need_no_scorer_and_texts_without_one_are_counted(lines: Lines) -> None:
    line = lines(None)
    await line.take(embedded([1, 0], [0, 1], [0, 1]), asked("a"))
    await line.until("no_model", 1)
    assert (line.found(), line.found("delta_s_anchor")) == ({"canary": 1.0}, {"canary": 0.0})
    assert line.outcome("scored") == 2


@pytest.mark.parametrize(
    ("scores", "outcome"),
    [
        (Scores(), "missing"),
        (Scores(float("nan")), "undefined"),
        (Scores(2.5), "out_of_range"),
        (Scores(-0.5), "out_of_range"),
    ],
)
async def test_what_is_no_distance_is_counted_and_becomes_no_sample(
    lines: Lines, scorer: ToldScorer, scores: Scores, outcome: str
) -> None:
    line = lines(scorer)
    scorer.answers.append(lambda _: [Scores(0.25), scores])
    await line.take(asked("a"), asked("b"))
    await line.until(outcome, 1)
    assert line.outcome("scored") == 1
    assert line.found() == {"canary": 0.25}


async def test_a_zero_vector_is_counted_and_becomes_no_sample(lines: Lines) -> None:
    line = lines(None)
    await line.take(embedded([0, 0], [0, 1]))
    await line.until("undefined", 1)
    assert line.found() == {}


async def test_what_has_waited_for_longer_than_the_lateness_is_not_scored(
    lines: Lines, scorer: ToldScorer
) -> None:
    line = lines(scorer)
    scorer.gate.clear()
    await line.take(asked("a"), asked("b"), asked("old"))
    await line.turns()
    line.clock.advance(60_001)
    await line.take(asked("new"))
    scorer.gate.set()
    await line.until("late", 1)
    await line.until("scored", 3)
    assert [fact.question for fact in scorer.batches[1]] == ["new"]


async def test_the_engine_refuses_a_score_that_is_later_than_its_lateness(
    lines: Lines, scorer: ToldScorer
) -> None:
    line = lines(scorer)
    await line.take(asked("new"), msgspec.structs.replace(asked("old"), time_ms=NOW - 60_001))
    await line.until("scored", 2)
    assert line.metric("samples_refused_total", reason="too_late") == 1


async def test_a_failure_that_may_pass_is_tried_again_after_its_delay(
    lines: Lines, scorer: ToldScorer, caplog: pytest.LogCaptureFixture
) -> None:
    line = lines(scorer)
    scorer.answers += [TemporaryError("busy", delay_ms=3_000)] * 2
    await line.take(asked("a"), asked("b"))
    await line.turns()
    line.clock.advance(2_999)
    await line.turns()
    assert len(scorer.batches) == 1
    line.clock.advance(1)
    await line.turns()
    assert len(scorer.batches) == 2
    line.clock.advance(3_000)
    await line.turns()
    assert (len(scorer.batches), line.outcome("scored")) == (3, 2)
    assert line.metric("scorer_up", mode="vectors") == 1
    assert caplog.records == []


@pytest.mark.parametrize(
    ("error", "tries"), [(TemporaryError("away", delay_ms=1), 3), (PermanentError("no"), 1)]
)
async def test_a_batch_is_given_up_and_said_once_and_the_next_one_is_scored(
    lines: Lines,
    scorer: ToldScorer,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    tries: int,
) -> None:
    caplog.set_level(logging.INFO)
    line = lines(scorer)
    scorer.answers += [error] * (2 * tries)
    await line.take(*map(asked, ["secret-a", "secret-b", "secret-c", "secret-d"]))
    await line.until("failed", 4)
    assert len(scorer.batches) == 2 * tries
    assert line.metric("scorer_up", mode="vectors") == 0
    await line.take(asked("e"), asked("f"))
    await line.until("scored", 2)
    assert line.metric("scorer_up", mode="vectors") == 1
    assert [record.message for record in caplog.records] == [
        "the scorer fails",
        "the scorer works again",
    ]
    assert all("secret" not in str(vars(record)) for record in caplog.records)


async def test_a_lost_partition_leaves_nothing_neither_waiting_nor_under_way(
    lines: Lines, scorer: ToldScorer
) -> None:
    line = lines(scorer)
    scorer.gate.clear()
    await line.take(asked("a"), origin="t-0")
    await line.take(asked("bb"), origin="t-1")
    await line.turns()
    await line.take(asked("c"), origin="t-0")
    await line.scoring.forget("t-0")
    await line.take(asked("dddd"), origin="t-0")
    scorer.gate.set()
    await line.until("scored", 2)
    asked_for = [[fact.question for fact in batch] for batch in scorer.batches]
    assert asked_for == [["a", "bb"], ["dddd"]]
    assert line.found() == {"canary": 0.4}
    line.engine.drop_origin("t-0")
    assert line.found() == {"canary": 0.4}, "t-1 feeds the series too"
    line.engine.drop_origin("t-1")
    assert line.found() == {}


async def test_another_model_is_told_and_the_metric_names_one(
    lines: Lines, scorer: ToldScorer, caplog: pytest.LogCaptureFixture
) -> None:
    line = lines(scorer)
    await line.take(asked("a"))
    await line.until("scored", 1)
    assert line.metric("scorer_info", mode="vectors", model="told", version="1") == 1
    assert caplog.records == []
    scorer.version = "2"
    await line.take(asked("a"))
    await line.until("scored", 2)
    assert line.metric("scorer_info", mode="vectors", model="told", version="2") == 1
    assert line.metric("scorer_info", mode="vectors", model="told", version="1") == 0
    assert [record.message for record in caplog.records] == [
        "the scorer has another model; old scores do not compare"
    ]


async def test_many_facts_give_others_a_turn(lines: Lines, scorer: ToldScorer) -> None:
    line = lines(scorer)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await line.take(*[asked("a")] * 5_000)
    assert turns >= 9
    await cancel(task)


async def test_closing_closes_the_scorer(lines: Lines, scorer: ToldScorer) -> None:
    line = lines(scorer)
    await line.scoring.close()
    assert scorer.is_closed


def test_nothing_is_built_where_nothing_is_configured() -> None:
    settings = default_settings()
    telemetry = Telemetry(CollectorRegistry())
    engine = build_engine([], load(settings).tree, settings)
    assert (
        build_scoring(settings, engine=lambda: engine, clock=ManualClock(), telemetry=telemetry)
        is None
    )
