"""`decode`: bytes to model values, against `orjson.loads` of the same bytes."""

import gc
import json
import time
from collections.abc import Callable

import orjson

from rollbackd.events.alertmanager import decode_notification
from rollbackd.events.collecting import Collector
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.events.record import decode_records
from rollbackd.sources.kafka.connection import MAX_POLL_RECORDS
from tests.benchmarks.bench import Bench, isolated
from tests.benchmarks.mapped import MAPPED, mapping_of, others
from tests.benchmarks.results import Result, rate
from tests.benchmarks.workload import events

_START_MS = 1_795_377_600_000
_EVENTS = 50_000
_LINES = 100
_ALERTS = 20

_FORMATS = {
    "native": "native, one event a record",
    "answers": "native, answers to a user each",
    "receipts": "native, receipts with a key each, as single facts",
    "mapping": "others, by the mapping of the quickstart",
    "rag-answer": "others, by the shipped `rag-answer`: 8 pins, 5 values, a hashed user each",
    "ndjson": f"native, {_LINES} lines a record",
    "alertmanager": f"Alertmanager, {_ALERTS} alerts a body (alerts/s)",
}


async def decode(bench: Bench) -> list[Result]:
    """One line a format."""
    results: list[Result] = []
    for name, what in _FORMATS.items():
        found = [await isolated(measure, name) for _ in range(bench.runs)]
        ours, peer = rate([f[0] for f in found]), rate([f[1] for f in found])
        results.append(
            Result(
                row="decode",
                what=what,
                ours=ours,
                peer=peer,
                peer_name="orjson.loads",
                verdict=f"{ours.median / peer.median:.2f} of the peer's rate",
            )
        )
    return results


def measure(name: str) -> tuple[float, float]:
    """(ours, peer) in events a second."""
    bodies, each = _bodies(name)

    def ours(records: list[bytes]) -> None:
        decode_records(records, Collector(), headers={}, now_ms=_START_MS + 60_000)

    def alerts(records: list[bytes]) -> None:
        for record in records:
            decode_notification(record)

    def peer(records: list[bytes]) -> None:
        for record in records:
            for line in record.splitlines():
                orjson.loads(line)

    if name in MAPPED:
        mapping = FieldMapping.read(mapping_of(name), file=f"{name}.yaml")

    def mapped(records: list[bytes]) -> None:
        mapping.take_records(records, Collector(), now_ms=_START_MS + 60_000)

    first = alerts if name == "alertmanager" else mapped if name in MAPPED else ours
    first(bodies[:1])
    return _rate(first, bodies, each), _rate(peer, bodies, each)


def _rate(call: Callable[[list[bytes]], object], bodies: list[bytes], each: int) -> float:
    """As many at a time as the daemon polls."""
    gc.collect()
    began = time.process_time()
    for first in range(0, len(bodies), MAX_POLL_RECORDS):
        call(bodies[first : first + MAX_POLL_RECORDS])
    return len(bodies) * each / (time.process_time() - began)


def _bodies(name: str) -> tuple[list[bytes], int]:
    if name == "alertmanager":
        return [_notification(n) for n in range(_EVENTS // _ALERTS)], _ALERTS
    if name in MAPPED:
        return others(name, _EVENTS, start_ms=_START_MS), 1
    single = [value for _, value in events(_EVENTS, start_ms=_START_MS)]
    if name == "native":
        return single, 1
    if name in {"answers", "receipts"}:
        return [_with_an_id(name, value, n) for n, value in enumerate(single)], 1
    return [b"\n".join(single[n : n + _LINES]) for n in range(0, _EVENTS, _LINES)], _LINES


def _with_an_id(name: str, value: bytes, number: int) -> bytes:
    """The event with what no other one has."""
    event = json.loads(value)
    if name == "answers":
        event["user"] = f"user-{number}"
    else:
        del event["code"], event["values"], event["pins"]
        event |= {"event": "effect.receipt", "key": f"order-{number}", "effect_id": f"ch-{number}"}
    return json.dumps(event, separators=(",", ":")).encode()


def _notification(number: int) -> bytes:
    return json.dumps(notification(number * _ALERTS, _ALERTS)).encode()


def notification(first: int, count: int) -> dict[str, object]:
    """A webhook body of version 4 with alerts that nobody has seen before."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="QualityDrift"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "rollbackd",
        "groupLabels": {"alertname": "QualityDrift"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "QualityDrift", "service": "rag", "id": str(number)},
                "annotations": {"summary": "drift"},
                "startsAt": "2026-11-22T19:58:00.123456789Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://prometheus:9090/graph?g0.expr=x",
                "fingerprint": f"{number:016x}",
            }
            for number in range(first, first + count)
        ],
    }
