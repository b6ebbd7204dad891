"""Answers get worse: ΔS drift, coverage, λ flips, tool loops (W1 to W4)."""

from typing import Final

from rollbackd.app.generating.conditions import Injection
from rollbackd.app.generating.scenario import Change, Scenario

_BRANCH: Final = "quality_regression"

QUALITY: Final = (
    Scenario(
        name="delta-s-drift",
        about="the canary's prompt pack makes answers drift off what was retrieved within a minute",
        line="W1",
        branch=_BRANCH,
        injections=(
            Injection(quantity="delta_s", by=(0.19, 0.35), onset=(60, 300), ramp=(0, 60)),
            Injection(quantity="coverage", by=(-0.12, -0.04), onset=(60, 300), ramp=(0, 60)),
        ),
    ),
    Scenario(
        name="delta-s-slow-drift",
        about="the same, but it takes five to eight minutes to get that bad",
        line="W1",
        branch=_BRANCH,
        injections=(
            Injection(quantity="delta_s", by=(0.24, 0.36), onset=(0, 120), ramp=(300, 480)),
        ),
    ),
    Scenario(
        name="index-drift",
        about="a new index on the canary retrieves the wrong sections: ΔS up, coverage down",
        line="W1",
        change=Change.INDEX,
        injections=(
            Injection(quantity="delta_s", by=(0.2, 0.34), onset=(60, 300), ramp=(0, 30)),
            Injection(quantity="coverage", by=(-0.36, -0.28), onset=(60, 300), ramp=(0, 30)),
        ),
    ),
    Scenario(
        name="coverage-drop",
        about="the canary's answers cite too little of what they should",
        line="W2",
        branch=_BRANCH,
        injections=(
            Injection(quantity="coverage", by=(-0.45, -0.28), onset=(60, 300), ramp=(0, 90)),
            Injection(quantity="delta_s", by=(0.0, 0.08), onset=(60, 300), ramp=(0, 90)),
        ),
    ),
    Scenario(
        name="lambda-flips",
        about="the canary's new model answers paraphrases of one question differently",
        line="W3",
        branch=_BRANCH,
        change=Change.MODEL,
        injections=(
            Injection(quantity="divergence", by=(0.14, 0.5), onset=(60, 300), ramp=(0, 30)),
        ),
    ),
    Scenario(
        name="tool-loops",
        about="the canary's prompt pack makes requests call one tool again and again",
        line="W4",
        branch=_BRANCH,
        injections=(
            Injection(quantity="tool_loops", by=(0.01, 0.08), onset=(60, 300), ramp=(0, 60)),
            Injection(quantity="tokens", by=(1.0, 1.15), onset=(60, 300), ramp=(0, 60)),
        ),
    ),
)
