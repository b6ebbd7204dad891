"""Random well-typed expressions over random series, for the comparison with Prometheus.

Prometheus adds in another order and with other compensation than this engine, so a computed number
can differ in its last digits. That is harmless until a function with a jump (`floor`, `==`, `%`,
`topk`, `ln` about zero) makes a whole unit, or another element, of it. So expressions are of two
kinds: *exact* ones, whose numbers are multiples of 1/4 that no order of addition can round, go
everywhere; the others only where the result moves as little as the number does.
"""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

_DURATIONS = st.sampled_from(["1m", "2m", "5m", "15s", "14s", "40s", "7m30s"])
#: No range is shorter than its step: where no step falls in it, Prometheus still evaluates (and
#: refuses) what does not depend on the step.
_SUBQUERIES = st.sampled_from(["1m:", "1m:15s", "2m:7s", "2m:30s", "5m:1m", "5m:", "7m30s:40s"])
_OFFSETS = st.sampled_from([""] * 8 + [" offset 1m", " offset 40s", " offset 6m", " offset -1m"])
_AT = st.sampled_from([""] * 12 + [" @ 300", " @ 100.5", " @ end()", " @ start()"])
_MATCHERS = st.sampled_from(
    [
        "", "", "", "", '{job="a"}', '{job!="a"}', '{inst=~"x|y"}', '{inst!~"x.*"}', '{nothing=""}',
        '{inst=~".+", job=~"a|"}', '{job=""}', "{inst='z'}",
    ]
)  # fmt: skip
_NAMES = ("c", "g", "lim", "err", "info", "nothing")
_NUMBERS = st.sampled_from(["0", "1", "2", "-1", "0.5", "3", "10", "-2.25", "Inf", "-Inf", "NaN"])
_QUANTILES = st.sampled_from(["0", "0.25", "0.5", "0.9", "1", "-1", "2", "NaN"])
_GROUPINGS = st.sampled_from(
    ["", " by (job)", " by (inst)", " by (job, inst)", " without (inst)", " by ()", " without ()",
     " without (job, code)", " by (nothing)"]
)  # fmt: skip
_ON = st.sampled_from(
    ["", "", "", " on (job, inst)", " on (inst)", " ignoring (code)", " ignoring (job)", " on ()",
     " ignoring (code, ver)"]
)  # fmt: skip
_SIDES = st.sampled_from(
    [" on (inst) group_left ()", " on (inst) group_right ()", " on (inst) group_left (ver)",
     " ignoring (code) group_left ()", " on (job) group_left ()", " on (inst) group_right (job)",
     " ignoring (ver, job) group_left (ver)"]
)  # fmt: skip
_COMPARISONS = st.sampled_from(["==", "!=", ">", "<", ">=", "<="])
_SETS = st.sampled_from(["and", "or", "unless"])

#: Functions of a window whose result is as exact as its samples.
_EXACT_OVER_TIME = (
    "sum_over_time", "count_over_time", "min_over_time", "max_over_time", "last_over_time",
    "present_over_time", "changes", "resets", "idelta", "absent_over_time",
)  # fmt: skip
_OVER_TIME = (
    "rate", "increase", "delta", "irate", "avg_over_time", "stddev_over_time", "stdvar_over_time",
    "deriv",
)  # fmt: skip
#: Functions of a number that have a jump, a pole or an edge somewhere.
_JUMPS = (
    "ceil", "floor", "sgn", "sqrt", "ln", "log2", "log10", "round", "acos", "acosh", "asin",
    "atanh", "tan",
)  # fmt: skip
_DATES = (
    "hour", "minute", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month",
    "year",
)  # fmt: skip
_SMOOTH = ("abs", "exp", "sin", "cos", "atan", "sinh", "cosh", "tanh", "asinh", "deg", "rad")


#: Writes an expression that has at most so many more levels.
Writer = Callable[[st.DrawFn, int], str]


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """An expression that gives a vector or a number."""
    return _any(draw, draw(st.integers(0, 3)))


def _any(draw: st.DrawFn, depth: int) -> str:
    """An instant vector whose numbers may differ in the last digits."""
    return draw(st.sampled_from(_LOOSE if depth > 0 else _LEAVES))(draw, depth - 1)


