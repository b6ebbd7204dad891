"""Many generated rollouts through the backtest: how well the rules tell bad from healthy."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Final

import msgspec

from rollbackd.app.backtest.findings import Findings
from rollbackd.app.backtest.labels import Label
from rollbackd.app.backtest.recording import Faults
from rollbackd.app.backtest.scoring import FalseCall, Miss, Score, score
from rollbackd.app.configuration import load
from rollbackd.app.generating.labels import labels_of
from rollbackd.app.generating.plans import Plan, draw
from rollbackd.app.generating.recording import GeneratedRecording
from rollbackd.app.generating.scenario import Kind, Scenario
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.settings import Settings

#: Rollouts that a process takes at a time.
_BATCH: Final = 4
#: Where the days begin on which they take place, and how many there are.
_FIRST_DAY_MS: Final = 1_756_684_800_000  # 2025-09-01T00:00:00Z
_DAYS: Final = 7
_DAY_MS: Final = 86_400_000


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout of a corpus: enough to make it again."""

    scenario: str
    seed: int
    start_ms: int
    rate: float

    def plan(self) -> Plan:
        """What it plays."""
        return draw(
            SCENARIOS[self.scenario], seed=self.seed, start_ms=self.start_ms, rate=self.rate
        )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one rollout."""

    task: Task
    events: int
    #: Events that could not be decoded, and why the first could not.
    undecoded: int
    why: str
    calls: int
    right: int
    labelled: int
    found: int
    #: From the onset to the first right call.
    detect_ms: int | None
    rule: str
    false_calls: list[FalseCall]
    misses: list[Miss]


def corpus(
    count: int, *, seed: int, rate: float, scenarios: Sequence[Scenario] | None = None
) -> list[Task]:
    """The rollouts: half of them bad, all scenarios of a kind equally often, at any time of day."""
    chosen = tuple(SCENARIOS.values()) if scenarios is None else scenarios
    kinds = [[s for s in chosen if s.kind is kind] for kind in (Kind.BAD, Kind.HEALTHY)]
    filled = [each for each in kinds if each]
    # The same seed has to be the same corpus; nothing here is a secret.
    chance = random.Random(seed)  # noqa: S311
    tasks = []
    for number in range(count):
        turn, which = divmod(number, len(filled))
        tasks.append(
            Task(
                scenario=filled[which][turn % len(filled[which])].name,
                seed=chance.getrandbits(31),
                start_ms=_FIRST_DAY_MS + chance.randrange(_DAYS * _DAY_MS // 1_000) * 1_000,
                rate=rate,
            )
        )
    return tasks


def judge(
    tasks: Sequence[Task],
    settings: Settings,
    *,
    jobs: int,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[Verdict]:
    """Play all of them, in the order given; `on_progress` hears of how many were played."""
    batches = [tasks[first : first + _BATCH] for first in range(0, len(tasks), _BATCH)]
    verdicts: dict[Task, Verdict] = {}
    for played in _played(batches, settings, jobs):
        verdicts |= {verdict.task: verdict for verdict in played}
        on_progress(len(verdicts))
    return [verdicts[task] for task in tasks]


def judge_batch(tasks: Sequence[Task], settings: Settings) -> list[Verdict]:
    """Play some of them in this process."""
    with _quiet():
        return [asyncio.run(_judge(task, settings)) for task in tasks]


async def _judge(task: Task, settings: Settings) -> Verdict:
    # Here, because nothing else in this module needs what it stands on.
    from rollbackd.app.backtest.play import play  # noqa: PLC0415

    plan, faults = task.plan(), Faults()
    recording = GeneratedRecording(plan, faults)
    # A configuration holds the state of its rules, so each rollout gets its own.
    findings = await play([recording], load(settings), settings, faults=faults)
    return _verdict(task, recording, faults, _score(findings, labels_of(plan)))


def _score(findings: Findings, labels: list[Label]) -> Score:
    """How well the labels were met.

    A recording does not react: it goes on as if nothing had been taken back. So what is called on
    a scope after the first right call is not counted, neither for the rules nor against them.
    """
    scored = score(findings, labels)
    ends = {hit.label.scope: hit.at_ms for hit in scored.found}
    before = [each for each in findings.decisions if each.at_ms <= ends.get(each.scope, each.at_ms)]
    return score(msgspec.structs.replace(findings, decisions=before), labels)


def _verdict(task: Task, recording: GeneratedRecording, faults: Faults, scored: Score) -> Verdict:
    first = min(scored.found, key=lambda hit: hit.after_ms, default=None)
    return Verdict(
        task=task,
        events=recording.events,
        undecoded=faults.count,
        why=faults.first[0][1] if faults.first else "",
        calls=scored.calls,
        right=scored.right,
        labelled=scored.labelled,
        found=len(scored.found),
        detect_ms=first.after_ms if first else None,
        rule=first.rule if first else "",
        false_calls=scored.false_calls,
        misses=scored.misses,
    )


def _played(
    batches: Sequence[Sequence[Task]], settings: Settings, jobs: int
) -> Iterator[list[Verdict]]:
    if jobs == 1 or len(batches) == 1:
        yield from (judge_batch(batch, settings) for batch in batches)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(judge_batch, each, settings) for each in batches]):
            yield done.result()


@contextmanager
def _quiet() -> Iterator[None]:
    """The parts log what they decide, for operators of a daemon; here the table says it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
