"""Answers of other versions: poisoned caches, mixed versions, index mismatch (W8, W9, W11).

The rollout always changes the index, so that the pins say what the symptom says (K8).
"""

from typing import Final

from rollbackd.app.generating.conditions import Arm, Injection
from rollbackd.app.generating.scenario import Change, Scenario

_BRANCH: Final = "retriever_mismatch"

VERSIONS: Final = (
    Scenario(
        name="cache-foreign-pins",
        about="cache hits of the baseline return entries that the canary's index made",
        line="W8",
        branch=_BRANCH,
        change=Change.INDEX,
        injections=(
            Injection(
                quantity="foreign_entries", by=(0.02, 0.3), onset=(60, 300), arm=Arm.BASELINE
            ),
        ),
    ),
    Scenario(
        name="cache-unkeyed",
        about="the canary's cache keys do not name the prompt version",
        line="W8",
        branch=_BRANCH,
        change=Change.INDEX,
        injections=(Injection(quantity="unkeyed_entries", by=(0.05, 1.0), onset=(60, 300)),),
    ),
    Scenario(
        name="cache-shadow",
        about="entries that shadow traffic wrote are read by live requests",
        line="W8",
        branch=_BRANCH,
        change=Change.INDEX,
        injections=(
            Injection(quantity="shadow_entries", by=(0.02, 0.2), onset=(60, 300), arm=Arm.BOTH),
        ),
    ),
    Scenario(
        name="mixed-versions",
        about="some processes of the baseline answer with the canary's index",
        line="W9",
        branch=_BRANCH,
        change=Change.INDEX,
        injections=(
            Injection(quantity="stray_index", by=(0.03, 0.4), onset=(60, 300), arm=Arm.BASELINE),
        ),
    ),
    Scenario(
        name="sticky-breaks",
        about="the router forgets whom it sent where: users meet both arms in turn",
        line="W9",
        branch=_BRANCH,
        change=Change.INDEX,
        injections=(
            Injection(quantity="strayed_users", by=(0.05, 0.4), onset=(60, 300), arm=Arm.BOTH),
        ),
    ),
    Scenario(
        name="index-mismatch",
        about="one or two retrievers of the baseline read an index that nobody rolled out",
        line="W11",
        branch=_BRANCH,
        change=Change.INDEX,
        injections=(
            Injection(quantity="wrong_index", by=(1.0, 2.0), onset=(60, 300), arm=Arm.BASELINE),
        ),
    ),
    Scenario(
        name="analyzer-mismatch",
        about="a retriever reads the right index, but analyses the text otherwise",
        line="W11",
        branch=_BRANCH,
        change=Change.INDEX,
        injections=(
            Injection(quantity="wrong_analyzer", by=(1.0, 1.0), onset=(60, 300), arm=Arm.BASELINE),
        ),
    ),
)
