"""The keys of native events that become single facts, and changes: by the name of the event.

An event that has none of its keys is read for its samples and pins alone. One that has some of
them is a fact, whole or not at all.
"""

from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from rollbackd.events.json import decode_json
from rollbackd.events.pins import canonical_pins
from rollbackd.events.series import bounded, shown
from rollbackd.model import facts as f
from rollbackd.model.events import Rejected
from rollbackd.model.labels import Scope
from rollbackd.model.pins import Pins

#: The event of one answer to one user.
ANSWERED: Final = "answer.served"
HEARTBEAT: Final = "retriever.heartbeat"

_Id = str | int
_Word = TypeVar("_Word", bound=StrEnum)

#: States of a probe as symbols (requirements K4).
_SYMBOLS: Final = {"→": "convergent", "←": "divergent", "<>": "recursive", "\u00d7": "chaotic"}
_STATES: Final = ("convergent", "divergent", "recursive", "chaotic")


class About(NamedTuple):
    """What the envelope says of a fact; `pins` is None where it has none."""

    scope: Scope
    time_ms: int
    arm: str
    pins: Pins | None


class Said(Protocol):
    """The keys of one event, decoded."""

    def fact(self, about: About) -> f.AnyFact | f.ChangeEvent:
        """What they mean. Raises Rejected for what is missing or not allowed."""
        ...


class _Answer(msgspec.Struct, gc=False):
    user: _Id | None = None
    claimed_arm: str | None = None

    def fact(self, about: About) -> f.AnswerServed:
        return f.AnswerServed(
            scope=about.scope,
            time_ms=about.time_ms,
            arm=about.arm,
            pins=about.pins or {},
            user=_text("user", self.user),
            claimed_arm=_text("claimed_arm", self.claimed_arm),
        )


class _Cache(msgspec.Struct):
    hit: bool | None = None
    entry_pins: dict[str, str | int | float | bool] | None = None
    namespace: _Id | None = None
    shadow: bool | None = None

    def fact(self, about: About) -> f.CacheRead:
        hit = _given("hit", self.hit)
        if hit and self.entry_pins is None:
            raise Rejected(
                "`entry_pins` is missing; say which pins the entry was made with, {} if its key"
                " holds none"
            )
        return f.CacheRead(
            scope=about.scope,
            time_ms=about.time_ms,
            arm=about.arm,
            hit=hit,
            pins=about.pins or {},
            entry_pins=_pins("entry_pins", self.entry_pins or {}),
            namespace=_text("namespace", self.namespace),
            shadow=bool(self.shadow),
        )


class _Receipt(msgspec.Struct, gc=False):
    key: _Id | None = None
    effect_id: _Id | None = None
    status: str | None = None
    action: str | None = None
    incident_id: str | None = None

    def fact(self, about: About) -> f.EffectReceipt:
        sealed = f.EffectStatus.SEALED
        return f.EffectReceipt(
            scope=about.scope,
            time_ms=about.time_ms,
            arm=about.arm,
            key=_needed("key", self.key),
            effect_id=_text("effect_id", self.effect_id),
            status=sealed if self.status is None else _word("status", self.status, f.EffectStatus),
            action=_text("action", self.action),
            incident_id=_text("incident_id", self.incident_id),
        )


class _Decision(msgspec.Struct, gc=False):
    key: _Id | None = None
    decision: str | None = None
    effect_id: _Id | None = None

    def fact(self, about: About) -> f.DedupeDecided:
        return f.DedupeDecided(
            scope=about.scope,
            time_ms=about.time_ms,
            arm=about.arm,
            key=_needed("key", self.key),
            decision=_word("decision", _given("decision", self.decision), f.DedupeDecision),
            effect_id=_text("effect_id", self.effect_id),
        )


class _ToolCall(msgspec.Struct, gc=False):
    trace_id: _Id | None = None
    tool: str | None = None
    args_hash: _Id | None = None
    output_hash: _Id | None = None

    def fact(self, about: About) -> f.ToolCalled:
        return f.ToolCalled(
            scope=about.scope,
            time_ms=about.time_ms,
            arm=about.arm,
            trace_id=_needed("trace_id", self.trace_id),
            tool=_needed("tool", self.tool),
            args_hash=_needed("args_hash", self.args_hash),
            output_hash=_text("output_hash", self.output_hash),
        )


class _Heartbeat(msgspec.Struct, gc=False):
    reader: _Id | None = None
    documents: int | None = None

    def fact(self, about: About) -> f.RetrieverSeen:
        if about.pins is None:
            raise Rejected("`pins` is missing; a heartbeat says which index its reader has")
        return f.RetrieverSeen(
            scope=about.scope,
            time_ms=about.time_ms,
            arm=about.arm,
            reader=_needed("reader", self.reader),
            pins=about.pins,
            documents=None if self.documents is None else _count("documents", self.documents),
        )


