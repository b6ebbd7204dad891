"""The service in the demo, where it meets rollbackd: what its controls say, in its own terms.

This is what any application has to do to be rolled back: read the effective controls and obey
them. How it obeys is the generator's service; see `rollbackd.app.generating.switches`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rollbackd.app.generating.switches import Switches
from rollbackd.model.controls import DEFAULTS, ControlValue, Kind
from rollbackd.model.labels import Scope

FLAG: Final = "flag:canary"

#: Where a limit names none.
_BURST: Final = 40.0


@dataclass(slots=True)
class Application:
    """The service; `controls` is what it last read."""

    controls: Mapping[str, ControlValue] = field(default_factory=dict)

    def read(self, _scope: Scope, _at_ms: int) -> Switches:
        """Implements `Reading` for the one scope of the demo."""
        flag, throttle = self._control(FLAG, Kind.FLAG), self._control("throttle", Kind.THROTTLE)
        limit = throttle.get("requests_per_second")
        return Switches(
            # The trip switch first, then the weight.
            canary_share=0.0 if flag.get("global_off") else _number(flag.get("canary_weight"), 0.0),
            cache_generation=int(
                _number(self._control("cache", Kind.CACHE).get("generation"), 0.0)
            ),
            writes_blocked=bool(self._control("writes", Kind.WRITES).get("blocked")),
            degrade_level=int(_number(self._control("degrade", Kind.DEGRADE).get("level"), 0.0)),
            requests_per_second=None if limit is None else _number(limit, 0.0),
            burst=_number(throttle.get("burst"), _BURST),
            breaker_open=throttle.get("breaker") == "open",
        )

    def _control(self, name: str, kind: Kind) -> ControlValue:
        return self.controls.get(name, DEFAULTS[kind])


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