def _exact(draw: st.DrawFn, depth: int) -> str:
    """An instant vector whose numbers cannot."""
    return draw(st.sampled_from(_STRICT if depth > 0 else _EXACT_LEAVES))(draw, depth - 1)


def _selector(draw: st.DrawFn, _depth: int) -> str:
    return draw(st.sampled_from(_NAMES)) + draw(_MATCHERS) + draw(_AT) + draw(_OFFSETS)


def _odd(draw: st.DrawFn, _depth: int) -> str:
    return draw(st.sampled_from(["odd", "odd", "dec"])) + draw(_OFFSETS)


def _number(draw: st.DrawFn, depth: int) -> str:
    if depth > 0 and draw(st.integers(0, 3)) == 0:
        return f"scalar({_exact(draw, depth)})"
    return draw(st.sampled_from([draw(_NUMBERS), "time()"]))


def _vector_of_number(draw: st.DrawFn, depth: int) -> str:
    return f"vector({_number(draw, depth)})"


def _range(draw: st.DrawFn, depth: int, names: Sequence[str] = _NAMES) -> str:
    tail = draw(_AT) + draw(_OFFSETS)
    if depth > 0 and draw(st.booleans()):
        return f"({_exact(draw, depth)})[{draw(_SUBQUERIES)}]{tail}"
    duration = draw(_DURATIONS)
    return f"{draw(st.sampled_from(names))}{draw(_MATCHERS)}[{duration}]{tail}"


def _exact_over_time(draw: st.DrawFn, depth: int) -> str:
    return f"{draw(st.sampled_from(_EXACT_OVER_TIME))}({_range(draw, depth)})"


def _over_time(draw: st.DrawFn, depth: int) -> str:
    return f"{draw(st.sampled_from(_OVER_TIME))}({_range(draw, depth)})"


def _odd_over_time(draw: st.DrawFn, _depth: int) -> str:
    functions = ("sum_over_time", "avg_over_time", "min_over_time", "max_over_time", "changes",
                 "increase", "rate", "delta", "count_over_time", "quantile_over_time", "resets",
                 "idelta", "irate", "last_over_time")  # fmt: skip
    function = draw(st.sampled_from(functions))
    first = f"{draw(_QUANTILES)}, " if function == "quantile_over_time" else ""
    return f"{function}({first}{_range(draw, 0, ['odd', 'dec'])})"


def _with_parameters(draw: st.DrawFn, depth: int) -> str:
    window = _range(draw, depth)
    return draw(
        st.sampled_from(
            [
                f"quantile_over_time({draw(_QUANTILES)}, {window})",
                f"predict_linear({window}, {draw(_NUMBERS)})",
                f"holt_winters({window}, 0.25, 0.5)",
            ]
        )
    )


def _nested_over_time(draw: st.DrawFn, depth: int) -> str:
    function = draw(st.sampled_from(["avg", "min", "max", "sum", "last"]))
    return f"{function}_over_time(({_any(draw, depth)})[{draw(_SUBQUERIES)}]{draw(_OFFSETS)})"


def _exact_aggregate(draw: st.DrawFn, depth: int) -> str:
    operator = draw(st.sampled_from(["sum", "min", "max", "count", "group"]))
    return f"{operator}{draw(_GROUPINGS)} ({_exact(draw, depth)})"


def _aggregate(draw: st.DrawFn, depth: int) -> str:
    operator = draw(st.sampled_from(["sum", "avg", "min", "max", "count"]))
    return f"{operator}{draw(_GROUPINGS)} ({_any(draw, depth)})"


def _spread(draw: st.DrawFn, depth: int) -> str:
    operator = draw(st.sampled_from(["stddev(", "stdvar(", f"quantile({draw(_QUANTILES)}, "]))
    name, _, first = operator.partition("(")
    return f"{name}{draw(_GROUPINGS)} ({first}{_exact(draw, depth)})"


def _few(draw: st.DrawFn, depth: int) -> str:
    """`topk` under an aggregation: which of two equal elements is taken is nobody's business."""
    outer = draw(st.sampled_from(["sum", "count", "min", "max"]))
    inner = draw(st.sampled_from(["topk", "bottomk"]))
    number = draw(st.sampled_from(["1", "2", "0", "-1", "2.5", "100"]))
    return f"{outer}({inner}{draw(_GROUPINGS)} ({number}, {_exact(draw, depth)}))"


