"""Whatever a handler answers, `step` refuses a transition that is not in the table."""

import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.states import TRANSITIONS, IllegalTransitionError
from rollbackd.incidents.step import _HANDLERS, step
from rollbackd.model.incidents import TERMINAL, State
from tests.incidents.samples import NOW, evidence_of, opened


def test_step_refuses_every_pair_that_is_not_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """And takes every pair that is."""
    refused = 0
    for before, after in itertools.product(State, State):
        incident = replace(opened(), state=before, evidence=evidence_of(), frozen_at_ms=NOW)

        def answer(incident: Any, _event: Any, _now_ms: int, to: State = after) -> Any:
            return replace(incident, state=to), {}

        monkeypatch.setitem(_HANDLERS, m.Resumed, answer)
        if after in TRANSITIONS[before] or (before is after and incident.is_open):
            assert step(incident, m.Resumed(epoch=8), NOW)[0].state is after
        else:
            with pytest.raises(IllegalTransitionError):
                step(incident, m.Resumed(epoch=8), NOW)
            refused += 1
    stays = len(State) - len(TERMINAL)
    assert refused == len(State) ** 2 - stays - sum(map(len, TRANSITIONS.values()))
