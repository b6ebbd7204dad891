"""The events and rules of the engine's rows: answers of 50 services, as the native format has them.

Two series for each (service, arm, instance), so that `instances` sets the number of series; four
rules for each service, which read all of its series and never fire.
"""

import itertools
import json
import random
from collections.abc import Iterator

from rollbackd.rulefmt.rule_files import RuleFile, read_rule_file

SERVICES = 50
ARMS = ("stable", "canary")
#: 50 services, 2 arms, 50 instances, 2 metrics.
SERIES = 10_000
RULES = 200
RATE = 20_000
#: What an event becomes: two values and its code.
SAMPLES_PER_EVENT = 3

_AVERAGE = "avg by (service, arm) (avg_over_time(latency_seconds{{service='{s}'}}[1m])) > 10"
_MOST = "max by (service) (max_over_time(delta_s{{service='{s}'}}[5m])) > 10"
_QUANTILE = (
    "quantile_over_time(0.95, delta_s{{service='{s}'}}[5m]) > 10"
    " and count_over_time(delta_s{{service='{s}'}}[5m]) >= 20"
)
_RATIO = (
    "sum by (service) (count_over_time(requests{{service='{s}',code=~'5..'}}[5m]))"
    " / sum by (service) (count_over_time(requests{{service='{s}'}}[5m])) > 1"
)
_EXPRESSIONS = (_AVERAGE, _MOST, _QUANTILE, _RATIO)


def rule_text(rules: int = RULES, *, untouched: int = 0, extra: str = "") -> str:
    """A rule file; `untouched` more rules read metrics that no event has."""
    lines = ["groups:", "  - name: bench", "    interval: 15s", "    rules:"]
    services = [_service(n) for n in range(SERVICES)]
    kinds = itertools.product(_EXPRESSIONS, services)
    for number, (expression, service) in enumerate(itertools.islice(kinds, rules)):
        lines.append(f'      - {{alert: R{number}, expr: "{expression.format(s=service)}"}}')
    for number in range(untouched):
        expression = _EXPRESSIONS[number % 4].format(s=_service(number % SERVICES))
        for metric in ("latency_seconds", "delta_s", "requests"):
            expression = expression.replace(metric, f"{metric}_of_others_{number // RULES}")
        lines.append(f'      - {{alert: U{number}, expr: "{expression}"}}')
    return "\n".join([*lines, extra])


def rule_files(rules: int = RULES, *, untouched: int = 0) -> list[RuleFile]:
    """The same, read."""
    return [read_rule_file(rule_text(rules, untouched=untouched), file="bench.yaml")]


def events(
    count: int, *, start_ms: int, per_second: int = RATE, series: int = SERIES
) -> Iterator[tuple[str, bytes]]:
    """(key, native event), spread over all series, at a steady pace from `start_ms` on."""
    rng = random.Random(7)
    instances = series // (SERVICES * len(ARMS) * 2)
    sources = [
        (_service(s), arm, f"i-{i}")
        for s in range(SERVICES)
        for arm in ARMS
        for i in range(instances)
    ]
    rng.shuffle(sources)
    endless = itertools.cycle(sources)
    for number in range(count):
        service, arm, instance = next(endless)
        yield (
            service,
            event(service, arm, instance, ts=start_ms / 1_000 + number / per_second, rng=rng),
        )


def event(service: str, arm: str, instance: str, *, ts: float, rng: random.Random) -> bytes:
    """One answer."""
    return json.dumps(
        {
            "event": "answer.served",
            "ts": round(ts, 3),
            "service": service,
            "region": "eu",
            "arm": arm,
            "code": 500 if rng.random() < 0.01 else 200,
            "values": {
                "delta_s": round(rng.random(), 4),
                "latency_seconds": round(rng.random(), 4),
            },
            "labels": {"instance": instance},
            "pins": {"PROMPT_VER": "p-12", "INDEX_HASH": "a1d9f0"},
        },
        separators=(",", ":"),
    ).encode()


def _service(number: int) -> str:
    return f"svc-{number:02d}"
