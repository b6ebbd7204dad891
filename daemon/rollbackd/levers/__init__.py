"""The levers by the names that the decision tree uses. Adding one is a file and a line here."""

from typing import Final

from rollbackd.clock import Clock
from rollbackd.levers.alias_revert import AliasRevert
from rollbackd.levers.cache_rotate import CacheRotate
from rollbackd.levers.control_lever import ControlLever
from rollbackd.levers.degrade import Degrade
from rollbackd.levers.flag_off import FlagOff
from rollbackd.levers.pointer_flip import PointerFlip
from rollbackd.levers.repin import Repin
from rollbackd.levers.throttle import Throttle
from rollbackd.levers.write_block import WriteBlock
from rollbackd.model.levers import LeverSpec
from rollbackd.ports import Controls, LeverTable

LEVERS: Final[dict[str, type[ControlLever]]] = {
    "alias_revert": AliasRevert,
    "cache_rotate": CacheRotate,
    "degrade": Degrade,
    "flag_off": FlagOff,
    "pointer_flip": PointerFlip,
    "repin": Repin,
    "throttle": Throttle,
    "write_block": WriteBlock,
}

#: What the decision tree may say of each lever.
LEVER_SPECS: Final[dict[str, LeverSpec]] = {
    name: LeverSpec(kind=lever.kind, params=tuple(lever.defaults)) for name, lever in LEVERS.items()
}


def build_levers(controls: Controls, clock: Clock) -> LeverTable:
    """Every lever on these controls."""
    return {name: lever(controls, clock) for name, lever in LEVERS.items()}
