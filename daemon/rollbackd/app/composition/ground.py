"""What every part of a daemon stands on."""

import msgspec

from rollbackd.app.backends import Backends
from rollbackd.app.configuration import Configuration
from rollbackd.clock import Clock
from rollbackd.controls.last_known import LastKnownControls
from rollbackd.settings import PinSettings, Settings
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine


class Ground(msgspec.Struct, kw_only=True):
    """Settings, time, metrics and backends stay; the configuration is replaced by a reload."""

    settings: Settings
    clock: Clock
    telemetry: Telemetry
    backends: Backends
    #: The controls of the backends, for readers who must have an answer.
    last_known: LastKnownControls
    configuration: Configuration

    def engine(self) -> Engine:
        """The engine in force. To be asked anew each time: a reload brings another one."""
        return self.configuration.engine

    def pins(self) -> PinSettings:
        """How known good sets are measured and recorded; to be asked anew each time as well."""
        return self.configuration.pins
