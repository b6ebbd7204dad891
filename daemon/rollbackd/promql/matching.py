"""Operators of two vectors: which elements match, and what becomes of them."""

from collections.abc import Sequence
from itertools import compress
from typing import cast

from rollbackd.model.labels import METRIC_NAME, Labels, format_labels
from rollbackd.promql.binary import Operation
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.operators import Context, Vector, columns_of, never_fails
from rollbackd.promql.unnamed import SAME_LABELS
from rollbackd.promql.values import (
    EMPTY,
    Columns,
    Element,
    drop,
    drop_name,
    have_duplicates,
    keep,
    label_value,
    with_label,
)


class Matching:
    """`on` and `ignoring`: which labels of two elements have to be equal."""

    _MEMORY = 100_000

    def __init__(self, names: Sequence[str], *, on: bool) -> None:
        self.on = on
        self.names = frozenset(names)
        self._ignored = frozenset([*names, METRIC_NAME])
        self._known: dict[Labels, Labels] = {}

    def signature(self, labels: Labels) -> Labels:
        """What has to be equal."""
        known = self._known.get(labels)
        if known is not None:
            return known
        found = keep(labels, self.names) if self.on else drop(labels, self._ignored)
        if len(self._known) >= self._MEMORY:
            self._known.clear()
        self._known[labels] = found
        return found

    def result(self, labels: Labels) -> Labels:
        """The labels that a one-to-one match keeps."""
        return keep(labels, self.names) if self.on else drop(labels, self.names)


class SetBinary:
    """`and`, `or` and `unless`: whole elements, by presence."""

    def __init__(self, symbol: str, left: Vector, right: Vector, matching: Matching) -> None:
        self.symbol = symbol
        self.left = left
        self.right = right
        self.matching = matching
        self.one_name = left.one_name and symbol != "or"
        self.never_fails = symbol != "or" and never_fails(left) and never_fails(right)
        self._reads_right = symbol == "or" or not never_fails(right)

    def vector(self, ctx: Context) -> list[Element]:
        """The elements of the left, and for `or` those of the right that have no match."""
        signature = self.matching.signature
        left = self.left.vector(ctx)
        if not left and not self._reads_right:
            # The usual state of a rule with a floor: the right side can change nothing.
            if ctx.seen is not None:
                ctx.seen.add_later(lambda: self.right.vector(ctx))
            return []
        right = self.right.vector(ctx)
        if self.symbol == "or":
            known = {signature(labels) for labels, _ in left}
            both = left + [e for e in right if signature(e[0]) not in known]
            if have_duplicates(both):
                raise EvaluationError(SAME_LABELS)
            return both
        known = {signature(labels) for labels, _ in right}
        wanted = self.symbol == "and"
        return [e for e in left if (signature(e[0]) in known) is wanted]


class Pairing:
    """Which elements of two vectors match, and the labels of the results.

    Made once for two lists of labels. It is for the plain case: where labels match more than once
    or results would have the same labels, there is none.
    """

    def __init__(self, matching: Matching, *, drops_name: bool) -> None:
        self._matching = matching
        self._drops_name = drops_name
        self._left: Sequence[Labels] | None = None
        self._right: Sequence[Labels] | None = None
        self._pairs: Pairs | None = None

    def pairs(self, left: Sequence[Labels], right: Sequence[Labels]) -> "Pairs | None":
        """(places on the left, places on the right, labels), or None when it is not plain."""
        if left is not self._left or right is not self._right:
            self._pairs = self._paired(left, right)
            self._left, self._right = left, right
        return self._pairs

    def _paired(self, left: Sequence[Labels], right: Sequence[Labels]) -> "Pairs | None":
        signature, result = self._matching.signature, self._matching.result
        ones = {signature(labels): place for place, labels in enumerate(right)}
        if len(ones) < len(right) or len({signature(labels) for labels in left}) < len(left):
            return None
        pairs: Pairs = ([], [], [])
        for place, labels in enumerate(left):
            other = ones.get(signature(labels))
            if other is not None:
                pairs[0].append(place)
                pairs[1].append(other)
                pairs[2].append(result(drop_name(labels) if self._drops_name else labels))
        return pairs if len(set(pairs[2])) == len(pairs[2]) else None


Pairs = tuple[list[int], list[int], list[Labels]]


