"""Controls as OpenFeature flags: what an evaluation answers for a key and a user.

An answer has to be strict: a client turns anything that it does not understand into the default
that the caller wrote in its code, which for a kill switch mostly means "on". So every answer has
a value, a variant and a reason that all SDKs know, and a flag that is off says `false` instead of
calling itself disabled.

Formats: OpenFeature Remote Evaluation Protocol 0.3.0, `service/openapi.yaml` of
https://github.com/open-feature/protocol.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final, TypeGuard

import msgspec

from rollbackd.guard.bucketing import bucket, canary_share
from rollbackd.model.controls import DEFAULTS, Control, ControlValue, Kind, kind_of
from rollbackd.model.labels import Scope

#: The generation of `cache` alone, as a number.
CACHE_GENERATION: Final = "cache_generation"
#: Controls that have a meaning also where nothing was ever written.
ALWAYS: Final = (
    Kind.CACHE,
    Kind.CONSUMERS,
    Kind.DEGRADE,
    Kind.PINS,
    Kind.THROTTLE,
    Kind.WRITES,
)
#: Keys that are never the name of a `flag:<name>`.
RESERVED: Final = frozenset({*Kind, CACHE_GENERATION})

#: The first two are for all callers together, and always said.
_LIMITS: Final = ("requests_per_second", "burst", "tenant_requests_per_second", "tenant_burst")
_BREAKERS: Final = frozenset({"closed", "half_open", "open"})
_DEEPEST_DEGRADE: Final = 4
_RETRY_AFTER_SECONDS: Final = 30
#: What every client's integer type can hold (IEEE 754 doubles are exact up to here).
_MAX_COUNT: Final = 2**53

_ENCODER: Final = msgspec.json.Encoder()

FlagValue = bool | int | str | ControlValue


class EvaluationReason(StrEnum):
    """Why a flag has its value; all SDKs know these words."""

    #: The value is the same for everybody.
    STATIC = "STATIC"
    #: The value is this user's; the flag is split.
    SPLIT = "SPLIT"


class ErrorCode(StrEnum):
    """Why there is no value, in OpenFeature's words."""

    #: The request is not what the protocol says.
    PARSE_ERROR = "PARSE_ERROR"
    #: The flag is split, and the context does not say for whom it is evaluated.
    TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
    #: The context lacks something, or holds something of the wrong type.
    INVALID_CONTEXT = "INVALID_CONTEXT"
    #: Nothing was ever written under this key in the scope.
    FLAG_NOT_FOUND = "FLAG_NOT_FOUND"


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with a value."""

    key: str
    value: FlagValue
    reason: EvaluationReason
    variant: str
    metadata: dict[str, bool | int | str]


class EvaluationFailure(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An answer without one; the client takes the default of its code."""

    key: str
    error_code: ErrorCode
    error_details: str


class Answer(msgspec.Struct, frozen=True):
    """What a caller gets, and the JSON of it."""

    result: Evaluation | EvaluationFailure
    body: bytes

    @classmethod
    def of(cls, result: Evaluation | EvaluationFailure) -> "Answer":
        """The answer for a result."""
        return cls(result, _ENCODER.encode(result))

    @property
    def is_missing(self) -> bool:
        """Whether there is no such flag."""
        result = self.result
        return (
            isinstance(result, EvaluationFailure) and result.error_code is ErrorCode.FLAG_NOT_FOUND
        )


class Flag(msgspec.Struct, frozen=True):
    """Everything that one flag can answer as long as its control stands; asking it is cheap."""

    #: For everybody; of a split flag for those who are not on the canary.
    rest: Answer
    #: Of a split flag alone: its name, the canary's share of the users, the answer for these, and
    #: the one for a caller who does not say for whom.
    name: str = ""
    share: float = 0.0
    canary: Answer | None = None
    unnamed: Answer | None = None

    def for_user(self, targeting_key: str | None) -> Answer:
        """The answer for one user; None and the empty text name nobody."""
        if self.canary is None or self.unnamed is None:
            return self.rest
        if not targeting_key:
            return self.unnamed
        return self.canary if bucket(self.name, targeting_key) < self.share else self.rest


class _Reading(msgspec.Struct, frozen=True):
    """What a control says, and whether it was written as its kind has to be."""

    value: FlagValue
    variant: str
    sound: bool = True


def flag_of(controls: Mapping[str, Control], key: str, scope: Scope) -> Flag:
    """The flag of a key, out of the scope's controls by name."""
    name = control_name(key)
    control = controls.get(name)
    if control is None and name in ALWAYS:
        control = Control(name=name)
    if control is None:
        return _not_found(key, f"`{name[:160]}` was never written in scope `{scope}`")
    kind = kind_of(name)
    if kind is Kind.FLAG:
        return _arms(key, control, scope)
    if kind is Kind.CACHE and key == CACHE_GENERATION:
        return Flag(_evaluation(key, control, scope, _generation(control.effective)))
    reading = _READERS[kind](control.effective)
    if reading.value == "":
        return _not_found(key, f"`{name}` points at nothing in scope `{scope}`")
    return Flag(_evaluation(key, control, scope, reading))


def keys_of(names: Iterable[str]) -> list[str]:
    """The keys of all flags in a scope with controls of these names, sorted."""
    return sorted({_key(name) for name in names} | set(ALWAYS) | {CACHE_GENERATION})


def control_name(key: str) -> str:
    """The control that a flag's key stands for."""
    if key == CACHE_GENERATION:
        return Kind.CACHE
    return key if ":" in key or key in RESERVED else f"{Kind.FLAG}:{key}"


