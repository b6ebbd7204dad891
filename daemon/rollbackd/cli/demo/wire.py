"""What the demo's pipeline and service say, as native events."""

from collections.abc import Iterable, Mapping
from typing import Final

import orjson

from rollbackd.cli.demo.application import BASELINE, CANARY, FLAG, Application, Served
from rollbackd.model.labels import Scope

GOOD_PINS: Final = {
    "BUILD_ID": "2026.11.22.01",
    "GIT_SHA": "4f1c2ab",
    "MODEL_VER": "gpt-4o-2026-07-15",
    "PROMPT_VER": "p-2026.11.08",
    "INDEX_HASH": "a1d9f0",
    "RERANK_CONF": "bge-rerank-v2@top32",
    "TOK_VER": "tiktoken-2026.07",
    "ANALYZER_CONF": "icu-cjk-folding-v3",
}

#: What the rollout changes, and so what has to be rolled back.
BAD_PROMPT: Final = "p-2026.11.22"

PINS: Final = {BASELINE: GOOD_PINS, CANARY: {**GOOD_PINS, "PROMPT_VER": BAD_PROMPT}}

#: The switches as the pipeline sets them before the rollout.
INTENTS: Final[Mapping[str, dict[str, object]]] = {
    FLAG: {"baseline_weight": 1.0, "canary_weight": 0.0, "global_off": False},
    "alias:docs_live": {"index": "docs_vA"},
    "pins": {**GOOD_PINS},
}


def encode(served: Iterable[Served], *, scope: Scope, started_at_ms: int) -> bytes:
    """One `answer.served` a request, as NDJSON."""
    return b"\n".join(
        orjson.dumps(_event(s, scope, started_at_ms + s.request.at_ms)) for s in served
    )


def known_good(application: Application, *, scope: Scope, now_ms: int) -> bytes:
    """The `baseline.pinned` event: what to go back to, with the window measured until now."""
    answered = [s.outcome for s in application.recent if s.arm == BASELINE and not s.shed]
    measured = {
        "delta_s": [o.delta_s for o in answered],
        "coverage": [o.coverage for o in answered],
        "latency_seconds": [o.latency_ms / 1_000 for o in answered],
    }
    event = {
        "event": "baseline.pinned",
        "ts": now_ms / 1_000,
        "service": scope.service,
        "region": scope.region,
        "pins": GOOD_PINS,
        "controls": INTENTS,
        "baseline": {metric: _statistics(values) for metric, values in measured.items()},
    }
    return orjson.dumps(event)


def _event(served: Served, scope: Scope, at_ms: int) -> dict[str, object]:
    event: dict[str, object] = {
        "event": "request.shed" if served.shed else "answer.served",
        "ts": at_ms / 1_000,
        "service": scope.service,
        "region": scope.region,
        "arm": served.arm,
        "pins": PINS[served.arm],
    }
    if served.shed:
        return {**event, "code": 429}
    outcome = served.outcome
    values = {"latency_seconds": outcome.latency_ms / 1_000}
    if outcome.code == 200:
        values |= {"delta_s": outcome.delta_s, "coverage": outcome.coverage}
    # A deferred write is accepted, and done when writes are open again.
    code = 202 if served.deferred and outcome.code == 200 else outcome.code
    return {**event, "code": code, "values": values}


def _statistics(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": _quantile(ordered, 0.50),
        "p95": _quantile(ordered, 0.95),
        "p99": _quantile(ordered, 0.99),
        "mean": sum(ordered) / len(ordered),
        "count": float(len(ordered)),
    }


def _quantile(ordered: list[float], q: float) -> float:
    """Linear between ranks, as PromQL's `quantile_over_time`."""
    rank = q * (len(ordered) - 1)
    low = int(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)
