"""One arm of one service: what it runs with, how it does now, and what it did lately."""

import random
from collections import deque
from typing import Final

from rollbackd.app.generating.conditions import Arm, Condition, condition_at
from rollbackd.app.generating.plans import Plan
from rollbackd.app.generating.versions import GOOD_PINS, canary_pins, namespace
from rollbackd.model.pins import Pins

#: Two arms with the same code are never quite alike: other hosts, other users.
_LATENCY_NOISE: Final = 0.03
_DELTA_S_NOISE: Final = 0.006
#: Answers that a baseline window is made of at most.
_KEPT: Final = 20_000


class Side:
    """The state of one arm; `refresh` once a second."""

    def __init__(self, plan: Plan, where: int, arm: Arm, chance: random.Random) -> None:
        self.arm = str(arm)
        self.pins: Pins = GOOD_PINS if arm is Arm.BASELINE else canary_pins(plan.scenario.change)
        self.namespace = namespace(self.pins)
        self.condition = Condition()
        self.latency_noise = chance.gauss(1.0, _LATENCY_NOISE)
        self.delta_s_noise = chance.gauss(0.0, _DELTA_S_NOISE)
        #: Whether answers are kept for the baseline window.
        self.measuring = arm is Arm.BASELINE
        #: ΔS, coverage, latency, tokens and cost of the last ones.
        self.answers: deque[tuple[float, float, float, int, float]] = deque(maxlen=_KEPT)
        #: Of the cost window that is going on.
        self.solved = 0
        self.cost = 0.0
        self._usual = Condition()
        self._injections = [i for i in plan.injections if i.where == where and i.touches(arm)]

    def refresh(self, at_ms: int) -> None:
        """Take what acts on the arm at a time."""
        if self._injections:
            self.condition = condition_at(self._usual, self._injections, at_ms)
