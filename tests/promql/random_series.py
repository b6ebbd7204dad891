"""Random series in promtool's notation, for the comparison with Prometheus.

`c` counts, with resets; `g` is a gauge, with gaps and stale markers; `lim` is constant; `info` has
labels to join; `err` has a label more than `c`; `h_bucket` is a histogram. Their values are
multiples of 1/4. `odd` has NaN and infinities, `dec` has decimals.
"""

from itertools import accumulate, chain, product

from hypothesis import strategies as st

INTERVAL = "15s"
COUNT = 41
LAST_SECONDS = 15 * (COUNT - 1)

_JOBS = ("a", "b")
_INSTANCES = ("x", "y", "z")
_BOUNDS = ("0.5", "1", "5", "+Inf")

_QUARTERS = st.integers(-40, 40).map(lambda n: str(n / 4))
_GAP = st.sampled_from(["_", "_x2", "_x7", "_x21", "stale"])
_ODD = st.sampled_from(["NaN", "Inf", "-Inf", "0", "-0", "1"])
_DECIMALS = st.sampled_from(["0.1", "-0.3", "1e5", "123456.789", "1e-5", "7", "3.3"])
_FLAT = st.builds("{}x{}".format, _QUARTERS, st.integers(1, 20))
_SLOPE = st.builds(
    "{}{}x{}".format, _QUARTERS, st.sampled_from(["+0.25", "-1", "+3"]), st.integers(1, 20)
)
_RISE = st.builds("{}+{}x{}".format, st.integers(0, 60), st.integers(0, 9), st.integers(0, 14))


def _written(*pieces: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.one_of(*pieces), min_size=1, max_size=8)


@st.composite
def series(draw: st.DrawFn) -> dict[str, str]:
    """Values by series."""
    found: dict[str, list[str]] = {}
    for job, instance in draw(
        st.sets(st.sampled_from(list(product(_JOBS, _INSTANCES))), min_size=1)
    ):
        place = f'job="{job}", inst="{instance}"'
        # a counter: each piece that starts lower than the last one ended is a reset
        found[f"c{{{place}}}"] = draw(_written(_RISE, _RISE, _RISE, _GAP))
        found[f"g{{{place}}}"] = draw(_written(_FLAT, _SLOPE, _QUARTERS, _GAP))
        found[f"lim{{{place}}}"] = [f"{draw(st.integers(0, 4))}x{COUNT - 1}"]
    for instance in _INSTANCES:
        found[f'info{{inst="{instance}", ver="v{draw(st.integers(1, 2))}"}}'] = [f"1x{COUNT - 1}"]
        found[f'odd{{inst="{instance}"}}'] = draw(_written(_ODD, _FLAT, _GAP))
        found[f'dec{{inst="{instance}"}}'] = draw(_written(_DECIMALS, _GAP))
    for job in _JOBS:
        found[f'err{{job="{job}", inst="x", code="500"}}'] = draw(_written(_RISE, _GAP))
        found |= _histogram(job, draw(st.lists(_STEPS, min_size=1, max_size=12)))
    return {name: " ".join(values) for name, values in found.items()}


_STEPS = st.tuples(*(st.integers(0, 3) for _ in _BOUNDS))


def _histogram(job: str, steps: list[tuple[int, ...]]) -> dict[str, list[str]]:
    """Cumulative buckets, which start anew when all of a step is zero."""
    rows: dict[str, list[str]] = {f'h_bucket{{job="{job}", le="{bound}"}}': [] for bound in _BOUNDS}
    totals = [0] * len(_BOUNDS)
    for step in chain(*([steps] * (COUNT // len(steps)))):
        totals = (
            [a + b for a, b in zip(totals, accumulate(step), strict=True)]
            if any(step)
            else [0] * len(_BOUNDS)
        )
        for row, total in zip(rows.values(), totals, strict=True):
            row.append(str(total))
    return rows
