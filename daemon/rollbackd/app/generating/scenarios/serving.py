"""Errors, limits, latency and cost (W5 to W7, D3)."""

from typing import Final

from rollbackd.app.generating.conditions import Arm, Injection
from rollbackd.app.generating.scenario import Change, Scenario

_BRANCH: Final = "cost_or_latency"

SERVING: Final = (
    Scenario(
        name="errors-canary",
        about="the canary's build answers 2 to 8 % of its requests with 5xx",
        line="W5",
        branch="quality_regression",
        injections=(Injection(quantity="errors", by=(0.02, 0.08), onset=(60, 300)),),
    ),
    Scenario(
        name="errors-everywhere",
        about="something behind both arms fails: 2 to 8 % of all requests end in 5xx",
        line="W5",
        branch=_BRANCH,
        injections=(Injection(quantity="errors", by=(0.02, 0.08), onset=(60, 300), arm=Arm.BOTH),),
    ),
    Scenario(
        name="throttle-storm",
        about="the model provider refuses 5 to 15 % with 429, and backoff does not calm it",
        line="W6",
        branch=_BRANCH,
        injections=(
            Injection(quantity="throttled", by=(0.05, 0.15), onset=(60, 240), arm=Arm.BOTH),
        ),
    ),
    Scenario(
        name="latency-doubles",
        about="the canary's chain is longer: every request takes 2.5 to 4 times as long",
        line="W7",
        branch=_BRANCH,
        injections=(Injection(quantity="latency", by=(2.5, 4.0), onset=(60, 300), ramp=(0, 60)),),
    ),
    Scenario(
        name="latency-tail",
        about="most of the canary is as fast as ever, but 4 to 10 % of it hang",
        line="W7",
        branch=_BRANCH,
        injections=(Injection(quantity="slow", by=(0.04, 0.1), onset=(60, 300), ramp=(0, 30)),),
    ),
    Scenario(
        name="cost-blow-up",
        about="the canary's model writes 1.8 to 4 times as many tokens for the same answers",
        line="D3",
        branch=_BRANCH,
        change=Change.MODEL,
        injections=(Injection(quantity="tokens", by=(1.8, 4.0), onset=(60, 300), ramp=(0, 90)),),
    ),
)