class OneToOne:
    """Two vectors whose elements match in pairs."""

    one_name = False

    def __init__(
        self, operation: Operation, left: Vector, right: Vector, matching: Matching
    ) -> None:
        self.operation = operation
        self.function = operation.function()
        self.left = left
        self.right = right
        self.matching = matching
        self._columns = columns_of(left), columns_of(right)
        self._pairing = Pairing(matching, drops_name=operation.drops_name)

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each pair that stays."""
        return self.columns(ctx).elements()

    def columns(self, ctx: Context) -> Columns:
        """The same as columns."""
        left, right = (columns(ctx) for columns in self._columns)
        if not left.labels or not right.labels:
            return EMPTY
        pairs = self._pairing.pairs(left.labels, right.labels)
        if pairs is None:
            return self._one_by_one(left.elements(), right.elements())
        lefts, rights, labels = pairs
        ones = map(left.values.__getitem__, lefts)
        others = map(right.values.__getitem__, rights)
        found = list(map(self.function, ones, others))
        if self.operation.is_filter and None in found:
            stays = [value is not None for value in found]
            labels, found = list(compress(labels, stays)), list(compress(found, stays))
        return Columns(labels, cast("list[float]", found))

    def _one_by_one(self, left: list[Element], right: list[Element]) -> Columns:
        """The same where it may fail. Raises EvaluationError."""
        ones = index_of(right, self.matching, side="right")
        matched: set[Labels] = set()
        result: list[Element] = []
        for labels, value in left:
            signature = self.matching.signature(labels)
            other = ones.get(signature)
            if other is None:
                continue
            found = self.function(value, other[1])
            if found is None:
                continue
            if signature in matched:
                raise EvaluationError(
                    "multiple matches for labels: many-to-one matching must be explicit "
                    "(group_left/group_right)"
                )
            matched.add(signature)
            kept = drop_name(labels) if self.operation.drops_name else labels
            result.append((self.matching.result(kept), found))
        if have_duplicates(result):
            raise EvaluationError(SAME_LABELS)
        return Columns([labels for labels, _ in result], [value for _, value in result])


class ManyToOne:
    """`group_left` (many on the left) and `group_right` (many on the right)."""

    one_name = False

    def __init__(
        self,
        operation: Operation,
        left: Vector,
        right: Vector,
        matching: Matching,
        *,
        many_left: bool,
        include: Sequence[str],
    ) -> None:
        self.operation = operation
        self.function = operation.function()
        self.left = left
        self.right = right
        self.matching = matching
        self.many_left = many_left
        self.include = include

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each of the many that has a match and stays."""
        left, right = self.left.vector(ctx), self.right.vector(ctx)
        if not left or not right:
            return []
        many, one = (left, right) if self.many_left else (right, left)
        ones = index_of(one, self.matching, side="right" if self.many_left else "left")
        seen: set[tuple[Labels, Labels]] = set()
        result: list[Element] = []
        for labels, value in many:
            signature = self.matching.signature(labels)
            other = ones.get(signature)
            if other is None:
                continue
            pair = (value, other[1]) if self.many_left else (other[1], value)
            found = self.function(*pair)
            if found is None:
                continue
            kept = self._labels(labels, other[0])
            if (signature, kept) in seen:
                raise EvaluationError(
                    "multiple matches for labels: grouping labels must ensure unique matches"
                )
            seen.add((signature, kept))
            result.append((kept, found))
        if have_duplicates(result):
            raise EvaluationError(SAME_LABELS)
        return result

    def _labels(self, labels: Labels, one: Labels) -> Labels:
        if self.operation.drops_name:
            labels = drop_name(labels)
        for name in self.include:
            labels = with_label(labels, name, label_value(one, name))
        return labels


def index_of(one: list[Element], matching: Matching, *, side: str) -> dict[Labels, Element]:
    """The elements of the `one` side by signature. Raises EvaluationError when two share it."""
    found: dict[Labels, Element] = {}
    for element in one:
        signature = matching.signature(element[0])
        known = found.get(signature)
        if known is not None:
            raise EvaluationError(
                f"found duplicate series for the match group {_braced(signature)} on the {side} "
                f"hand-side of the operation: [{_braced(element[0])}, {_braced(known[0])}];"
                "many-to-many matching not allowed: matching labels must be unique on one side"
            )
        found[signature] = element
    return found


def _braced(labels: Labels) -> str:
    return format_labels(labels)
