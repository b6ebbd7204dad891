"""How far the journal of each incident has been published, in a file that survives a restart."""

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec

logger = logging.getLogger(__name__)

#: Incidents that are remembered after the last of their records was published.
_REMEMBERED: Final = 2_000


class Progress(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The file. Every incident opened before `as_of_ms` is in `published`, or all of it is out.

    `published` holds the sequence of the last record that the broker acknowledged, by incident.
    """

    version: Literal[1] = 1
    as_of_ms: int | None = None
    published: dict[str, int] = {}


class Cursor:
    """Progress in memory; `save` makes it durable. Losing it costs duplicates, never an event."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._progress = Progress()
        self._changed = False
        self._failing = False

    @property
    def as_of_ms(self) -> int | None:
        """Up to when the file speaks for all incidents; None without a file."""
        return self._progress.as_of_ms

    def published(self, incident_id: str) -> int:
        """The sequence of the last record that is out; 0 for none."""
        return self._progress.published.get(incident_id, 0)

    def unfinished(self, incident_id: str) -> bool:
        """Whether the file names the incident."""
        return incident_id in self._progress.published

    def advance(self, incident_id: str, sequence: int) -> None:
        """The record is with the broker."""
        self._progress.published.pop(incident_id, None)
        self._progress.published[incident_id] = sequence
        self._changed = True

    async def load(self) -> None:
        """Read the file; one that cannot be used counts as none."""
        try:
            self._progress = await asyncio.to_thread(self._read)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as error:
            logger.error(  # noqa: TRY400  # the file is at fault, not the program
                "the record of what was published is unusable; open incidents are published anew",
                extra={"file": str(self._path), "because": str(error)},
            )

    async def save(self, behind: Iterable[str], now_ms: int) -> None:
        """Write the file if there is news; `behind` are incidents with records still to publish."""
        if not self._changed:
            return
        for incident_id in behind:
            self._progress.published.setdefault(incident_id, 0)
        over = len(self._progress.published) - _REMEMBERED
        busy = set(behind)
        for incident_id in [i for i in self._progress.published if i not in busy][: max(0, over)]:
            del self._progress.published[incident_id]
        self._progress.as_of_ms = now_ms
        try:
            await asyncio.to_thread(self._write, msgspec.json.encode(self._progress))
        except OSError as error:
            level = logging.DEBUG if self._failing else logging.ERROR
            because = {"file": str(self._path), "because": error.strerror}
            logger.log(level, "what was published was not noted down", extra=because)
            self._failing = True
        else:
            self._changed = self._failing = False

    def _read(self) -> Progress:
        return msgspec.json.decode(self._path.read_bytes(), type=Progress)

    def _write(self, content: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
