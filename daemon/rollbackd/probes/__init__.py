"""What proves that writers stand still: refused writes, idle consumers, acknowledgements.

A freeze whose fence was read back may still let writes pass, when a service does not obey it
(requirements C2, F2). Each probe is asked once a round and never raises.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from rollbackd.connections.redis import RedisConnection
from rollbackd.errors import RollbackdError
from rollbackd.model.incidents import Confirmation, Incident
from rollbackd.model.policy import FreezeProbe
from rollbackd.probes.acknowledgements import AcknowledgementsProbe
from rollbackd.probes.consumers import ConsumersProbe
from rollbackd.probes.write import WriteProbe
from rollbackd.settings import KafkaSettings

logger = logging.getLogger(__name__)

#: One probe may take this long.
DEADLINE_SECONDS: Final = 3.0

#: Asks one probe; raises whatever its client raises.
Ask = Callable[[Incident, dict[str, object]], Awaitable[Confirmation]]


class Probes:
    """Implements `ports.FreezeProbes`."""

    def __init__(self, kafka: KafkaSettings | None, redis: RedisConnection | None = None) -> None:
        self._asks: dict[str, Ask] = {
            "write": WriteProbe().ask,
            "consumers": ConsumersProbe(kafka).ask,
            "acknowledgements": AcknowledgementsProbe(redis).ask,
        }

    async def confirm(self, incident: Incident, probe: FreezeProbe) -> Confirmation:
        """Ask one probe once; whatever fails confirms nothing."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self._asks[probe.kind](incident, probe.params)
        except TimeoutError:
            because = f"no answer within {DEADLINE_SECONDS:g} s"
        except (RollbackdError, OSError) as error:
            because = str(error) or type(error).__name__
        except Exception as error:  # an incident waits: nothing that fails here may hold it up
            logger.exception("a probe failed", extra={"incident": incident.id, "probe": probe.kind})
            because = type(error).__name__
        return Confirmation(probe=probe.kind, confirmed=False, detail=because)
