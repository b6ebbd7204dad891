"""The system downstream of a scenario, which lists the effects that it holds."""

from pathlib import Path

from rollbackd.errors import TemporaryError
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import DownstreamEffect, DownstreamPage
from rollbackd.settings.reconciliation import ListingSettings, ReconciliationSettings


class Downstream:
    """Effects by key; `is_down` answers nobody."""

    def __init__(self, *, listed: bool) -> None:
        self.is_down = False
        self.effects_of: dict[str, list[tuple[str, int]]] = {}
        named = ListingSettings(name="downstream", services=["*"], file=Path("nowhere.json"))
        self.settings = ReconciliationSettings(
            listings=[named] if listed else [], lookback=60_000, settle=5_000, timeout=20_000
        )

    def hold(self, key: str, effect_ids: list[str], now_ms: int) -> None:
        """From now on these are there under the key."""
        self.effects_of[key] = [(effect_id, now_ms) for effect_id in effect_ids]

    async def effects(self, scope: Scope, from_ms: int, to_ms: int) -> DownstreamPage:  # noqa: ARG002
        """See `ports.Listing`."""
        if self.is_down:
            raise TemporaryError("the listing is down")
        return DownstreamPage(
            effects=[
                DownstreamEffect(key=key, effect_id=effect_id, time_ms=time_ms)
                for key, held in self.effects_of.items()
                for effect_id, time_ms in held
            ]
        )

    async def close(self) -> None:
        """See `ports.Listing`."""
