"""Why a part of an expression gave nothing, in words."""

from collections.abc import Iterable
from typing import Final

from rollbackd.documents.durations import format_duration
from rollbackd.documents.numbers import side_by_side, told_apart
from rollbackd.model.labels import METRIC_NAME, Labels, format_labels
from rollbackd.promql.aggregations import format_value
from rollbackd.promql.binary import COMPARISONS, Operation, VectorScalar
from rollbackd.promql.explaining import Feed, Here, Node
from rollbackd.promql.functions import Absent
from rollbackd.promql.histograms import HistogramQuantile
from rollbackd.promql.matching import ManyToOne, OneToOne, SetBinary
from rollbackd.promql.over_range import OverRange
from rollbackd.promql.selection import InstantSelector, RangeSelector
from rollbackd.promql.series import LOOKBACK_MS
from rollbackd.promql.values import Element, drop_name

#: Values, series or label sets that one sentence names.
_NAMED: Final = 3
#: A selector that has matched nothing for less has hardly been looked at.
_WORTH_SAYING_MS: Final = 60_000
BASELINE: Final = "baseline:"


class Reasons:
    """Finds the cause at the bottom of the tree, for what is `here`; `where` is its name."""

    def __init__(self, here: Here, *, at_ms: int, where: str = "") -> None:
        self._here = here
        self._at_ms = at_ms
        self._for = f" for {where}" if where else ""

    def why_empty(self, node: Node) -> str:
        """The reason; the part has no element that belongs here."""
        if node.error:
            return f"`{node.gist}` cannot be evaluated: {node.error}"
        operator = node.operator
        if isinstance(operator, InstantSelector | RangeSelector):
            return self._selector(node)
        if isinstance(operator, SetBinary):
            return self._set(node, operator)
        if isinstance(operator, VectorScalar):
            return self._filtered(node)
        if isinstance(operator, OneToOne | ManyToOne):
            return self._matched(node, operator)
        if isinstance(operator, OverRange):
            return self._windows(node)
        if isinstance(operator, Absent):
            return self._present(node)
        return self._operand(node)

    def _has(self, node: Node) -> bool:
        return bool(self._elements(node)) or any(f.samples for f in self._feeds(node))

    def _elements(self, node: Node) -> list[Element]:
        return [element for element in node.elements if self._here(element[0])]

    def _feeds(self, node: Node) -> list[Feed]:
        return [feed for feed in node.feeds if self._here(feed.labels)]

    def _operand(self, node: Node) -> str:
        """A part that gives what its operands give."""
        empty = [child for child in node.children if not self._has(child)]
        if empty:
            return self.why_empty(empty[0])
        if isinstance(node.operator, HistogramQuantile):
            return f"nothing that `{node.gist}` reads has a numeric label `le`"
        return f"`{node.gist}` lets nothing through"

    # Selectors

    def _selector(self, node: Node) -> str:
        name = node.selector.name if node.selector is not None else ""
        unknown = "unknown baseline: " if name.startswith(BASELINE) else ""
        if not node.feeds:
            since = ""
            silent_ms = self._at_ms - (node.silent_since_ms or self._at_ms)
            if silent_ms >= _WORTH_SAYING_MS:
                since = f" (nothing has matched it for {rough(silent_ms)})"
            return f"{unknown}`{node.gist}` has no series{self._for}{since}"
        feeds = self._feeds(node)
        if not feeds:
            others = "only that of another scope" if len(node.feeds) == 1 else (
                f"{len(node.feeds)} series of other scopes"
            )  # fmt: skip
            return f"{unknown}`{node.gist}` has no series{self._for}, {others}"
        return self._old(node, feeds)

    def _old(self, node: Node, feeds: list[Feed]) -> str:
        newest = max((f.newest_ms for f in feeds if f.newest_ms is not None), default=None)
        if newest is None:
            return f"`{node.gist}` does not hold at this time"
        operator = node.operator
        reach = operator.range_ms if isinstance(operator, RangeSelector) else LOOKBACK_MS
        if newest > self._at_ms:
            return f"the samples of `{node.gist}` are all newer than this time"
        if any(f.samples for f in feeds) or self._at_ms - newest <= reach:
            return f"`{node.gist}` has ended: its newest sample is a stale marker"
        return (
            f"the newest sample of `{node.gist}` is {self._age(newest)} old, and it looks back"
            f" {format_duration(reach)}"
        )

    def _windows(self, node: Node) -> str:
        windows = next((child for child in node.children if child.is_range), None)
        if windows is None or not self._feeds(windows):
            return self._operand(node)
        counts = [f.samples for f in self._feeds(windows) if f.samples]
        if not counts:
            return self.why_empty(windows)
        return f"{self._count(windows)}, and `{node.gist}` needs more"

    def _present(self, node: Node) -> str:
        (child,) = node.children
        what = self._count(child) if child.feeds else f"`{child.text}` gives {self._values(child)}"
        return f"nothing is absent: {what}"

    # Binary operators

    def _set(self, node: Node, operator: SetBinary) -> str:
        left, right = node.children
        if operator.symbol == "unless":
            if self._has(left):
                return "all that the left side of `unless` has is on its right side too"
            return f"the left side of `unless` has none because {self.why_empty(left)}"
        why = [self.why_empty(child) if not self._has(child) else "" for child in (left, right)]
        if why[0] == why[1]:
            return why[0] or self._no_match(node, left, right)
        if why[1] and why[1] in why[0]:
            why[1] = ""
        sides = [
            f"the {side} side of `{operator.symbol}` has none because {reason}"
            for side, reason in zip(("left", "right"), why, strict=True)
            if reason
        ]
        return "; ".join(sides)

    def _filtered(self, node: Node) -> str:
        operand = max(node.children, key=lambda child: len(child.elements))
        for child in node.children:
            if not self._has(child):
                return self.why_empty(child)
        values = self._values(operand, beside=node.bound)
        counted = [self._count(part) for part in operand.nodes() if part.is_range]
        seen = next((c for c in counted if c and f" {values} sample" not in c), "")
        seen = f" ({seen})" if seen else ""
        return f"`{node.gist}` filtered it: `{operand.text}` is {values}{seen}"

    def _matched(self, node: Node, operator: OneToOne | ManyToOne) -> str:
        left, right = node.children
        missing = [child for child in (left, right) if not self._has(child)]
        if missing:
            return "; ".join(dict.fromkeys(self.why_empty(child) for child in missing))
        signature = operator.matching.signature
        known = {signature(labels) for labels, _ in self._elements(right)}
        pairs = [e for e in self._elements(left) if signature(e[0]) in known]
        if pairs and _filters(operator.operation):
            return f"`{node.gist}` filtered it: {self._compared(left, right)}"
        return self._no_match(node, left, right)

    def _no_match(self, node: Node, left: Node, right: Node) -> str:
        one, other = self._elements(left)[0][0], self._elements(right)[0][0]
        return (
            f"no element of the left side of `{node.gist}` has the labels of one on the right:"
            f" {format_labels(drop_name(one))} against {format_labels(drop_name(other))}"
        )

    # Phrases

    def _count(self, node: Node) -> str:
        """How many samples the selectors below have, e.g. `x[5m]` has 131 samples."""
        if node.selector is None:
            return ""
        counts = [f.samples for f in self._feeds(node)]
        series = f" in {len(counts)} series" if len(counts) > 1 else ""
        noun = "sample" if sum(counts) == 1 else "samples"
        return f"`{node.gist}` has {sum(counts)} {noun}{series}"

    def _compared(self, left: Node, right: Node) -> str:
        shown = self._values(left), self._values(right)
        if shown[0] == shown[1]:
            shown = side_by_side(self._elements(left)[0][1], self._elements(right)[0][1])
        return f"`{left.text}` is {shown[0]}, `{right.text}` is {shown[1]}"

    def _values(self, node: Node, *, beside: float | None = None) -> str:
        found = self._elements(node)
        if len(found) == 1:
            return short(found[0][1], beside=beside)
        named = [
            f"{short(value, beside=beside)} for {format_labels(_bare(labels))}"
            for labels, value in found[:_NAMED]
        ]
        return and_more(named, len(found))

    def _age(self, time_ms: int) -> str:
        return rough(self._at_ms - time_ms)


def short(value: float, *, beside: float | None = None) -> str:
    """Four digits, or as many as tell it from a bound beside it; but whole numbers whole."""
    if value.is_integer() and abs(value) < 1e9:
        return format_value(value)
    return f"{value:.4g}" if beside is None else told_apart(value, beside)


def rough(milliseconds: int) -> str:
    """A length of time to the second, or below a second in milliseconds."""
    if abs(milliseconds) < 1_000:
        return format_duration(milliseconds)
    return format_duration(round(milliseconds / 1_000) * 1_000)


def and_more(named: Iterable[str], total: int) -> str:
    """`a, b and 5 more`."""
    words = list(named)
    rest = total - len(words)
    return ", ".join(words) + (f" and {rest} more" if rest > 0 else "")


def _bare(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] != METRIC_NAME)


def _filters(operation: Operation) -> bool:
    return operation.symbol in COMPARISONS and not operation.as_bool
