"""The people and senders around the services."""

import asyncio
import random

from rollbackd.app.simulation.campaign import quiet
from rollbackd.app.simulation.loop import VirtualLoop
from rollbackd.app.simulation.scenario import draw
from rollbackd.app.simulation.trouble import Alertmanager
from rollbackd.app.simulation.world import World


def test_an_alert_is_sent_until_somebody_has_it() -> None:
    """Also when the fault that had it sent is over before there is an owner."""
    loop = VirtualLoop(random.Random(1))
    world = World(draw(0), [], loop)
    alertmanager = Alertmanager(world, world.services[0])

    async def send() -> None:
        sending = asyncio.ensure_future(alertmanager.send("quality_regression", firing=True))
        await asyncio.sleep(1)
        sending.cancel()
        await world.prepare()
        await asyncio.sleep(10)

    with quiet():
        loop.run_until_complete(send())
        loop.close()
    assert [alert.status for alert in alertmanager.acknowledged.values()] == ["firing"]
