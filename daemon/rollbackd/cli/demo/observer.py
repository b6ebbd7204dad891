"""Looks at the daemon as an operator would, through its API, and keeps the scene up to date."""

import asyncio
import contextlib
import math
import time
from typing import Final

from rollbackd.app.generating.conditions import Arm
from rollbackd.cli.answers import IncidentList, QueryAnswer
from rollbackd.cli.client import Api, RefusedError, UnreachableError, convert
from rollbackd.cli.demo.scene import Scene
from rollbackd.cli.demo.traffic import Traffic
from rollbackd.ports import IncidentDetail

#: The left side of the shipped rule `QualityDrift`, without its floor of 200 samples.
DRIFT: Final = (
    'quantile_over_time(0.95, delta_s{arm="canary", cold_start!="true"}[5m])'
    " - on (service, region) group_left baseline:delta_s:p95"
)
#: The exit target that goes on where the canary's series ends.
EXIT_TARGET: Final = "delta_s_p95_drift"
_TICK_SECONDS: Final = 0.15
_SAMPLE_SECONDS: Final = 0.25


class Observer:
    """Polls; writes what it sees into the scene."""

    def __init__(self, api: Api, traffic: Traffic, scene: Scene) -> None:
        self._api = api
        self._traffic = traffic
        self._scene = scene
        self._sampled = 0.0

    async def watch(self) -> None:
        """Look until cancelled; a look that fails is tried again."""
        while True:
            with contextlib.suppress(UnreachableError, RefusedError):
                await self.look()
            await asyncio.sleep(_TICK_SECONDS)

    async def look(self) -> None:
        """One round of looking."""
        scene, traffic = self._scene, self._traffic
        scene.recorded_ms = traffic.recorded_ms
        scene.events_sent = traffic.sent.total()
        scene.controls = dict(traffic.controls)
        scene.during |= {n: c.value for n, c in traffic.controls.items() if c.tripped}
        scene.canary_share = traffic.share(Arm.CANARY)
        scene.shed_share = traffic.shed_share()
        if time.monotonic() - self._sampled >= _SAMPLE_SECONDS and traffic.started_at_ms:
            self._sampled = time.monotonic()
            scene.drift.append(await self._drift())
        incident_id = scene.detail.incident.id if scene.detail else await self._newest()
        if incident_id:
            answer = await self._api.get(f"/api/v1/incidents/{incident_id}")
            scene.detail = convert(answer, IncidentDetail)

    async def _newest(self) -> str:
        answer = await self._api.get("/api/v1/incidents", limit="1")
        found = convert(answer, IncidentList).incidents
        return found[0].id if found else ""

    async def _drift(self) -> float | None:
        incident = self._scene.detail.incident if self._scene.detail else None
        if incident is not None and incident.flipped_at_ms is not None:
            # The canary is gone; what counts now is what all users get.
            return next((r.value for r in incident.readings if r.name == EXIT_TARGET), None)
        answer = convert(await self._api.get("/api/v1/query", expr=DRIFT), QueryAnswer)
        values = (element.value for element in answer.vector)
        return max((v for v in values if v is not None and math.isfinite(v)), default=None)