def _count_values(draw: st.DrawFn, depth: int) -> str:
    label = draw(st.sampled_from(["value", "job"]))
    return f'count_values{draw(_GROUPINGS)} ("{label}", {_exact(draw, depth)})'


def _negated(draw: st.DrawFn, depth: int) -> str:
    return f"{draw(st.sampled_from(['-', '-', '+']))}({_any(draw, depth)})"


def _sum_or_product(draw: st.DrawFn, depth: int) -> str:
    operator = draw(st.sampled_from(["+", "-", "*"]))
    return f"({_any(draw, depth)}) {operator}{draw(_ON)} ({_any(draw, depth)})"


def _exact_sum(draw: st.DrawFn, depth: int) -> str:
    operator = draw(st.sampled_from(["+", "-"]))
    return f"({_exact(draw, depth)}) {operator}{draw(_ON)} ({_exact(draw, depth)})"


def _quotient(draw: st.DrawFn, depth: int) -> str:
    operator = draw(st.sampled_from(["/", "/", "%", "^", "atan2"]))
    return f"({_exact(draw, depth)}) {operator}{draw(_ON)} ({_exact(draw, depth)})"


def _with_number(draw: st.DrawFn, depth: int) -> str:
    operator = draw(st.sampled_from(["+", "-", "*", "/", "%", "^", "atan2"]))
    sides = [f"({_exact(draw, depth)})", _number(draw, depth)]
    left, right = draw(st.permutations(sides))
    return f"{left} {operator} {right}"


def _exact_with_number(draw: st.DrawFn, depth: int) -> str:
    sides = [f"({_exact(draw, depth)})", draw(_NUMBERS)]
    left, right = draw(st.permutations(sides))
    return f"{left} {draw(st.sampled_from(['+', '-', '*']))} {right}"


def _comparison(draw: st.DrawFn, depth: int) -> str:
    boolean = draw(st.sampled_from(["", "", " bool"]))
    how = f"{draw(_COMPARISONS)}{boolean}{draw(_ON)}"
    return f"({_exact(draw, depth)}) {how} ({_exact(draw, depth)})"


def _threshold(draw: st.DrawFn, depth: int) -> str:
    boolean = draw(st.sampled_from(["", "", " bool"]))
    sides = [f"({_exact(draw, depth)})", _number(draw, depth)]
    left, right = draw(st.permutations(sides))
    return f"{left} {draw(_COMPARISONS)}{boolean} {right}"


def _numbers_alone(draw: st.DrawFn, depth: int) -> str:
    operator = draw(st.sampled_from(["+", "-", "*", "/", "%", "^", "== bool", "< bool", "atan2"]))
    return f"vector({_number(draw, depth)} {operator} {_number(draw, depth)})"


def _set(draw: st.DrawFn, depth: int) -> str:
    return f"({_any(draw, depth)}) {draw(_SETS)}{draw(_ON)} ({_any(draw, depth)})"


def _exact_set(draw: st.DrawFn, depth: int) -> str:
    return f"({_exact(draw, depth)}) {draw(_SETS)}{draw(_ON)} ({_exact(draw, depth)})"


def _one_to_many(draw: st.DrawFn, depth: int) -> str:
    operator = draw(st.sampled_from(["+", "*", "-", ">", "== bool", "<="]))
    return f"({_exact(draw, depth)}) {operator}{draw(_SIDES)} ({_exact(draw, depth)})"


def _with_info(draw: st.DrawFn, depth: int) -> str:
    """What people write: values with a label of an info metric."""
    return f"({_any(draw, depth)}) * on (inst) group_left (ver) info"


def _unbracketed(draw: st.DrawFn, _depth: int) -> str:
    """Precedence and associativity decide."""
    operators = ["+", "-", "*", "and", "or", "unless", ">", "== bool"]
    parts = [_selector(draw, 0) for _ in range(draw(st.integers(2, 4)))]
    return "".join(
        part if index == 0 else f" {draw(st.sampled_from(operators))} {part}"
        for index, part in enumerate(parts)
    )


def _jump(draw: st.DrawFn, depth: int) -> str:
    return f"{draw(st.sampled_from(_JUMPS))}({_exact(draw, depth)})"


