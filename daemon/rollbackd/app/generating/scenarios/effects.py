"""Side effects that happen more than once (W10)."""

from typing import Final

from rollbackd.app.generating.conditions import Injection
from rollbackd.app.generating.scenario import Scenario

_BRANCH: Final = "duplicate_effects"

EFFECTS: Final = (
    Scenario(
        name="double-effects",
        about="the canary applies an effect again after a timeout: one key, two effect ids",
        line="W10",
        branch=_BRANCH,
        # A slow canary has about a hundred effects until the end: one of them has to be doubled.
        injections=(Injection(quantity="doubled_effects", by=(0.08, 0.3), onset=(60, 300)),),
    ),
    Scenario(
        name="conflict-rise",
        about="the canary uses idempotency keys for other bodies: dedupe conflicts rise",
        line="W10",
        branch=_BRANCH,
        injections=(Injection(quantity="conflicts", by=(0.1, 0.4), onset=(60, 300)),),
    ),
)
