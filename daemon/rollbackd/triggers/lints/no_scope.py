"""`lint/no-scope`: a rule that pulls whose result cannot carry the label that names its scope.

Follows what Prometheus does to labels; whatever may keep the label is given the benefit of doubt.
"""

from collections.abc import Iterator
from typing import Final

from rollbackd.documents.diagnostics import Diagnostic
from rollbackd.promql.matchers import MatchOp
from rollbackd.promql.outline import Form, Part, Sides
from rollbackd.triggers.lints.subjects import Pack, Subject

_ABSENT: Final = frozenset({"absent", "absent_over_time"})
_KEEP_ELEMENTS: Final = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
_SET_LABEL: Final = frozenset({"label_replace", "label_join"})
_SETS: Final = frozenset({"and", "or", "unless"})


def no_scope(subject: Subject, pack: Pack) -> Iterator[Diagnostic]:
    """A warning when the label is lost on the way, at the part that loses it."""
    label = pack.options.service_label
    if not subject.pulls or label in subject.rule.labels:
        return
    culprit = _Loss(label, pack).find(subject.expr)
    if culprit is not None:
        fix = f"keep the label, e.g. `sum by ({label}, ...)`, or set `{label}` in `labels`"
        yield subject.warning(
            "lint/no-scope",
            f"the result has no label `{label}`, so it names nothing to roll back",
            culprit,
            fix=fix,
        )


class _Loss:
    """Finds the part that provably drops a label; None when the label may survive."""

    def __init__(self, label: str, pack: Pack) -> None:
        self._label = label
        self._pack = pack

    def find(self, part: Part) -> Part | None:
        if part.is_scalar:
            return part
        match part.form:
            case Form.CONSTANT:
                return part
            case Form.INSTANT | Form.RANGE:
                return self._selector(part)
            case Form.SUBQUERY | Form.NEGATION:
                return self.find(part.parts[0])
            case Form.CALL:
                return self._call(part)
            case Form.AGGREGATION:
                return self._aggregation(part)
            case Form.BINARY:
                return self._binary(part)

    def _selector(self, part: Part) -> Part | None:
        assert part.selector is not None
        if any(
            m.name == self._label and m.op is MatchOp.EQ and not m.value
            for m in part.selector.matchers
        ):
            return part
        kept = self._pack.of_record("scope", part.name, self._is_kept, none=True)
        return None if not kept or any(kept) else part

    def _is_kept(self, record: Subject) -> bool:
        return self._label in record.rule.labels or self.find(record.expr) is None

    def _call(self, part: Part) -> Part | None:
        if part.name == "vector" or not part.parts:
            return part
        if part.name in _SET_LABEL and part.parts[1].name == self._label:
            return None
        operand = next((p for p in part.parts if not p.is_scalar), part.parts[0])
        if part.name not in _ABSENT:
            return self.find(operand)
        fixed = operand.selector is not None and any(
            m.name == self._label and m.op is MatchOp.EQ for m in operand.selector.matchers
        )
        return None if fixed else part

    def _aggregation(self, part: Part) -> Part | None:
        if part.name in _KEEP_ELEMENTS:
            return self.find(part.parts[-1])
        if part.name == "count_values" and part.parts[0].name == self._label:
            return None
        if (self._label in part.labels) is part.leaves_out:
            return part
        return self.find(part.parts[-1])

    def _binary(self, part: Part) -> Part | None:
        left, right = part.parts
        if part.name in _SETS:
            lost = self.find(left)
            return lost if part.name != "or" or self.find(right) is not None else None
        if left.is_scalar or right.is_scalar:
            return self.find(right if left.is_scalar else left)
        if part.sides is Sides.ONE_TO_ONE:
            return part if (self._label in part.labels) is part.leaves_out else self.find(left)
        many, one = (left, right) if part.sides is Sides.LEFT else (right, left)
        return self.find(one if self._label in part.included else many)
