"""Functions of vectors and of windows, as operators."""

import re
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import cast

from rollbackd.model.labels import Labels
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.number_functions import clamp
from rollbackd.promql.operators import Context, Scalar, Vector, Windows, columns_of, never_fails
from rollbackd.promql.unnamed import SAME_LABELS, Unnamed
from rollbackd.promql.values import (
    EMPTY,
    Columns,
    Element,
    drop_name,
    have_duplicates,
    label_value,
    with_label,
)


class EachElement:
    """A function of each element's value; the metric name goes."""

    def __init__(
        self,
        function: Callable[..., float],
        operand: Vector,
        parameters: Sequence[Scalar] = (),
    ) -> None:
        self.function = function
        self.operand = operand
        self.parameters = parameters
        self.one_name = operand.one_name
        self.never_fails = (
            self.one_name and never_fails(operand) and all(never_fails(p) for p in parameters)
        )
        self._columns = columns_of(operand)
        self._unnamed = Unnamed(one_name=self.one_name)

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each of the operand's."""
        return self.columns(ctx).elements()

    def columns(self, ctx: Context) -> Columns:
        """The same as columns."""
        parameters = [repeat(p.scalar(ctx)) for p in self.parameters]
        labels, values = self._columns(ctx)
        return Columns(self._unnamed.of(labels), list(map(self.function, values, *parameters)))


class Clamped(EachElement):
    """`clamp(v, min, max)`: nothing when the bounds are crossed."""

    def __init__(self, operand: Vector, parameters: Sequence[Scalar]) -> None:
        super().__init__(clamp, operand, parameters)

    def columns(self, ctx: Context) -> Columns:
        """One element for each of the operand's, or none."""
        low, high = (p.scalar(ctx) for p in self.parameters)
        # before the crossed bounds are answered: an error of the operand is one all the same
        clamped = super().columns(ctx)
        return EMPTY if high < low else clamped


class Sorted:
    """`sort` and `sort_desc`; NaN comes last."""

    def __init__(self, operand: Vector, *, descending: bool) -> None:
        self.operand = operand
        self.descending = descending
        self.one_name = operand.one_name

    def vector(self, ctx: Context) -> list[Element]:
        """The same elements in order of value."""
        sign = -1.0 if self.descending else 1.0

        def key(element: Element) -> tuple[bool, float]:
            value = element[1]
            is_nan = value != value  # noqa: PLR0124  # NaN
            return is_nan, 0.0 if is_nan else sign * value

        return sorted(self.operand.vector(ctx), key=key)


class Absent:
    """`absent(v)`: one element when there is none, with the labels that the selector fixes."""

    one_name = True

    def __init__(self, operand: Vector | Windows, labels: Labels) -> None:
        self.operand = operand
        self.labels = labels
        self._is_range = isinstance(operand, Windows)

    def vector(self, ctx: Context) -> list[Element]:
        """1, or nothing."""
        if self._is_range:
            present = next(cast("Windows", self.operand).windows(ctx), None) is not None
        else:
            present = bool(cast("Vector", self.operand).vector(ctx))
        return [] if present else [(self.labels, 1.0)]


class LabelReplace:
    """`label_replace(v, dst, replacement, src, regex)`; Go's template syntax in the replacement."""

    one_name = False

    def __init__(
        self, operand: Vector, target: str, template: str, source: str, pattern: re.Pattern[str]
    ) -> None:
        self.operand = operand
        self.target = target
        self.template = template
        self.source = source
        self.pattern = pattern

    def vector(self, ctx: Context) -> list[Element]:
        """The same elements, with the label where the pattern matches."""
        result = [(self._replaced(labels), value) for labels, value in self.operand.vector(ctx)]
        if have_duplicates(result):
            raise EvaluationError(SAME_LABELS)
        return result

    def _replaced(self, labels: Labels) -> Labels:
        match = self.pattern.fullmatch(label_value(labels, self.source))
        if match is None:
            return labels
        return with_label(labels, self.target, expand(self.template, match))


class LabelJoin:
    """`label_join(v, dst, separator, src...)`."""

    one_name = False

    def __init__(
        self, operand: Vector, target: str, separator: str, sources: Sequence[str]
    ) -> None:
        self.operand = operand
        self.target = target
        self.separator = separator
        self.sources = sources

    def vector(self, ctx: Context) -> list[Element]:
        """The same elements with the label set."""
        result = [(self._joined(labels), value) for labels, value in self.operand.vector(ctx)]
        if have_duplicates(result):
            raise EvaluationError(SAME_LABELS)
        return result

    def _joined(self, labels: Labels) -> Labels:
        parts = (label_value(labels, source) for source in self.sources)
        return with_label(labels, self.target, self.separator.join(parts))


_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))", re.ASCII)


def expand(template: str, match: re.Match[str]) -> str:
    """Go's Regexp.Expand: `$1`, `$name`, `${1}x`, `$$`; an unknown group is empty."""

    def value(reference: re.Match[str]) -> str:
        if reference.group() == "$$":
            return "$"
        name = reference.group(1) or reference.group(2)
        try:
            return match.group(int(name) if name.isdigit() else name) or ""
        except IndexError:
            return ""

    return _REFERENCE.sub(value, template)


class EvaluationTimes:
    """`timestamp(v)` of anything but a selector: the evaluation time, in seconds."""

    def __init__(self, operand: Vector) -> None:
        self.operand = operand
        self.one_name = operand.one_name

    def vector(self, ctx: Context) -> list[Element]:
        """The time for each of the operand's elements."""
        seconds = ctx.now_ms / 1_000
        return [(drop_name(labels), seconds) for labels, _ in self.operand.vector(ctx)]
