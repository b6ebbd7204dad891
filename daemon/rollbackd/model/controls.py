"""The switches that applications read.

A control has an *intent*, which the rollout sets, and a *trip*, which an incident lays over it.
Applications see the effective value: the trip where there is one. The two are kept apart so that a
rollout which raises its canary weight during an incident does not undo the rollback.
"""

from enum import StrEnum
from typing import Final

import msgspec

#: A control's value: a JSON object.
ControlValue = dict[str, object]


class Kind(StrEnum):
    """The family of a control; a control's name is the kind, or `kind:name`."""

    #: `{"baseline_weight": 0.9, "canary_weight": 0.1, "global_off": false}`
    FLAG = "flag"
    #: `{"index": "docs_vA"}`
    ALIAS = "alias"
    #: `{"target": "blue"}`
    POINTER = "pointer"
    #: Version pins by canonical name: `{"PROMPT_VER": "p-12"}`
    PINS = "pins"
    #: `{"level": 0}`; 0 normal, 1 skip rerank, 2 lower k, 3 short chain, 4 cite only
    DEGRADE = "degrade"
    #: `{"blocked": true, "scope": "non_idempotent", "retry_after_seconds": 30}`
    WRITES = "writes"
    #: `{"generation": 7, "namespace": "9f2c"}`; the generation only grows
    CACHE = "cache"
    #: `{"requests_per_second": 20, "burst": 40, "breaker": "closed"}`
    THROTTLE = "throttle"
    #: `{"paused": true, "groups": ["billing"]}`: Kafka consumer groups; none named are all
    CONSUMERS = "consumers"


#: What an application sees where nothing was ever written.
DEFAULTS: Final[dict[Kind, ControlValue]] = {
    Kind.FLAG: {"baseline_weight": 1.0, "canary_weight": 0.0, "global_off": False},
    Kind.ALIAS: {"index": ""},
    Kind.POINTER: {"target": ""},
    Kind.PINS: {},
    Kind.DEGRADE: {"level": 0},
    Kind.WRITES: {"blocked": False, "scope": "none", "retry_after_seconds": 0},
    Kind.CACHE: {"generation": 0, "namespace": ""},
    Kind.THROTTLE: {"requests_per_second": None, "burst": None, "breaker": "closed"},
    Kind.CONSUMERS: {"paused": False, "groups": []},
}


def kind_of(name: str) -> Kind:
    """The kind of a control named `kind` or `kind:name`. Raises ValueError."""
    return Kind(name.partition(":")[0])


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """One control of a scope as it stands.

    `version` counts every change and is what compare-and-set compares; `epoch` is the highest one
    that has written the scope's trip, 0 when none has.
    """

    name: str
    intent: ControlValue | None = None
    trip: ControlValue | None = None
    version: int = 0
    epoch: int = 0
    op_id: str = ""
    incident_id: str = ""
    updated_at_ms: int = 0

    @property
    def effective(self) -> ControlValue:
        """What applications obey: the trip, else the intent, else the kind's default."""
        if self.trip is not None:
            return self.trip
        return self.intent if self.intent is not None else DEFAULTS[kind_of(self.name)]


class WriteResult(StrEnum):
    """How a control write ended."""

    #: It took effect now.
    APPLIED = "applied"
    #: The same `op_id` had taken effect before; nothing changed.
    REPLAYED = "replayed"
    #: A higher epoch has written this scope; nothing changed.
    STALE_EPOCH = "stale_epoch"
    #: The version was not the expected one; nothing changed.
    CONFLICT = "conflict"


class ControlWrite(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a write, with the control as it stands after it."""

    result: WriteResult
    control: Control
