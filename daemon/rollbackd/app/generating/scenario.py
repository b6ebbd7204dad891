"""The form of a scenario: what the rollout changes, what goes wrong, and what should come of it."""

from enum import StrEnum

import msgspec

from rollbackd.app.generating.conditions import Injection, Span


class Kind(StrEnum):
    """Whether there is something to take back."""

    BAD = "bad"
    #: Odd, perhaps, but nothing may be pulled.
    HEALTHY = "healthy"


class Change(StrEnum):
    """What the canary runs that the baseline does not."""

    PROMPT = "prompt"
    MODEL = "model"
    INDEX = "index"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the catalogue. Everything is a range that a seed picks from.

    `line` is the line of the runbook that should fire (W1 to W11, D3 for cost), empty where nothing
    should; `branch` is the branch of the shipped decision tree that should answer, empty where
    several have the right lever (K8).
    """

    name: str
    about: str
    line: str = ""
    branch: str = ""
    change: Change = Change.PROMPT
    injections: tuple[Injection, ...] = ()
    #: Seconds after the rollout began, and the canary's share of users from then on.
    steps: tuple[tuple[float, float], ...] = ((0.0, 0.3),)
    #: Times the rate that was asked for.
    traffic: Span = (1.0, 1.0)
    #: How many services it needs, the first included.
    services: int = 1

    @property
    def kind(self) -> Kind:
        """Bad when a line of the runbook is meant to fire."""
        return Kind.BAD if self.line else Kind.HEALTHY
