"""Facts of one scope, and what the detectors make of them."""

from collections.abc import Iterable, Sequence
from typing import Any

from rollbackd.model import facts as f
from rollbackd.model.events import Sample
from rollbackd.model.labels import METRIC_NAME, Scope
from rollbackd.model.pins import Pins
from rollbackd.settings.detectors import DetectorSettings
from rollbackd.triggers.detectors import DetectorBank, Expected, IndexExpected

T0 = 1_795_377_600_000
EU = Scope("rag", "eu")
US = Scope("rag", "us")
PINS: Pins = {"INDEX_HASH": "a1", "PROMPT_VER": "p-1", "MODEL_VER": "m-1"}


def answer(
    seconds: float = 0, arm: str = "canary", scope: Scope = EU, **said: Any
) -> f.AnswerServed:
    said = {"pins": PINS, **said}
    return f.AnswerServed(scope=scope, time_ms=at(seconds), arm=arm, **said)


def receipt(key: str, effect: str, seconds: float = 0, **said: Any) -> f.EffectReceipt:
    said = {"scope": EU, **said}
    return f.EffectReceipt(time_ms=at(seconds), key=key, effect_id=effect, **said)


def read(seconds: float = 0, **said: Any) -> f.CacheRead:
    said = {"scope": EU, "arm": "canary", "hit": True, "pins": PINS, "entry_pins": PINS, **said}
    return f.CacheRead(time_ms=at(seconds), **said)


def call(output: str, seconds: float, trace: str = "t-1", **said: Any) -> f.ToolCalled:
    said = {"scope": EU, "arm": "canary", "tool": "search", "args_hash": "a", **said}
    return f.ToolCalled(time_ms=at(seconds), trace_id=trace, output_hash=output, **said)


def heartbeat(reader: str, seconds: float = 0, **said: Any) -> f.RetrieverSeen:
    said = {"scope": EU, "pins": PINS, **said}
    return f.RetrieverSeen(time_ms=at(seconds), reader=reader, **said)


def probe(paraphrase: str, state: str, seconds: float = 0, **said: Any) -> f.LambdaProbed:
    said = {"scope": EU, "arm": "canary", "question": "q", "seed": "1", **said}
    return f.LambdaProbed(time_ms=at(seconds), paraphrase=paraphrase, state=state, **said)


def retried(throttled: int, seconds: float = 0, requests: int = 1_000, **said: Any) -> f.Retried:
    said = {"scope": EU, "retries": 10, "adhered": 10, **said}
    return f.Retried(time_ms=at(seconds), requests=requests, throttled=throttled, **said)


def decided(decision: str, seconds: float = 0, scope: Scope = EU) -> f.DedupeDecided:
    word = f.DedupeDecision(decision)
    return f.DedupeDecided(scope=scope, time_ms=at(seconds), key="k", decision=word)


def at(seconds: float) -> int:
    return T0 + round(seconds * 1_000)


class Known:
    """Implements Expected with what a test knows."""

    def __init__(self) -> None:
        self.flip_until_ms = 0
        self.users_until_ms = 0
        self.indexes: Sequence[IndexExpected] = ()

    def own_flip_until(self, scope: Scope) -> int:  # noqa: ARG002  # the port
        return self.flip_until_ms

    def users_move_until(self, scope: Scope) -> int:  # noqa: ARG002  # the port
        return self.users_until_ms

    def index_of(self, scope: Scope, arm: str) -> Sequence[IndexExpected]:  # noqa: ARG002  # the port
        return self.indexes


class Watched:
    """A bank and every sample that it has made."""

    def __init__(
        self, settings: DetectorSettings | None = None, expected: Expected | None = None
    ) -> None:
        self.bank = DetectorBank(settings, expected)
        self.samples: list[Sample] = []

    def take(
        self,
        *facts: f.AnyFact,
        now_s: float = 1_000_000,
        origin: str = "p-0",
        again: bool = False,
    ) -> "Watched":
        self.samples += self.bank.take(facts, now_ms=at(now_s), origin=origin, again=again)
        return self

    def series(self, metric: str, **labels: str) -> list[tuple[float, float]]:
        """(seconds, value) of the series that have these labels, in the order of arrival."""
        wanted = {METRIC_NAME: metric, **labels}
        return [
            ((sample.time_ms - T0) / 1_000, sample.value)
            for sample in self.samples
            if wanted.items() <= dict(sample.labels).items()
        ]

    def last(self, metric: str, **labels: str) -> float | None:
        """The newest value, None where there is none."""
        found = self.series(metric, **labels)
        return found[-1][1] if found else None


def watched(facts: Iterable[f.AnyFact]) -> Watched:
    return Watched().take(*facts)