class _Probe(msgspec.Struct, gc=False):
    question: _Id | None = None
    seed: _Id | None = None
    paraphrase: _Id | None = None
    state: str | None = None

    def fact(self, about: About) -> f.LambdaProbed:
        state = _needed("state", self.state)
        state = _SYMBOLS.get(state, state)
        if state not in _STATES:
            raise Rejected(
                f"`state`: `{shown(state)}` is not allowed; use {', '.join(_STATES)},"
                f" or {' '.join(_SYMBOLS)}"
            )
        return f.LambdaProbed(
            scope=about.scope,
            time_ms=about.time_ms,
            arm=about.arm,
            question=_needed("question", self.question),
            seed=_needed("seed", self.seed),
            paraphrase=_needed("paraphrase", self.paraphrase),
            state=state,
        )


class _Retries(msgspec.Struct, gc=False):
    requests: int | None = None
    throttled: int | None = None
    retries: int | None = None
    adhered: int | None = None

    def fact(self, about: About) -> f.Retried:
        requests = _count("requests", _given("requests", self.requests))
        retries = _count("retries", self.retries or 0)
        return f.Retried(
            scope=about.scope,
            time_ms=about.time_ms,
            arm=about.arm,
            requests=requests,
            throttled=_part_of("throttled", _given("throttled", self.throttled), requests),
            retries=retries,
            adhered=_part_of("adhered", self.adhered or 0, retries),
        )


class _Change(msgspec.Struct, gc=False):
    kind: str | None = None
    subject: str | None = None
    before: _Id | None = None
    after: _Id | None = None
    by: str | None = None
    link: str | None = None

    def fact(self, about: About) -> f.ChangeEvent:
        return f.ChangeEvent(
            scope=about.scope,
            kind=_word("kind", _given("kind", self.kind), f.ChangeKind),
            subject=_needed("subject", self.subject),
            time_ms=about.time_ms,
            before=_text("before", self.before),
            after=_text("after", self.after),
            by=_text("by", self.by),
            link=_text("link", self.link),
        )


def _keys_of(cls: type[Any]) -> Callable[[bytes], Said | None]:
    decoder = msgspec.json.Decoder(cls)
    none: Final = cls()

    def read(body: bytes) -> Said | None:
        said: Said = decode_json(decoder, body)
        return None if said == none else said

    return read


#: Event -> the keys that make it a fact or a change, typed.
SAID: Final[dict[str, type[Any]]] = {
    ANSWERED: _Answer,
    "cache.event": _Cache,
    "effect.receipt": _Receipt,
    "dedupe.decision": _Decision,
    "tool.call": _ToolCall,
    HEARTBEAT: _Heartbeat,
    "probe.lambda": _Probe,
    "retry.window": _Retries,
    "change": _Change,
}

#: Event -> its keys from the body: None when the event has none of them. Raises Rejected.
KEYS_OF: Final[dict[str, Callable[[bytes], Said | None]]] = {
    event: _keys_of(said) for event, said in SAID.items()
}


_T = TypeVar("_T")


def _given(field: str, value: _T | None) -> _T:
    if value is None:
        raise Rejected(f"`{field}` is missing")
    return value


def _needed(field: str, value: _Id | None) -> str:
    text = _text(field, value)
    if not text:
        raise Rejected(f"`{field}` is {'missing' if value is None else 'empty'}")
    return text


def _text(field: str, value: _Id | None) -> str:
    if value is None:
        return ""
    return bounded(field, value if isinstance(value, str) else str(value))


def _word(field: str, value: str, words: type[_Word]) -> _Word:
    try:
        return words(value)
    except ValueError:
        raise Rejected(
            f"`{field}`: `{shown(value)}` is not allowed; use one of {', '.join(words)}"
        ) from None


def _count(field: str, value: int) -> int:
    if not 0 <= value < 1 << 53:
        raise Rejected(f"`{field}`: `{value}` is not a count; use a whole number from 0")
    return value


def _part_of(field: str, value: int, whole: int) -> int:
    if _count(field, value) > whole:
        raise Rejected(f"`{field}`: `{value}` is more than the {whole} that it is a part of")
    return value


def _pins(field: str, written: dict[str, str | int | float | bool]) -> Pins:
    items = tuple((k, v if isinstance(v, str) else _number(v)) for k, v in written.items())
    try:
        return _canonical(items)
    except Rejected as rejected:
        raise Rejected(str(rejected).replace("`pins", f"`{field}", 1)) from None


def _number(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(10_000)
def _canonical(items: tuple[tuple[str, str], ...]) -> Pins:
    return canonical_pins(items)
