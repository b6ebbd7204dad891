"""Bodies as senders write them."""

import json
from typing import Any

#: 2026-11-22T20:00:00Z.
NOW = 1_795_377_600_000

PINS = {
    "BUILD_ID": "2026.11.22.01",
    "GIT_SHA": "abcdef1",
    "MODEL_VER": "m-7",
    "PROMPT_VER": "p-12",
    "INDEX_HASH": "a1d9f0",
    "RERANK_CONF": "bge-v2@top32",
    "TOK_VER": "t-1",
    "ANALYZER_CONF": "icu-v3",
}


def native(**changes: Any) -> dict[str, Any]:
    """An answer of the canary."""
    event: dict[str, Any] = {
        "event": "answer.served",
        "ts": "2026-11-22T19:59:59.250Z",
        "service": "rag",
        "region": "eu",
        "arm": "canary",
        "code": 200,
        "values": {"delta_s": 0.31, "latency_seconds": 0.4},
        "labels": {"stage": "retrieve"},
        "pins": PINS,
    }
    merged = {**event, **changes}
    return {k: v for k, v in merged.items() if v is not ...}


def alert(**changes: Any) -> dict[str, Any]:
    """One alert as Alertmanager 0.34 writes it."""
    return {
        "status": "firing",
        "labels": {"alertname": "QualityDrift", "service": "rag", "region": "eu"},
        "annotations": {"summary": "drift"},
        "startsAt": "2026-11-22T19:58:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=x",
        "fingerprint": "c1f6d1fe8a5f2a7b",
        **changes,
    }


def notification(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A webhook body of version 4."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="QualityDrift"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "rollbackd",
        "groupLabels": {"alertname": "QualityDrift"},
        "commonLabels": {},
        "commonAnnotations": {},
        "routeLabels": {},
        "externalURL": "http://alertmanager:9093",
        "notification_reason": "first_notification",
        "alerts": list(alerts) or [alert()],
        **changes,
    }


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def lines(*values: object) -> bytes:
    return b"\n".join(map(encoded, values))
