"""`rollbackd check --sample`: what events become, native ones or others by a mapping."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
from rich.console import Console

from rollbackd.cli.phrases import counted
from rollbackd.cli.rule_tests import read_text
from rollbackd.events import native
from rollbackd.events.collecting import Collector
from rollbackd.events.mapping.field_mapping import FieldMapping, split
from rollbackd.events.mapping.inspecting import missed, unread
from rollbackd.model.events import Batch, Rejected
from rollbackd.model.labels import format_labels

#: Events that are shown one by one; the rest are counted.
SHOWN: Final = 5

#: 2000-01-01: what is said to be older has its time in another unit.
_TOO_OLD_MS: Final = 946_684_800_000


class Sampled:
    """What the events of a file become."""

    def __init__(self, path: Path, mapping: FieldMapping | None, *, now_ms: int) -> None:
        """Raises DocumentError when the file cannot be read."""
        self._path, self._mapping, self._now_ms = path, mapping, now_ms
        self.shown: list[dict[str, Any]] = []
        self.events = self.refused = self.ignored = 0
        body = read_text(path).encode()
        try:
            items = split(body)
        except Rejected as rejected:
            self._note({"refused": str(rejected)})
            return
        for item in items:
            self._note(self._become(item))

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "file": str(self._path),
            "events": self.events,
            "refused": self.refused,
            "ignored": self.ignored,
            "shown": self.shown,
        }

    def print(self, console: Console) -> None:
        """As a person reads it."""
        for number, found in enumerate(self.shown, 1):
            console.print(f"event {number} of {self._path}")
            for line in _lines(found):
                console.print(f"  {line}", markup=False)
        left = self.events - len(self.shown)
        console.print(
            f"{counted(self.events, 'event')}, {self.refused} refused, {self.ignored} ignored"
            + (f"; {left} more are not shown" if left else "")
        )

    def _note(self, found: dict[str, Any]) -> None:
        self.events += 1
        self.refused += "refused" in found
        self.ignored += not any(found.values())
        if len(self.shown) < SHOWN:
            self.shown.append(found)

    def _become(self, item: bytes) -> dict[str, Any]:
        into = Collector()
        try:
            if self._mapping is None:
                native.decode_into(item, into, now_ms=self._now_ms)
                return _described(into.batch())
            for _, rejected in self._mapping.take_records([item], into, now_ms=self._now_ms):
                raise rejected
        except Rejected as rejected:
            return {"refused": str(rejected)}
        found = _described(into.batch())
        if not any(found.values()):
            return found
        event, file = orjson.loads(item), self._mapping.file
        entries = self._mapping.entries_of(event, now_ms=self._now_ms)
        return {
            "becomes": [entry.event for entry in entries],
            **found,
            "missing": {
                f"{entry.event} {place}": paths
                for entry in entries
                for place, paths in missed(entry, event, file.absent).items()
            },
            "unread": unread(file, event),
        }


def _described(batch: Batch) -> dict[str, Any]:
    return {
        "series": [
            {
                "series": format_labels(sample.labels),
                "value": sample.value,
                "time": _time(sample.time_ms),
            }
            for sample in batch.samples
        ],
        "pins": [
            {"scope": str(seen.scope), "arm": seen.arm, "pins": dict(seen.pins)}
            for seen in batch.pins
        ],
        "facts": [
            {"fact": type(fact).__name__, "scope": str(fact.scope), **_keys(fact)}
            for fact in (*batch.facts, *batch.changes)
        ],
        "known_good": [{"scope": str(s.scope), "pins": dict(s.pins)} for s in batch.known_good],
        "warnings": list(_warnings(batch)),
    }


def _warnings(batch: Batch) -> Iterator[str]:
    timed = (*batch.samples, *batch.pins, *batch.facts, *batch.changes)
    for time_ms in sorted({each.time_ms for each in timed if each.time_ms < _TOO_OLD_MS}):
        yield (
            f"its time is {_time(time_ms)}: is it in another unit?"
            " The daemon refuses such samples as `too_late`"
        )


def _keys(fact: msgspec.Struct) -> dict[str, Any]:
    """What a fact says beyond its scope, time and pins."""
    said = {name: getattr(fact, name) for name in fact.__struct_fields__}
    kept = said.keys() - {"scope", "time_ms", "pins"}
    return {name: said[name] for name in said if name in kept and said[name] not in ("", None)}


def _lines(found: dict[str, Any]) -> list[str]:
    if "refused" in found:
        return [f"refused  {found['refused']}"]
    if not any(found.values()):
        return ["ignored  no entry takes it, or what they look for is not there"]
    width = max((len(s["series"]) for s in found["series"]), default=0)
    lines = [f"becomes  {', '.join(found['becomes'])}"] if "becomes" in found else []
    lines += [f"series   {s['series']:<{width}}  {s['value']:.12g}" for s in found["series"]]
    lines += [f"at       {time}" for time in sorted({s["time"] for s in found["series"]})]
    for seen in found["pins"]:
        arm = f" {seen['arm']}" if seen["arm"] else ""
        said = ", ".join(f"{name}={value}" for name, value in seen["pins"].items())
        lines.append(f"pins     {seen['scope']}{arm}: {said}")
    for fact in found["facts"]:
        said = ", ".join(f"{k}={v}" for k, v in fact.items() if k not in {"fact", "scope"})
        lines.append(f"fact     {fact['fact']} {fact['scope']}: {said}")
    lines += [f"good     {good['scope']}: a known good set" for good in found["known_good"]]
    lines += [f"warning  {warning}" for warning in found["warnings"]]
    lines += [f"missing  {place}: {paths}" for place, paths in found.get("missing", {}).items()]
    if found.get("unread"):
        lines.append(f"unread   {', '.join(found['unread'])}")
    return lines


def _time(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
