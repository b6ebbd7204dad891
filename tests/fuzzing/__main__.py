"""`python -m tests.fuzzing [--cases N] [--seed N] [--only CASE]`: random texts, no surprises."""

import argparse
import random
import sys
import time
import traceback
import warnings

from tests.fuzzing.targets import Targets, case

_MILLION = 1_000_000
_REPORT_EVERY = 100_000


def main() -> int:
    """Run the cases; the exit code is 1 when one raised what it should not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--cases", type=int, default=_MILLION, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, help="where they begin (by default anywhere)")
    parser.add_argument("--only", type=int, metavar="CASE", help="this one alone")
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    numbers = range(options.cases) if options.only is None else (options.only,)
    warnings.simplefilter("error")
    targets, faults, began = Targets(), 0, time.monotonic()
    _say(f"seed {seed}")
    for done, number in enumerate(numbers, 1):
        try:
            targets.run(seed, number)
        except Exception:  # noqa: BLE001 - that is what is looked for
            faults += 1
            _say(f"\ncase {number}: python -m tests.fuzzing --seed {seed} --only {number}")
            _say("{}: {!r}\n{}".format(*case(seed, number), traceback.format_exc()))
        if done % _REPORT_EVERY == 0:
            _say(f"{done:,} cases, {faults} faults, {time.monotonic() - began:.0f} s")
    _summarize(targets)
    _say(f"{len(numbers):,} cases of seed {seed}: {faults} faults")
    return min(faults, 1)


def _summarize(targets: Targets) -> None:
    for kind, counts in targets.counts.items():
        _say(f"{kind}: {counts.cases:,} cases, {counts.loaded:,} loaded")
        for id_, count in sorted(counts.refused.items(), key=lambda pair: -pair[1]):
            _say(f"    {count:>9,} {id_}")
    _say(f"{targets.evaluated:,} evaluated, {targets.failed:,} of them with an evaluation error")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
