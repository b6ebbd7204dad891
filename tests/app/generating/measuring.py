"""What a stream of events shows, measured as a stranger would: from the events alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from rollbackd.app.generating.plans import Plan, draw
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.app.generating.schedule import Timed
from rollbackd.app.generating.stream import events
from rollbackd.promql.values import quantile_of

START_MS = 1_756_720_800_000  # 2025-09-01T10:00:00Z
SEED = 7
#: Answers that a percentile or a share needs.
ENOUGH = 500

#: A measure and the arm that it is of; "" is the whole service.
Measure = tuple[str, str]

#: What each measure is in health: from and to.
HEALTHY: dict[str, tuple[float, float]] = {
    "delta_s_p95_drift": (-0.05, 0.12),
    "coverage": (0.7, 1.0),
    "latency_p99_ratio": (0.7, 1.8),
    "errors": (0.0, 0.009),
    "throttled": (0.0, 0.02),
    "tokens_ratio": (0.8, 1.3),
    "flips": (0.0, 0.12),
    "loops": (0, 0),
    "foreign_entries": (0, 0),
    "unkeyed_entries": (0, 0),
    "shadow_entries": (0, 0),
    "versions": (1, 1),
    "users_on_both_arms": (0, 0),
    "doubled_effects": (0, 0),
    "conflicts": (0.0, 0.03),
    "odd_readers": (0, 0),
}


@lru_cache(maxsize=2)
def played(name: str, seed: int = SEED) -> tuple[Plan, list[Timed]]:
    """A whole plan, at a rate that is enough for every measure."""
    plan = draw(SCENARIOS[name], seed=seed, start_ms=START_MS, rate=14.0)
    return plan, list(events(plan))


def named(stream: Iterable[Timed], name: str) -> list[dict[str, Any]]:
    """The events of one type."""
    return [event for _, event in stream if event["event"] == name]


def settled_ms(plan: Plan) -> int:
    """When everything that goes wrong has come to its full size, or the canary's last step."""
    steps = max(since for since, _ in plan.scenario.steps)
    ramps = (each.from_ms + each.ramp_ms for each in plan.injections)
    last = plan.rollout_ms + int(steps * 1_000)
    return max(last, *ramps) if plan.scenario.line else last


def measured(plan: Plan, stream: list[Timed]) -> dict[Measure, float]:
    """Every measure of the first scope, for each arm that has enough to say."""
    scope = plan.scopes[0]
    ours = [
        (at_ms, event)
        for at_ms, event in stream
        if (event["service"], event["region"]) == (scope.service, scope.region)
    ]
    (pinned,) = named(ours, "baseline.pinned")
    # by both times: what is late happened before, and a clock that is ahead says it is later
    since_ms = settled_ms(plan)
    late = [e for at_ms, e in ours if at_ms >= since_ms and e["ts"] * 1_000 >= since_ms]
    found: dict[Measure, float] = {}
    for arm in ("baseline", "canary"):
        mine = [event for event in late if event.get("arm") == arm]
        found |= {
            (name, arm): value
            for part in (_answers, _probes, _tools, _cache, _effects, _readers)
            for name, value in part(mine, pinned).items()
        }
    found["users_on_both_arms", ""] = _on_both_arms(late)
    return found


def broken(found: dict[Measure, float]) -> set[Measure]:
    """The measures that are not as in health."""
    return {
        measure
        for measure, value in found.items()
        if not HEALTHY[measure[0]][0] <= value <= HEALTHY[measure[0]][1]
    }


def _answers(mine: list[dict[str, Any]], pinned: dict[str, Any]) -> dict[str, float]:
    answers = [e for e in mine if e["event"] == "answer.served"]
    if len(answers) < ENOUGH:
        return {}
    warm = [e["values"] for e in answers if "values" in e and "labels" not in e]
    solved = [values for values in warm if "delta_s" in values]
    usual = pinned["baseline"]
    codes = Counter(e["code"] // 100 for e in answers)
    versions = {tuple(sorted(e["pins"].items())) for e in answers}
    drift = quantile_of(0.95, [v["delta_s"] for v in solved]) - usual["delta_s"]["p95"]
    p99 = quantile_of(0.99, [v["latency_seconds"] for v in warm])
    return {
        "delta_s_p95_drift": drift,
        "coverage": sum(v["coverage"] for v in solved) / len(solved),
        "latency_p99_ratio": p99 / usual["latency_seconds"]["p99"],
        "errors": codes[5] / len(answers),
        "throttled": codes[4] / len(answers),
        "tokens_ratio": sum(v["tokens"] for v in solved) / len(solved) / usual["tokens"]["mean"],
        "versions": len(versions),
    }


def _probes(mine: list[dict[str, Any]], _: dict[str, Any]) -> dict[str, float]:
    """Groups of one question under one seed, of which each comes back after eight minutes."""
    groups: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for event in mine:
        if event["event"] == "probe.lambda":
            around = str(int(event["ts"] / 60))
            groups[event["question"], event["seed"], around].append(event["state"])
    whole = [states for states in groups.values() if len(states) == 3]
    if len(whole) < 20:
        return {}
    return {"flips": sum(set(states) != {"convergent"} for states in whole) / len(whole)}


def _tools(mine: list[dict[str, Any]], _: dict[str, Any]) -> dict[str, float]:
    calls = Counter(
        (e["trace_id"], e["tool"], e["args_hash"], e["output_hash"])
        for e in mine
        if e["event"] == "tool.call"
    )
    return {"loops": sum(count >= 3 for count in calls.values())}


def _cache(mine: list[dict[str, Any]], _: dict[str, Any]) -> dict[str, float]:
    hits = [e for e in mine if e["event"] == "cache.event" and e["hit"]]
    keyed = ("INDEX_HASH", "PROMPT_VER")
    return {
        "foreign_entries": sum(
            e["entry_pins"].get(name, e["pins"][name]) != e["pins"][name]
            for e in hits
            for name in keyed
        ),
        "unkeyed_entries": sum(name not in e["entry_pins"] for e in hits for name in keyed),
        "shadow_entries": sum(e["shadow"] for e in hits),
    }


def _effects(mine: list[dict[str, Any]], _: dict[str, Any]) -> dict[str, float]:
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for event in mine:
        if event["event"] == "effect.receipt":
            ids[event["key"]].add(event["effect_id"])
    found: dict[str, float] = {"doubled_effects": sum(len(each) > 1 for each in ids.values())}
    decisions = [e["decision"] for e in mine if e["event"] == "dedupe.decision"]
    if len(decisions) >= 100:
        found["conflicts"] = decisions.count("conflict") / len(decisions)
    return found


def _readers(mine: list[dict[str, Any]], _: dict[str, Any]) -> dict[str, float]:
    """Retrievers whose pins are not those that their arm answers with."""
    pins = next((e["pins"] for e in mine if e["event"] == "answer.served"), {})
    odd = {
        event["reader"]
        for event in mine
        if event["event"] == "retriever.heartbeat"
        for name in ("INDEX_HASH", "ANALYZER_CONF")
        if event["pins"][name] != pins[name]
    }
    return {"odd_readers": len(odd)}


def _on_both_arms(late: list[dict[str, Any]]) -> int:
    arms: defaultdict[str, set[str]] = defaultdict(set)
    for event in late:
        if event["event"] == "answer.served":
            arms[event["user"]].add(event["arm"])
    return sum(len(each) > 1 for each in arms.values())