def _key(name: str) -> str:
    kind, _, own = name.partition(":")
    return own if kind == Kind.FLAG and own and own not in RESERVED else name


def _not_found(key: str, details: str) -> Flag:
    code = ErrorCode.FLAG_NOT_FOUND
    return Flag(Answer.of(EvaluationFailure(key=key, error_code=code, error_details=details)))


def _arms(key: str, control: Control, scope: Scope) -> Flag:
    share, sound = canary_share(control.effective), _is_sound_flag(control.effective)
    off, on = _Reading(False, "off", sound), _Reading(True, "on", sound)  # noqa: FBT003
    if share in {0.0, 1.0}:
        return Flag(_evaluation(key, control, scope, on if share else off))
    unnamed = EvaluationFailure(
        key=key,
        error_code=ErrorCode.TARGETING_KEY_MISSING,
        error_details=f"`{control.name}` is split; say in `targetingKey` for whom, as text",
    )
    return Flag(
        _evaluation(key, control, scope, off, EvaluationReason.SPLIT),
        control.name.partition(":")[2],
        share,
        _evaluation(key, control, scope, on, EvaluationReason.SPLIT),
        Answer.of(unnamed),
    )


def _evaluation(
    key: str,
    control: Control,
    scope: Scope,
    reading: _Reading,
    reason: EvaluationReason = EvaluationReason.STATIC,
) -> Answer:
    metadata: dict[str, bool | int | str] = {
        "scope": str(scope),
        "control": control.name,
        "version": control.version,
        "tripped": control.trip is not None,
    }
    if control.trip is not None:
        metadata["incident_id"] = control.incident_id
    if not reading.sound:
        metadata["malformed"] = True
    return Answer.of(
        Evaluation(
            key=key, value=reading.value, reason=reason, variant=reading.variant, metadata=metadata
        )
    )


def _is_sound_flag(value: ControlValue) -> bool:
    weights = value.get("baseline_weight"), value.get("canary_weight")
    killed = value.get("global_off", False)
    return isinstance(killed, bool) and (killed or all(_is_limit(weight) for weight in weights))


def _degrade(value: ControlValue) -> _Reading:
    level = value.get("level")
    if _is_count(level) and level <= _DEEPEST_DEGRADE:
        return _Reading(level, f"L{level}")
    return _Reading(0, "L0", sound=False)


def _writes(value: ControlValue) -> _Reading:
    blocked, width = value.get("blocked", False), value.get("scope")
    if blocked is False:
        return _Reading({**DEFAULTS[Kind.WRITES]}, "open")
    # a fence that is spelled wrong still is one, and of an unknown width it is the widest
    known = isinstance(width, str) and width in {"non_idempotent", "all"}
    wait = value.get("retry_after_seconds")
    fence: ControlValue = {
        "blocked": True,
        "scope": width if known else "all",
        "retry_after_seconds": wait if _is_count(wait) else _RETRY_AFTER_SECONDS,
    }
    return _Reading(fence, f"blocked_{fence['scope']}", blocked is True and known)


def _consumers(value: ControlValue) -> _Reading:
    paused, groups = value.get("paused", False), value.get("groups", [])
    if paused is False:
        return _Reading({**DEFAULTS[Kind.CONSUMERS]}, "running")
    # as with a fence: a pause that is spelled wrong still is one, and of all groups
    known = isinstance(groups, list) and all(isinstance(group, str) for group in groups)
    named = groups if known else []
    variant = "paused" if named else "paused_all"
    return _Reading({"paused": True, "groups": named}, variant, paused is True and known)


def _cache(value: ControlValue) -> _Reading:
    generation, namespace = _generation(value), value.get("namespace")
    named = isinstance(namespace, str)
    cache: ControlValue = {
        "generation": generation.value,
        "namespace": namespace if named else "",
    }
    return _Reading(cache, generation.variant, generation.sound and named)


def _generation(value: ControlValue) -> _Reading:
    generation = value.get("generation")
    if _is_count(generation):
        return _Reading(generation, f"g{generation}")
    return _Reading(0, "g0", sound=False)


def _throttle(value: ControlValue) -> _Reading:
    limits = {key: value.get(key) for key in _LIMITS if key in {*_LIMITS[:2], *value}}
    bounded: dict[str, object] = {
        key: limit if _is_limit(limit) else None for key, limit in limits.items()
    }
    breaker = value.get("breaker", "closed")
    known = isinstance(breaker, str) and breaker in _BREAKERS
    sound = known and bounded == limits
    standing = breaker if known else "closed"
    limited = "unlimited" if bounded["requests_per_second"] is None else "limited"
    variant = limited if standing == "closed" else f"breaker_{standing}"
    return _Reading({**bounded, "breaker": standing}, variant, sound)


def _text(field: str) -> Callable[[ControlValue], _Reading]:
    def read(value: ControlValue) -> _Reading:
        text = value.get(field)
        return _Reading(text, text) if isinstance(text, str) else _Reading("", "", sound=False)

    return read


def _pins(value: ControlValue) -> _Reading:
    pins: ControlValue = {
        pin: version for pin, version in value.items() if isinstance(version, str)
    }
    return _Reading(pins, "pinned" if pins else "own", pins == value)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT


def _is_limit(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


_READERS: Final[Mapping[Kind, Callable[[ControlValue], _Reading]]] = {
    Kind.ALIAS: _text("index"),
    Kind.CACHE: _cache,
    Kind.CONSUMERS: _consumers,
    Kind.DEGRADE: _degrade,
    Kind.PINS: _pins,
    Kind.POINTER: _text("target"),
    Kind.THROTTLE: _throttle,
    Kind.WRITES: _writes,
}
