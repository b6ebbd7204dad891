"""The shape of each kind of control: which fields it has, of which type and in which range.

A rollout's intent is held against it, so that a mistake is refused where it is made; applications
fall back to what is safe for a value that they cannot read.
"""

from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from rollbackd.model.controls import ControlValue, Kind, kind_of

#: A bound that only keeps numbers apart from infinity.
_HUGE: Final = 10**12

Weight = Annotated[float, Meta(ge=0, le=_HUGE)]
Rate = Annotated[float, Meta(ge=0, le=_HUGE)]
Name = Annotated[str, Meta(max_length=256)]


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all shapes have: no other field than they say."""


class FlagShape(Shape, frozen=True, kw_only=True):
    """Shares of two arms, relative to each other."""

    baseline_weight: Weight
    canary_weight: Weight
    global_off: bool = False


class AliasShape(Shape, frozen=True, kw_only=True):
    """The index that an alias points at; empty for the application's own."""

    index: Name


class PointerShape(Shape, frozen=True, kw_only=True):
    """The target of a pointer, such as `blue`; empty for the application's own."""

    target: Name


class DegradeShape(Shape, frozen=True, kw_only=True):
    """How much less is done."""

    level: Annotated[int, Meta(ge=0, le=4)]


class WritesShape(Shape, frozen=True, kw_only=True):
    """Whether writers stand still, and which."""

    blocked: bool
    scope: Literal["none", "non_idempotent", "all"] = "none"
    retry_after_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0


class CacheShape(Shape, frozen=True, kw_only=True):
    """What every cache key carries."""

    generation: Annotated[int, Meta(ge=0, le=_HUGE)]
    namespace: Name = ""


class ThrottleShape(Shape, frozen=True, kw_only=True):
    """Budgets of the scope and of each tenant, null for none, and the breaker."""

    requests_per_second: Rate | None = None
    burst: Rate | None = None
    tenant_requests_per_second: Rate | None = None
    tenant_burst: Rate | None = None
    breaker: Literal["closed", "half_open", "open"] = "closed"


class ConsumersShape(Shape, frozen=True, kw_only=True):
    """Whether consumers stand still, and of which groups; none named are all."""

    paused: bool
    groups: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=256)]], Meta(max_length=100)
    ] = []


SHAPES: Final[dict[Kind, type[Shape]]] = {
    Kind.FLAG: FlagShape,
    Kind.ALIAS: AliasShape,
    Kind.POINTER: PointerShape,
    Kind.DEGRADE: DegradeShape,
    Kind.WRITES: WritesShape,
    Kind.CACHE: CacheShape,
    Kind.THROTTLE: ThrottleShape,
    Kind.CONSUMERS: ConsumersShape,
}

_Pins = dict[
    Annotated[str, Meta(min_length=1, max_length=128)],
    Annotated[str, Meta(min_length=1, max_length=256)],
]


def kind_named(name: str) -> Kind:
    """As `kind_of`, for a name that a person wrote. Raises ValueError with what is allowed."""
    try:
        return kind_of(name)
    except ValueError:
        kinds = ", ".join(f"`{each}`" for each in Kind)
        raise ValueError(f"`{name[:160]}` is not a control; its kind is one of {kinds}") from None


def check_shape(name: str, value: ControlValue) -> None:
    """Raise ValueError with what is wrong and what is allowed, if an application cannot use it."""
    shape = SHAPES.get(kind_named(name))
    if shape is None:
        _convert(name, value, _Pins, "version pins by name, as texts that are not empty")
        return
    known, allowed = shape.__struct_fields__, _described(shape)
    for field in value:
        if field not in known:
            near = get_close_matches(field, known, n=1)
            meant = f"; did you mean `{near[0]}`?" if near else "."
            raise ValueError(
                f"control `{name}` has no field `{field[:80]}`{meant} It has {allowed}"
            )
    _check_sense(name, _convert(name, value, shape, allowed))


def check_growth(stands: ControlValue, wanted: ControlValue) -> None:
    """Raise ValueError for a cache generation below the one in force.

    Entries that were left behind on purpose would be served again.
    """
    generation = stands.get("generation")
    lowest = generation if isinstance(generation, int) else 0
    if isinstance(now := wanted.get("generation"), int) and now < lowest:
        raise ValueError(
            f"control `cache`: generation {now} is below {lowest}, which is in force; it only grows"
        )


def _check_sense(name: str, made: Any) -> None:
    if isinstance(made, FlagShape) and not (made.baseline_weight or made.canary_weight):
        raise ValueError(f"control `{name}` gives no arm a weight over 0")
    if isinstance(made, WritesShape) and made.blocked and made.scope == "none":
        raise ValueError(
            f"control `{name}` blocks nobody: `scope` is to be `non_idempotent` or `all`"
        )


def _convert(name: str, value: ControlValue, shape: Any, allowed: str) -> Any:
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        expected, _, path = str(error).partition(" - at `$")
        field = path.strip("`.")
        given = f" at `{field}: {value[field]!r:.80}`" if field in value else ""
        raise ValueError(f"control `{name}`: {expected}{given}. It has {allowed}") from None


def _described(shape: type[Shape]) -> str:
    """`level` (integer, 0 to 4), ...: every field with what may stand there."""
    hints = get_type_hints(shape, include_extras=True)
    return ", ".join(f"`{name}` ({_allowed(hints[name])})" for name in shape.__struct_fields__)


def _allowed(hint: Any) -> str:
    if get_origin(hint) in {Union, UnionType}:
        return " or ".join(_allowed(each) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(f"`{each}`" for each in get_args(hint))
    if get_origin(hint) is Annotated and get_origin(get_args(hint)[0]) is list:
        return f"list of texts, at most {get_args(hint)[1].max_length}"
    plain, *metas = get_args(hint) or (hint,)
    words = {int: "integer", float: "number", str: "text", bool: "true or false"}
    text = words.get(plain, "null")
    for meta in metas:
        if meta.ge is not None:
            text += f", {meta.ge} to {meta.le}" if meta.le < _HUGE else f" of at least {meta.ge}"
        if meta.max_length is not None:
            text += f" of at most {meta.max_length} characters"
    return text
