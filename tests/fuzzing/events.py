"""Random native events: those that become single facts and changes, damaged."""

import json
import random
from typing import Any, Final

from rollbackd.events import native
from rollbackd.events.collecting import Collector
from rollbackd.events.record import decode_records
from rollbackd.model.events import Rejected
from rollbackd.triggers.detectors import DetectorBank
from tests.fuzzing.mutation import mutated

_NOW_MS: Final = 1_795_377_600_000
_PINS: Final = {"INDEX_HASH": "a1", "PROMPT_VER": "p-1", "MODEL_VER": 7}
_KEYS: Final[dict[str, dict[str, Any]]] = {
    "answer.served": {"user": "u-1", "claimed_arm": "baseline"},
    "cache.event": {"hit": True, "entry_pins": _PINS, "namespace": "n", "shadow": False},
    "effect.receipt": {"key": "k", "effect_id": "e", "status": "sealed", "action": "charge"},
    "dedupe.decision": {"key": "k", "decision": "conflict", "effect_id": "e"},
    "tool.call": {"trace_id": "t", "tool": "search", "args_hash": "a", "output_hash": "o"},
    "retriever.heartbeat": {"reader": "r-1", "documents": 12},
    "probe.lambda": {"question": "q", "seed": 1, "paraphrase": "p", "state": "→"},
    "retry.window": {"requests": 1000, "throttled": 30, "retries": 9, "adhered": 8},
    "change": {"kind": "flag", "subject": "s", "before": "1", "after": 2, "by": "e", "link": "l"},
    "quality.sample": {"user": {"key": 1}},
}
_ODD: Final = (
    None, True, -1, 0, 1.5, 1 << 64, "", "é", "\ud800", "x" * 2_100, "→", [], {}, {"a": [1]},
    "sealed",
)  # fmt: skip
_WORDS: Final = (
    "null", "true", "{", "}", "[", "]", ",", ":", '"', "\\", '"user":', '"user":"u",', '"ts":',
    '"values":{', '"event":"tool.call",', "1e999", "-", "\\u0000", "\\ud800", "é", "\x00", "\n",
)  # fmt: skip


def event(rng: random.Random) -> str:
    """One or a few lines: good, with odd values, or with damaged text."""
    lines = [_line(rng) for _ in range(rng.choice((1, 1, 1, 2, 4)))]
    text = "\n".join(lines)
    return mutated(rng, text, _WORDS, [_line(rng)], most=rng.choice((0, 0, 1, 2, 6)))


def _line(rng: random.Random) -> str:
    name = rng.choice(list(_KEYS))
    keys = dict(_KEYS[name])
    for key in rng.sample(list(keys), rng.randrange(len(keys) + 1) // 2):
        keys[key] = rng.choice((*_ODD, *keys.values()))
        if rng.random() < 0.3:
            del keys[key]
    whole = {"event": name, "ts": _NOW_MS / 1_000 - rng.randrange(400), "service": "rag", **keys}
    whole |= {"arm": rng.choice(("canary", "baseline", "")), "pins": _PINS}
    if rng.random() < 0.5:
        whole["values"] = {"delta_s": rng.random()}
    separators = rng.choice(((",", ":"), (", ", ": ")))
    return json.dumps(whole, separators=separators, ensure_ascii=rng.random() < 0.5)


class Events:
    """Decodes as Kafka's records and as one body; what both take goes through the detectors."""

    def __init__(self) -> None:
        self._bank = DetectorBank()

    def take(self, text: str) -> str:
        """Why it was refused, or an empty text. Raises what should not be raised."""
        body = text.encode("utf-8", "surrogatepass")
        into = Collector()
        rejected = decode_records([body], into, headers={}, now_ms=_NOW_MS)
        batch = into.batch()
        try:
            assert native.decode(body, now_ms=_NOW_MS) == batch
        except Rejected:
            assert [str(error) != "" for _, error in rejected] == [True]
            assert (batch.facts, batch.changes, list(batch.samples)) == ([], [], [])
            return "rejected"
        assert not rejected
        samples = self._bank.take(batch.facts, now_ms=_NOW_MS, origin="p")
        assert all(list(sample.labels) == sorted(sample.labels) for sample in samples)
        return ""
