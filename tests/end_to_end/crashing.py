"""`rollbackd` that kills itself with SIGKILL at a chosen journal write or control write.

Run as `python -m tests.end_to_end.crashing run --config FILE`. The file named by CRASH_PLAN holds
the point: `Sealed:rotating:1` kills right after the first record of that event and state was
committed, `trip:2` after the second control write took effect, before its seal. It is used up once.
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rollbackd.app.daemon import Daemon
from rollbackd.model.incidents import JournalRecord
from rollbackd.settings import load_settings
from rollbackd.telemetry import configure_logging


class Crashing:
    """Passes every call on to the real adapter, and dies at the planned point."""

    def __init__(self, inner: Any, plan: Path) -> None:
        self._inner = inner
        self._plan = plan
        self._seen: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def open_incident(self, incident: Any, record: JournalRecord) -> None:
        await self._inner.open_incident(incident, record)
        self._passed(point_of(record))

    async def advance(self, incident: Any, records: Sequence[JournalRecord]) -> None:
        await self._inner.advance(incident, records)
        for record in records:
            self._passed(point_of(record))

    async def set_trip(self, *args: Any, **kwargs: Any) -> Any:
        result = await self._inner.set_trip(*args, **kwargs)
        self._passed("trip")
        return result

    def _passed(self, point: str) -> None:
        self._seen[point] += 1
        if self._plan.exists() and self._plan.read_text() == f"{point}:{self._seen[point]}":
            self._plan.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def point_of(record: JournalRecord) -> str:
    """What happened, and what state it led to."""
    return f"{record.kind}:{record.to_state}"


async def life(config: Path, plan: Path) -> None:
    settings = load_settings(config)
    configure_logging(level=settings.log_level)
    daemon = Daemon(
        settings,
        wrap_store=lambda store: Crashing(store, plan),  # type: ignore[arg-type,return-value]
        wrap_controls=lambda controls: Crashing(controls, plan),  # type: ignore[arg-type,return-value]
    )
    await daemon.run()


if __name__ == "__main__":
    asyncio.run(life(Path(sys.argv[-1]), Path(os.environ["CRASH_PLAN"])))
