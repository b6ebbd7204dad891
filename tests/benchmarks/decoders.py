"""`decoders`: a million samples or events of each format, against the bare parser of its bytes.

The peer only parses: it looks at no field. What a decoder does beyond it is naming the series.
"""

import gc
import json
import time
from collections.abc import Callable
from typing import Any, Final

import orjson
from google.protobuf.json_format import MessageToDict

from rollbackd.events import otlp_protobuf, remote_write
from rollbackd.events.collecting import Collector
from rollbackd.events.decoders import Decoders
from rollbackd.events.record import decode_records
from rollbackd.settings.values import TOPIC_FORMATS
from rollbackd.sources.kafka.connection import MAX_POLL_RECORDS
from tests.benchmarks.bench import Bench, isolated
from tests.benchmarks.decoding import notification
from tests.benchmarks.results import Result, rate
from tests.benchmarks.workload import events
from tests.events.wire import metrics_request, write_request, write_request_v2

_NOW_MS: Final = 1_795_377_600_000
_MILLION: Final = 1_000_000
#: What a Prometheus sends at once.
_TOGETHER: Final = 2_000
_SERIES: Final = 20_000
#: Bodies that are made; they are decoded again and again until there were a million.
_BODIES: Final = 10

#: Bodies, what is in each, and the bare parser.
Load = tuple[list[bytes], int, Callable[[bytes], object]]


async def decoders(bench: Bench) -> list[Result]:
    """One line a format."""
    results: list[Result] = []
    for name in TOPIC_FORMATS:
        if name == "auto":
            continue
        found = [await isolated(measure, name) for _ in range(bench.runs)]
        ours = rate([f[0] for f in found], "samples/s")
        peer = rate([f[1] for f in found], "samples/s")
        results.append(
            Result(
                row="decoders",
                what=f"{name}, {_MILLION:,} samples, events or alerts",
                ours=ours,
                peer=peer,
                peer_name=found[0][2],
                verdict=f"{ours.median / peer.median:.2f} of the peer's rate",
            )
        )
    return results


def measure(name: str) -> tuple[float, float, str]:
    """(ours, peer) in samples a second, and who the peer is."""
    bodies, each, parse = _load(name)
    memory = Decoders()

    def ours(records: list[bytes]) -> None:
        into = Collector()
        kept = Decoders() if name == "cloudevents" else memory
        rejected = decode_records(
            records, into, format=name, headers={}, now_ms=_NOW_MS + 60_000, memory=kept
        )
        assert not rejected
        assert into.samples or into.alerts

    def peer(records: list[bytes]) -> None:
        for record in records:
            parse(record)

    ours(bodies[:1])
    who = "orjson.loads" if parse is orjson.loads else "protobuf"
    return _rate(ours, bodies, each), _rate(peer, bodies, each), who


def _rate(call: Callable[[list[bytes]], object], bodies: list[bytes], each: int) -> float:
    gc.collect()
    done, began = 0, time.process_time()
    while done < _MILLION:
        for first in range(0, len(bodies), MAX_POLL_RECORDS):
            part = bodies[first : first + MAX_POLL_RECORDS]
            call(part)
            done += len(part) * each
    return done / (time.process_time() - began)


def _load(name: str) -> Load:
    match name:
        case "remote_write":
            return _written(write_request), _TOGETHER, remote_write.decoded
        case "remote_write_v2":
            return _written(write_request_v2), _TOGETHER, remote_write.decoded_v2
        case "otlp_protobuf":
            bodies = [request.SerializeToString() for request in _requests()]
            return bodies, _TOGETHER, otlp_protobuf.request_of
        case "otlp_json":
            said = [MessageToDict(each, use_integers_for_enums=True) for each in _requests()]
            return [orjson.dumps(each) for each in said], _TOGETHER, orjson.loads
        case "telegraf":
            fields = [
                [_telegraf(n) for n in range(f, f + 200)] for f in range(0, _SERIES // 10, 200)
            ]
            return [orjson.dumps({"metrics": each}) for each in fields], _TOGETHER, orjson.loads
        case "prometheus_json":
            return [orjson.dumps(_adapted(n)) for n in range(_SERIES)], 1, orjson.loads
        case "alertmanager":
            firsts = range(0, _SERIES, 20)
            return [json.dumps(notification(n, 20)).encode() for n in firsts], 20, orjson.loads
    plain = [value for _, value in events(_SERIES, start_ms=_NOW_MS)]
    if name == "cloudevents":
        return [_enveloped(n, value) for n, value in enumerate(plain)], 1, orjson.loads
    return plain, 1, orjson.loads


def _labels(number: int) -> dict[str, str]:
    return {
        "__name__": "http_requests_total",
        "instance": f"host-{number % 200}:9100",
        "job": "api",
        "code": "200",
        "path": f"/p/{number // 200}",
    }


def _written(write: Callable[..., bytes]) -> list[bytes]:
    return [
        write(*[(_labels(n), [(float(n), _NOW_MS + n)]) for n in range(first, first + _TOGETHER)])
        for first in range(0, _SERIES, _TOGETHER)
    ]


def _requests() -> list[Any]:
    return [
        metrics_request(
            {
                "name": "http.requests",
                "sum": {
                    "is_monotonic": True,
                    "aggregation_temporality": 2,
                    "data_points": [
                        _point(n) for n in range(body * _TOGETHER, (body + 1) * _TOGETHER)
                    ],
                },
            },
            resource={"service.name": "rag", "cloud.region": "eu"},
        )
        for body in range(_BODIES)
    ]


def _point(number: int) -> dict[str, Any]:
    labels = {k: v for k, v in _labels(number).items() if k != "__name__"}
    attributes = [{"key": key, "value": {"string_value": value}} for key, value in labels.items()]
    time_ns = (_NOW_MS + number) * 1_000_000
    return {"as_double": float(number), "time_unix_nano": time_ns, "attributes": attributes}


def _telegraf(number: int) -> dict[str, Any]:
    fields = {f"field_{n}": number + n / 10 for n in range(10)}
    tags = {"host": f"host-{number}", "region": "eu"}
    return {"name": "docker", "tags": tags, "fields": fields, "timestamp": _NOW_MS // 1_000}


def _adapted(number: int) -> dict[str, Any]:
    labels = _labels(number)
    sample = {"timestamp": "2026-11-22T20:00:00Z", "value": str(number / 7)}
    return {**sample, "name": labels["__name__"], "labels": labels}


def _enveloped(number: int, value: bytes) -> bytes:
    event = {"specversion": "1.0", "id": str(number), "source": "/rag", "type": "answer.served"}
    return orjson.dumps({**event, "data": orjson.Fragment(value)})
