"""Function calls: name and compiled arguments -> an operator."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rollbackd.model.labels import METRIC_NAME, Labels
from rollbackd.promql.functions import (
    Absent,
    Clamped,
    EachElement,
    EvaluationTimes,
    LabelJoin,
    LabelReplace,
    Sorted,
)
from rollbackd.promql.histograms import HistogramQuantile
from rollbackd.promql.matchers import MatchOp, compile_pattern
from rollbackd.promql.number_functions import (
    DATE_FUNCTIONS,
    NUMBER_FUNCTIONS,
    at_least,
    at_most,
    round_to,
)
from rollbackd.promql.operators import (
    Literal,
    Operator,
    Scalar,
    Text,
    Time,
    ToScalar,
    ToVector,
    Vector,
    Windows,
)
from rollbackd.promql.over_range import OverRange
from rollbackd.promql.range_functions import KEEPS_NAME, PARAMETER_FIRST, RANGE_FUNCTIONS
from rollbackd.promql.selection import InstantSelector, RangeSelector, Timestamps

_LABEL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class ArgumentError(ValueError):
    """An argument that has the right type and cannot be used."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The compiled arguments of one call; the parser has checked number and types."""

    values: Sequence[Operator]

    def __len__(self) -> int:
        return len(self.values)

    def vector(self, index: int) -> Vector:
        """An instant vector. Raises ArgumentError."""
        value = self.values[index]
        # the parser takes a negative number in `ln`, `log2` and `log10`
        if not isinstance(value, Vector):
            raise ArgumentError(f"argument {index + 1} has to be an instant vector")
        return value

    def scalar(self, index: int) -> Scalar:
        """A number."""
        value = self.values[index]
        assert isinstance(value, Scalar)
        return value

    def windows(self, index: int) -> Windows:
        """A range."""
        value = self.values[index]
        assert isinstance(value, Windows)
        return value

    def text(self, index: int) -> str:
        """A quoted text."""
        value = self.values[index]
        assert isinstance(value, Text)
        return value.value

    def scalars(self, start: int) -> list[Scalar]:
        """The numbers from `start` on."""
        return [self.scalar(index) for index in range(start, len(self.values))]


def build_call(name: str, args: Arguments) -> Operator | None:
    """The operator of a call, or None when the function is not supported. Raises ArgumentError."""
    if name in RANGE_FUNCTIONS:
        return _over_range(name, args)
    if name in NUMBER_FUNCTIONS:
        return EachElement(NUMBER_FUNCTIONS[name], args.vector(0))
    if name in DATE_FUNCTIONS:
        operand = args.vector(0) if len(args) else ToVector(Time())
        return EachElement(DATE_FUNCTIONS[name], operand)
    builder = _BUILDERS.get(name)
    return builder(args) if builder is not None else None


def _over_range(name: str, args: Arguments) -> OverRange:
    function = RANGE_FUNCTIONS[name]
    keeps_name = name in KEEPS_NAME
    if name in PARAMETER_FIRST:
        return OverRange(function, args.windows(1), [args.scalar(0)], keeps_name=keeps_name)
    return OverRange(function, args.windows(0), args.scalars(1), keeps_name=keeps_name)


def _timestamp(args: Arguments) -> Operator:
    operand = args.vector(0)
    if isinstance(operand, InstantSelector):
        return Timestamps(operand)
    return EvaluationTimes(operand)


def _absent(args: Arguments) -> Operator:
    operand = args.values[0]
    assert isinstance(operand, Vector | Windows)
    return Absent(operand, _fixed_labels(operand))


def _fixed_labels(operand: Vector | Windows) -> Labels:
    """The labels that a selector fixes by `=`, each named once; none for other expressions."""
    if not isinstance(operand, InstantSelector | RangeSelector):
        return ()
    found: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in operand.selector.matchers:
        if matcher.name == METRIC_NAME:
            continue
        if matcher.op is MatchOp.EQ and matcher.name not in seen:
            found[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            found.pop(matcher.name, None)
    return tuple(sorted((k, v) for k, v in found.items() if v))


def _label_replace(args: Arguments) -> Operator:
    target, template, source, pattern = (args.text(i) for i in range(1, 5))
    _check_label(target)
    try:
        compiled = compile_pattern(pattern)
    except ValueError as error:
        raise ArgumentError(str(error)) from None
    return LabelReplace(args.vector(0), target, template, source, compiled)


def _label_join(args: Arguments) -> Operator:
    target, separator = args.text(1), args.text(2)
    sources = [args.text(i) for i in range(3, len(args))]
    for name in (target, *sources):
        _check_label(name)
    return LabelJoin(args.vector(0), target, separator, sources)


def _check_label(name: str) -> None:
    if not _LABEL_NAME.fullmatch(name):
        raise ArgumentError(f"`{name}` is not a label name")


def _round(args: Arguments) -> Operator:
    nearest = args.scalar(1) if len(args) > 1 else Literal(1.0)
    return EachElement(round_to, args.vector(0), [nearest])


_BUILDERS: Final[dict[str, Callable[[Arguments], Operator]]] = {
    "absent": _absent,
    "absent_over_time": _absent,
    "clamp": lambda args: Clamped(args.vector(0), args.scalars(1)),
    "clamp_max": lambda args: EachElement(at_most, args.vector(0), args.scalars(1)),
    "clamp_min": lambda args: EachElement(at_least, args.vector(0), args.scalars(1)),
    "histogram_quantile": lambda args: HistogramQuantile(args.scalar(0), args.vector(1)),
    "label_join": _label_join,
    "label_replace": _label_replace,
    "pi": lambda _args: Literal(math.pi),
    "round": _round,
    "scalar": lambda args: ToScalar(args.vector(0)),
    "sort": lambda args: Sorted(args.vector(0), descending=False),
    "sort_desc": lambda args: Sorted(args.vector(0), descending=True),
    "time": lambda _args: Time(),
    "timestamp": _timestamp,
    "vector": lambda args: ToVector(args.scalar(0)),
}

#: Every function that can be called.
FUNCTIONS: Final = frozenset({*RANGE_FUNCTIONS, *NUMBER_FUNCTIONS, *DATE_FUNCTIONS, *_BUILDERS})
