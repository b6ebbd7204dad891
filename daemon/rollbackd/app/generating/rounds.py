"""What a service says on a timer: heartbeats, λ probes, retry, queue and cost windows."""

import random
from typing import Any, Final

from rollbackd.app.generating.answers import Answers
from rollbackd.app.generating.conditions import Arm
from rollbackd.app.generating.plans import Plan
from rollbackd.app.generating.schedule import Timed
from rollbackd.app.generating.sides import Side
from rollbackd.app.generating.versions import (
    DOCUMENTS,
    GOOD_PINS,
    INDEX_FACTS,
    NEW_DOCUMENTS,
    OTHER_ANALYZER,
    UNKNOWN_INDEX,
)
from rollbackd.model.labels import Scope

READERS: Final = 3
QUESTIONS: Final = 40
PARAPHRASES: Final = ("a", "b", "c")

_HEARTBEAT_MS: Final = 10_000
_PROBE_MS: Final = 6_000
_RETRY_MS: Final = 10_000
_WINDOW_MS: Final = 15_000
_BETWEEN_PROBES_MS: Final = 300
_OTHER_STATES: Final = ("divergent", "divergent", "recursive", "chaotic")
_RETRIED: Final = 0.9


class Rounds:
    """The timers of one service; they tick on whole seconds since the start."""

    def __init__(
        self, plan: Plan, scope: Scope, sides: tuple[Side, Side], chance: random.Random
    ) -> None:
        self._start_ms = plan.start_ms
        self._scope = scope
        self._sides = sides
        self._chance = chance
        self._groups = 0

    def tick(self, at_ms: int, answers: Answers, out: list[Timed]) -> None:
        """What is due at a second."""
        since_ms = at_ms - self._start_ms
        running = self._sides if answers.canary_runs else self._sides[:1]
        if since_ms % _HEARTBEAT_MS == 0:
            for side in running:
                self._heartbeats(at_ms, side, out)
        if since_ms % _PROBE_MS == 0:
            for side in running:
                self._probes(at_ms, side, out)
        if since_ms % _RETRY_MS == 0 and since_ms:
            out.append((at_ms, self._retries(at_ms, answers)))
        if since_ms % _WINDOW_MS == 0 and since_ms:
            out.append((at_ms, self._queue(at_ms)))
            out += [(at_ms, self._cost(at_ms, side)) for side in running if side.solved]

    def _event(self, name: str, at_ms: int, side: Side | None = None) -> dict[str, Any]:
        event: dict[str, Any] = {
            "event": name,
            "ts": at_ms / 1_000,
            "service": self._scope.service,
            "region": self._scope.region,
        }
        if side is not None:
            event["arm"] = side.arm
        return event

    def _heartbeats(self, at_ms: int, side: Side, out: list[Timed]) -> None:
        """A rollout that changes the index brings retrievers of its own; any other has none."""
        index = side.pins["INDEX_HASH"]
        is_new = index != GOOD_PINS["INDEX_HASH"]
        if side.arm == Arm.CANARY and not is_new:
            return
        condition = side.condition
        for number in range(READERS):
            # The first ones are wrong, the last ones are away.
            if number >= READERS - round(condition.absent_readers):
                continue
            pins = {**INDEX_FACTS, "INDEX_HASH": index}
            pins["ANALYZER_CONF"] = GOOD_PINS["ANALYZER_CONF"]
            if number < round(condition.wrong_index):
                pins["INDEX_HASH"] = UNKNOWN_INDEX
            if number < round(condition.wrong_analyzer):
                pins["ANALYZER_CONF"] = OTHER_ANALYZER
            event = self._event("retriever.heartbeat", at_ms, side)
            event |= {
                "reader": f"retriever-{side.arm}-{number}",
                "documents": NEW_DOCUMENTS if is_new else DOCUMENTS,
                "pins": pins,
            }
            out.append((at_ms + number, event))

    def _probes(self, at_ms: int, side: Side, out: list[Timed]) -> None:
        """One gold question under one seed, in all paraphrases."""
        chance = self._chance.random
        self._groups += 1
        question, seed = f"q{self._groups % QUESTIONS:02d}", f"{self._groups // QUESTIONS % 2}"
        for number, paraphrase in enumerate(PARAPHRASES):
            probe_ms = at_ms + number * _BETWEEN_PROBES_MS
            state = "convergent"
            if chance() < side.condition.divergence:
                state = _OTHER_STATES[int(chance() * len(_OTHER_STATES))]
            event = self._event("probe.lambda", probe_ms, side)
            event |= {"question": question, "seed": seed, "paraphrase": paraphrase, "state": state}
            out.append((probe_ms, event))

    def _retries(self, at_ms: int, answers: Answers) -> dict[str, Any]:
        """What clients did about refusals since the last window."""
        chance, condition = self._chance.random, self._sides[0].condition
        retries = sum(chance() < _RETRIED for _ in range(answers.throttled))
        event = self._event("retry.window", at_ms)
        event |= {
            "requests": answers.requests,
            "throttled": answers.throttled,
            "retries": retries,
            "adhered": sum(chance() < condition.adherence for _ in range(retries)),
        }
        answers.requests = answers.throttled = 0
        return event

    def _queue(self, at_ms: int) -> dict[str, Any]:
        chance, condition = self._chance, self._sides[0].condition
        busy = condition.load * condition.latency
        event = self._event("queue.window", at_ms)
        event["values"] = {
            "queue_depth": int(chance.expovariate(1.0) * 4 * busy),
            "queue_wait_p95_ms": round(30 * busy * chance.uniform(0.7, 1.4), 1),
        }
        return event

    def _cost(self, at_ms: int, side: Side) -> dict[str, Any]:
        event = self._event("cost.window", at_ms, side)
        event["values"] = {"cost_per_solved_query": round(side.cost / side.solved, 6)}
        side.solved, side.cost = 0, 0.0
        return event
