"""Nothing may be pulled: healthy rollouts, and what looks like a fault but is none."""

from typing import Final

from rollbackd.app.generating.conditions import Arm, Injection
from rollbackd.app.generating.scenario import Change, Scenario

HEALTHY: Final = (
    Scenario(name="healthy-prompt", about="a new prompt pack that is as good as the old one"),
    Scenario(
        name="healthy-model",
        about="a new model with a small, harmless shift: ΔS up by less than 0.09, a little slower",
        change=Change.MODEL,
        injections=(
            Injection(quantity="delta_s", by=(0.02, 0.09), ramp=(0, 60)),
            Injection(quantity="latency", by=(1.0, 1.25), ramp=(0, 60)),
            Injection(quantity="coverage", by=(-0.06, 0.02), ramp=(0, 60)),
            Injection(quantity="tokens", by=(0.9, 1.15), ramp=(0, 60)),
        ),
    ),
    Scenario(
        name="healthy-index",
        about="a new index on the canary, with retrievers of its own that all read it",
        change=Change.INDEX,
    ),
    Scenario(
        name="staged-rollout",
        about="the canary takes 10 %, 30 % and 50 % of the users, two minutes apart",
        steps=((0.0, 0.1), (120.0, 0.3), (240.0, 0.5)),
    ),
    Scenario(
        name="traffic-spike",
        about="three to five times the requests for some minutes; all a little slower",
        injections=(
            Injection(
                quantity="load", by=(3.0, 5.0), onset=(60, 300), ramp=(5, 30), lasts=(120, 300),
                arm=Arm.BOTH,
            ),
            Injection(
                quantity="latency", by=(1.1, 1.35), onset=(60, 300), ramp=(5, 30),
                lasts=(120, 300), arm=Arm.BOTH,
            ),
        ),
    ),
    Scenario(
        name="cold-start",
        about="the canary's processes start: first requests are slow, and say that they are cold",
        injections=(
            Injection(quantity="cold", by=(0.6, 1.0), lasts=(30, 75)),
            Injection(quantity="cache_hits", by=(-0.35, -0.25), lasts=(60, 180)),
            Injection(quantity="latency", by=(1.05, 1.25), lasts=(60, 180)),
        ),
    ),
    Scenario(
        name="one-user-storm",
        about="one user sends as much as all others together for some minutes, and is throttled",
        injections=(
            Injection(
                quantity="load", by=(1.8, 2.4), onset=(60, 300), lasts=(120, 400), arm=Arm.BOTH
            ),
            Injection(
                quantity="one_user", by=(0.4, 0.55), onset=(60, 300), lasts=(120, 400),
                arm=Arm.BOTH,
            ),
            Injection(
                quantity="throttled", by=(0.002, 0.006), onset=(60, 300), lasts=(120, 400),
                arm=Arm.BOTH,
            ),
        ),
    ),
    Scenario(
        name="throttle-burst",
        about="the provider refuses 5 to 12 % with 429 for a minute or so; backoff calms it",
        injections=(
            Injection(
                quantity="throttled", by=(0.05, 0.12), onset=(60, 300), lasts=(40, 100),
                arm=Arm.BOTH,
            ),
        ),
    ),
    Scenario(
        name="provider-blip",
        about="the provider hiccups: under 0.4 % more 5xx and slower answers for some minutes",
        injections=(
            Injection(
                quantity="errors", by=(0.001, 0.0035), onset=(60, 300), lasts=(60, 240),
                arm=Arm.BOTH,
            ),
            Injection(
                quantity="latency", by=(1.1, 1.4), onset=(60, 300), lasts=(60, 240), arm=Arm.BOTH
            ),
        ),
    ),
    Scenario(
        name="clock-skew",
        about="every third process has a clock that is up to half a minute off",
        injections=(
            Injection(quantity="skew", by=(-30.0, 30.0), onset=(-300, -300), arm=Arm.BOTH),
        ),
    ),
    Scenario(
        name="late-data",
        about="10 to 40 % of the events arrive up to 50 seconds late for some minutes",
        injections=(
            Injection(
                quantity="late", by=(0.1, 0.4), onset=(0, 300), lasts=(120, 480), arm=Arm.BOTH
            ),
        ),
    ),
    Scenario(
        name="night-trough",
        about="the dead of night: too few requests to say anything about the canary",
        traffic=(0.02, 0.06),
    ),
    Scenario(
        name="retriever-restart",
        about="retrievers restart one after the other: some say nothing for a minute",
        injections=(
            Injection(
                quantity="absent_readers", by=(1.0, 2.0), onset=(60, 300), lasts=(40, 120),
                arm=Arm.BASELINE,
            ),
        ),
    ),
    Scenario(
        name="replayed-receipts",
        about="a consumer starts over: receipts come again, with the effect ids that they had",
        injections=(
            Injection(
                quantity="replayed_receipts", by=(0.3, 1.0), onset=(60, 300), lasts=(120, 400),
                arm=Arm.BOTH,
            ),
        ),
    ),
    Scenario(
        name="region-failover",
        about="another region sends its users here: twice the load on colder caches",
        services=2,
        injections=(
            Injection(
                quantity="load", by=(1.8, 2.2), onset=(60, 300), ramp=(10, 40), arm=Arm.BOTH
            ),
            Injection(
                quantity="cache_hits", by=(-0.2, -0.1), onset=(60, 300), ramp=(10, 40),
                arm=Arm.BOTH,
            ),
            Injection(
                quantity="latency", by=(1.05, 1.25), onset=(60, 300), ramp=(10, 40), arm=Arm.BOTH
            ),
            Injection(
                quantity="load", by=(0.02, 0.05), onset=(60, 300), ramp=(10, 40), arm=Arm.BOTH,
                where=1,
            ),
        ),
    ),
)  # fmt: skip