def _date(draw: st.DrawFn, depth: int) -> str:
    """Of a finite number: what Go makes of another depends on the processor."""
    factor = draw(st.sampled_from(["", " * 3600", " * 86400", " * 1e8", " * 1e11"]))
    operand = f"(({_exact(draw, depth)}){factor} > -1e15) < 1e15"
    return f"{draw(st.sampled_from(_DATES))}({operand})"


def _smooth(draw: st.DrawFn, depth: int) -> str:
    return f"{draw(st.sampled_from(_SMOOTH))}({_exact(draw, depth)})"


def _clamped(draw: st.DrawFn, depth: int) -> str:
    operand = _exact(draw, depth)
    return draw(
        st.sampled_from(
            [
                f"clamp({operand}, {draw(_NUMBERS)}, {draw(_NUMBERS)})",
                f"clamp_min({operand}, {draw(_NUMBERS)})",
                f"clamp_max({operand}, {draw(_NUMBERS)})",
                f"abs({operand})",
                f"sort({operand})",
            ]
        )
    )


def _rounded(draw: st.DrawFn, depth: int) -> str:
    return f"round({_exact(draw, depth)}, {draw(_NUMBERS)})"


def _relabelled(draw: st.DrawFn, depth: int) -> str:
    operand = _exact(draw, depth)
    target = draw(st.sampled_from(["new", "job", "inst"]))
    source = draw(st.sampled_from(["job", "inst", "nothing", "__name__"]))
    template = draw(st.sampled_from(["$1", "", "x$1$2", "same", "${1}b", "$$"]))
    pattern = draw(st.sampled_from(["(.*)", "(a)|(x)", "", "(.)(.*)", "nope"]))
    return draw(
        st.sampled_from(
            [
                f'label_replace({operand}, "{target}", "{template}", "{source}", "{pattern}")',
                f'label_join({operand}, "{target}", "-", "{source}", "job")',
                f'label_join({operand}, "{target}", "")',
            ]
        )
    )


def _absent(draw: st.DrawFn, depth: int) -> str:
    return f"absent({_exact(draw, depth)})"


def _timestamp(draw: st.DrawFn, depth: int) -> str:
    # not both: Prometheus forgets the offset behind `@` in `timestamp`
    when = draw(st.sampled_from([_AT, _OFFSETS]))
    selector = draw(st.sampled_from(_NAMES)) + draw(_MATCHERS) + draw(when)
    return f"timestamp({draw(st.sampled_from([selector, f'({_exact(draw, depth)}) * 1']))})"


def _histogram_quantile(draw: st.DrawFn, _depth: int) -> str:
    buckets = draw(
        st.sampled_from(
            [
                "h_bucket", "rate(h_bucket[5m])", "sum by (le) (h_bucket)",
                "increase(h_bucket[2m])",
                "sum by (job, le) (rate(h_bucket[5m]))", 'h_bucket{le!="+Inf"}', "h_bucket * 0",
                'h_bucket{le=~"1|[+]Inf"}', "h_bucket - 3", "h_bucket or lim", "-h_bucket",
            ]
        )
    )  # fmt: skip
    return f"histogram_quantile({draw(_QUANTILES)}, {buckets})"


_EXACT_LEAVES: tuple[Writer, ...] = (_selector, _selector, _selector, _vector_of_number)
_LEAVES: tuple[Writer, ...] = (*_EXACT_LEAVES, _odd, _odd_over_time)
_STRICT: tuple[Writer, ...] = (
    _selector, _exact_over_time, _exact_over_time, _exact_aggregate, _exact_aggregate, _exact_sum,
    _exact_with_number, _comparison, _threshold, _exact_set, _clamped, _relabelled, _absent,
    _timestamp, _few, _count_values, _one_to_many, _unbracketed,
)  # fmt: skip
_LOOSE: tuple[Writer, ...] = (
    *_STRICT, _odd, _odd_over_time, _over_time, _over_time, _with_parameters, _nested_over_time,
    _aggregate, _aggregate, _spread, _negated, _sum_or_product, _quotient, _with_number, _set,
    _numbers_alone, _with_info, _jump, _date, _smooth, _rounded, _histogram_quantile,
)  # fmt: skip
