"""`lint/no-sample-floor`: a ratio, quantile or mean against a threshold, on however few samples."""

import re
from collections.abc import Iterator
from typing import Final

from rollbackd.documents.diagnostics import Diagnostic
from rollbackd.promql.outline import Form, Part
from rollbackd.rulefmt.rule_files import RuleKind
from rollbackd.triggers.lints.subjects import Pack, Subject, is_comparison

#: What a handful of samples can throw anywhere.
_STATISTICS: Final = {
    "quantile_over_time": "a quantile",
    "histogram_quantile": "a quantile",
    "avg_over_time": "a mean",
    "stddev_over_time": "a deviation",
    "stdvar_over_time": "a deviation",
    "mad_over_time": "a deviation",
}
#: What counts events; a quotient of such is a ratio of events.
_EVENTS: Final = frozenset({"count_over_time", "sum_over_time", "rate", "irate", "increase"})
_COUNTERS: Final = frozenset({"rate", "irate", "increase"})
_PER_SECOND: Final = frozenset({"rate", "irate"})
#: A recorded series that says by its name that it counts.
_COUNT_NAME: Final = re.compile(r"(?:^|[_:])(?:count|total|samples|requests)")
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def no_sample_floor(subject: Subject, pack: Pack) -> Iterator[Diagnostic]:
    """One warning for each comparison of a statistic that no floor guards."""
    if subject.rule.kind is not RuleKind.ALERT:
        return
    for part in _unguarded(subject.expr, pack):
        yield subject.warning(
            "lint/no-sample-floor",
            f"{_named(part)} is compared with a threshold and has no sample floor, "
            "so a few samples are enough to fire",
            part,
            fix=f"add `and {_suggested(part, subject)} >= 200`, with the labels of the result",
        )


def _unguarded(part: Part, pack: Pack) -> Iterator[Part]:
    """The statistics of comparisons that are not joined with a floor."""
    if part.form is Form.BINARY and part.name in {"and", "unless"}:
        if not _has_floor(part, pack):
            for operand in part.parts:
                yield from _unguarded(operand, pack)
    elif is_comparison(part) and (statistic := _statistic_of_any(part.parts, pack)):
        # "Any at all" is no matter of chance.
        if all(operand.value != 0 for operand in part.parts):
            yield statistic
    else:
        for operand in part.parts:
            yield from _unguarded(operand, pack)


def _has_floor(part: Part, pack: Pack) -> bool:
    """Whether an `and` holds only with enough samples, or an `unless` only without too few."""
    left, right = part.parts
    if part.name == "unless":
        return _is_bound(right, pack, upper=True) or _is_floor(left, pack)
    return _is_floor(left, pack) or _is_floor(right, pack)


def _is_floor(part: Part, pack: Pack) -> bool:
    if part.form is Form.BINARY and part.name in {"and", "unless"}:
        return _has_floor(part, pack)
    return _is_bound(part, pack, upper=False)


def _is_bound(part: Part, pack: Pack, *, upper: bool) -> bool:
    """`count >= N` (or with `upper`, `count < N`), also the other way round."""
    if not is_comparison(part):
        return False
    (left, right), symbol = part.parts, part.name
    if left.form is Form.CONSTANT:
        left, right = right, left
        symbol = _MIRRORED.get(symbol, symbol)
    if right.value is None or not symbol.startswith("<" if upper else ">"):
        return False
    least = 0.0 if any(p.name in _PER_SECOND for p in left.walk()) else 1.0
    return right.value > least and _is_count(left, pack) and _statistic(left, pack) is None


def _statistic_of_any(parts: tuple[Part, ...], pack: Pack) -> Part | None:
    return next((found for p in parts if (found := _statistic(p, pack)) is not None), None)


def _statistic(part: Part, pack: Pack) -> Part | None:
    """The part that is a statistic without a floor, or records one."""
    if part.form is Form.BINARY and part.name in {"and", "unless"} and _has_floor(part, pack):
        return None
    if part.form is Form.CALL and part.name in _STATISTICS:
        return part
    if part.form is Form.BINARY and part.name == "/" and all(_events(p, pack) for p in part.parts):
        return part
    if part.form is Form.INSTANT:
        recorded = pack.of_record(
            "statistic", part.name, lambda r: _statistic(r.expr, pack) is not None, none=False
        )
        return part if any(recorded) else None
    found = (_statistic(p, pack) for p in part.parts)
    return next((f for f in found if f is not None), None)


def _is_count(part: Part, pack: Pack) -> bool:
    """Whether a part says how much there is: counted here, or by the name of a recorded series."""
    return _events(part, pack) or any(
        p.name == "count" if p.form is Form.AGGREGATION else bool(_COUNT_NAME.search(p.name))
        for p in part.walk()
        if p.form in {Form.AGGREGATION, Form.INSTANT}
    )


def _events(part: Part, pack: Pack) -> bool:
    """Whether a part is a number of events, or of events a second."""
    for inner in part.walk():
        if inner.form is Form.CALL and inner.name in _EVENTS:
            return True
        if inner.form is Form.INSTANT and any(
            pack.of_record("events", inner.name, lambda r: _events(r.expr, pack), none=False)
        ):
            return True
    return False


def _named(part: Part) -> str:
    if part.form is Form.INSTANT:
        return f"the ratio, quantile or mean that `{part.name}` records"
    return "a ratio" if part.form is Form.BINARY else _STATISTICS[part.name]


def _suggested(part: Part, subject: Subject) -> str:
    """A count of what the statistic is made of; of a ratio, of what it is divided by."""
    behind = part.parts[-1] if part.form is Form.BINARY else part
    for inner in behind.walk():
        window = next((p for p in inner.parts if p.form is Form.RANGE), None)
        if window is not None:
            counter = "increase" if inner.name in _COUNTERS else "count_over_time"
            # Every observation is in one bucket or more, and in the count once.
            return f"{counter}({subject.text_of(window).replace('_bucket', '_count', 1)})"
    return "count_over_time(...)"
