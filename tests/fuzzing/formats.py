"""`python -m tests.fuzzing.formats [--cases N] [--seed N] [--only CASE]`: random bodies.

In the formats of other programs: good samples damaged, and mere bytes.
"""

import argparse
import json
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from functools import cache
from typing import Any, Final

import cramjam
from google.protobuf.json_format import MessageToDict

from rollbackd.events.collecting import Collector
from rollbackd.events.decoders import Decoders
from rollbackd.events.record import FORMATS, decode_records
from tests.events.bodies import native, notification
from tests.events.wire import metrics_request, write_request, write_request_v2

_NOW_MS: Final = 1_795_377_600_000
_NOW_NS: Final = _NOW_MS * 1_000_000
_PACKED: Final = ("remote_write", "remote_write_v2")
_MOST_LABELS: Final = 31
_HEADERS: Final = (
    (),
    (("content-type", b"application/cloudevents+json"),),
    (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"s"), ("ce_type", b"t")),
    (("content-type", b"\xff"), ("ce_id", None)),
)

#: Format, headers, body.
Case = tuple[str, tuple[tuple[str, bytes | None], ...], bytes]


def body(seed: int, number: int) -> Case:
    """One case: a damaged sample of a format, or one given to another format, or bytes."""
    rng = random.Random(f"{seed}:{number}")
    declared = rng.choice(FORMATS)
    source = declared if rng.random() < 0.9 else rng.choice(FORMATS)
    text = bytearray(rng.choice(_samples(source)))
    if rng.random() < 0.05:
        text = bytearray(rng.randbytes(rng.randrange(64)))
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        _damage(rng, text)
    damaged = bytes(text)
    if declared in _PACKED and rng.random() < 0.9:
        damaged = bytes(cramjam.snappy.compress_raw(damaged))
    return declared, rng.choice(_HEADERS), damaged


def _damage(rng: random.Random, text: bytearray) -> None:
    if not text:
        return
    at = rng.randrange(len(text))
    match rng.randrange(4):
        case 0:
            text[at] = rng.randrange(256)
        case 1:
            del text[at : at + rng.randrange(8)]
        case 2:
            text[at:at] = rng.randbytes(rng.randrange(1, 5))
        case _:
            text[at:at] = text[at : at + rng.randrange(1, 40)]


class Formats:
    """Decodes; what was refused has left nothing behind, and what was taken is well formed."""

    def __init__(self) -> None:
        self._memory = Decoders()
        #: Bytes by format.
        self.given = Counter[str]()
        #: Cases by what they were refused as.
        self.refused = Counter[str]()

    def take(self, case: Case) -> str:
        """Why it was refused, or an empty text. Raises what should not be raised."""
        declared, headers, text = case
        into = Collector()
        # an event that was seen is not looked at, so that nothing but totals is remembered
        memory = self._memory if declared.startswith("otlp") else Decoders()
        rejected = decode_records(
            [text],
            into,
            format=declared,
            headers={0: headers} if headers else {},
            now_ms=_NOW_MS,
            memory=memory,
        )
        batch = into.batch()
        for labels, value, time_ms in batch.samples:
            assert list(labels) == sorted(set(labels))
            assert all(name and content for name, content in labels)
            assert len(labels) <= _MOST_LABELS + 3
            assert isinstance(value, float)
            assert isinstance(time_ms, int)
        if not rejected:
            return ""
        ((_, error),) = rejected
        assert str(error)
        if "the rest of the record is taken" in str(error):
            return f"{declared}: in part"
        assert not (batch.samples)
        assert not (batch.alerts)
        assert not (batch.facts)
        assert not (batch.known_good)
        return declared


@cache
def _samples(declared: str) -> tuple[bytes, ...]:
    """Good bodies of a format; those that are packed, unpacked."""
    up = {"__name__": "up", "job": "api", "instance": "a:1"}
    series = ((up, [(1.0, _NOW_MS), (float("nan"), _NOW_MS)]), ({"__name__": "x"}, [(2.0, 7)]))
    match declared:
        case "remote_write":
            return (bytes(cramjam.snappy.decompress_raw(write_request(*series))),)
        case "remote_write_v2":
            return (bytes(cramjam.snappy.decompress_raw(write_request_v2(*series))),)
        case "otlp_protobuf":
            return (metrics_request(*_metrics(), resource=_RESOURCE).SerializeToString(),)
        case "otlp_json":
            return (_otlp_json(),)
        case "telegraf":
            one = {"name": "a", "tags": {"h": "b"}, "fields": {"x": 1, "s": "t"}, "timestamp": 5}
            return json.dumps(one).encode(), json.dumps({"metrics": [one, one]}).encode()
        case "prometheus_json":
            return (
                json.dumps(
                    {
                        "timestamp": "2026-11-22T20:00:00Z",
                        "value": "NaN",
                        "name": "up",
                        "labels": up,
                    }
                ).encode(),
            )
        case "cloudevents":
            attributes = {"specversion": "1.0", "id": "1", "source": "s", "type": "answer.served"}
            one = {**attributes, "data": native()}
            return json.dumps(one).encode(), json.dumps([one, one]).encode()
        case "alertmanager":
            return (json.dumps(notification()).encode(),)
    return json.dumps(native()).encode(), json.dumps(notification()).encode()


_RESOURCE: Final = {"service.name": "rag", "cloud.region": "eu"}


def _metrics() -> list[dict[str, Any]]:
    times = {"time_unix_nano": _NOW_NS, "start_time_unix_nano": _NOW_NS - 1_000_000}
    label = {"key": "code", "value": {"array_value": {"values": [{"int_value": 3}]}}}
    number = {**times, "as_double": 1.5, "attributes": [label]}
    buckets = {"count": 3, "sum": 2.0, "bucket_counts": [1, 2], "explicit_bounds": [0.5]}
    quantiles = [{"quantile": 0.5, "value": 1.0}]
    return [
        {"name": "g", "unit": "1", "gauge": {"data_points": [number]}},
        {
            "name": "c",
            "sum": {
                "aggregation_temporality": 1,
                "is_monotonic": True,
                "data_points": [number],
            },
        },
        {
            "name": "h",
            "unit": "s",
            "histogram": {
                "aggregation_temporality": 1,
                "data_points": [{**times, **buckets}],
            },
        },
        {"name": "s", "summary": {"data_points": [{**times, "quantile_values": quantiles}]}},
    ]


def _otlp_json() -> bytes:
    request = metrics_request(*_metrics(), resource=_RESOURCE)
    return json.dumps(MessageToDict(request, use_integers_for_enums=True)).encode()


def main() -> int:
    """Run the cases; the exit code is 1 when one raised what it should not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing.formats", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, help="where they begin (by default anywhere)")
    parser.add_argument("--only", type=int, metavar="CASE", help="this one alone")
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    numbers = range(options.cases) if options.only is None else (options.only,)
    warnings.simplefilter("error")
    formats, faults, began = Formats(), 0, time.monotonic()
    for number in numbers:
        case = body(seed, number)
        formats.given[case[0]] += len(case[2])
        try:
            formats.refused[formats.take(case)] += 1
        except Exception:  # noqa: BLE001 - that is what is looked for
            faults += 1
            _say(f"python -m tests.fuzzing.formats --seed {seed} --only {number}\n{case!r}")
            _say(traceback.format_exc())
    for name, size in sorted(formats.given.items()):
        _say(f"{name}: {size:,} bytes, {formats.refused[name]:,} refused")
    seconds = time.monotonic() - began
    _say(f"{len(numbers):,} cases of seed {seed}: {faults} faults, {seconds:.0f} s")
    return min(faults, 1)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
