"""The post-mortem on disk: `bundle.json` for machines, `report.md` and `report.html` for people.

Where receipts were compared with what is there downstream, `reconciliation.json` says what came of
it.
"""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rollbackd.documents.canonical_json import canonical_json
from rollbackd.evidence.bundle import (
    Aftermath,
    BundleError,
    bundle_of,
    encode_bundle,
    flaw_in,
    read_bundle,
)
from rollbackd.evidence.markdown import render_markdown
from rollbackd.evidence.page import render_page
from rollbackd.evidence.pins import PinsTable
from rollbackd.evidence.sources import bounded
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.ports import Controls

#: How long the controls may take to be read at the end.
DEADLINE_SECONDS: Final = 5.0

BUNDLE: Final = "bundle.json"
MARKDOWN: Final = "report.md"
PAGE: Final = "report.html"
RECONCILIATION: Final = "reconciliation.json"


class FileReporter:
    """Writes the files into `<folder>/<incident id>/`, each by rename; the report comes last."""

    def __init__(self, folder: Path, *, controls: Controls, pins: PinsTable) -> None:
        # Who is told where a report is may be in another folder than the daemon.
        self._folder = folder.absolute()
        self._controls = controls
        self._pins = pins

    def path_of(self, incident_id: str) -> Path:
        """Where the report of an incident is, or will be."""
        return self._folder / incident_id / MARKDOWN

    async def write(self, incident: Incident, journal: Sequence[JournalRecord]) -> str:
        """Write bundle and report as things stand; returns the report's path. Raises OSError."""
        after = await self._aftermath(incident)
        path = self.path_of(incident.id)
        await asyncio.to_thread(_write_report, path.parent, incident, journal, after)
        return str(path)

    async def page(self, incident_id: str) -> bytes | None:
        """`report.html`, or None when there is none. Raises OSError."""
        path = self._folder / incident_id / PAGE
        return await asyncio.to_thread(_content, path)

    async def flaw(self, incident: Incident, journal: Sequence[JournalRecord]) -> str:
        """Why the bundle proves nothing of this incident, or an empty text. Raises OSError."""
        path = self._folder / incident.id / BUNDLE
        body = await asyncio.to_thread(_content, path)
        return "the evidence bundle is absent" if body is None else _flaw(body, incident, journal)

    async def _aftermath(self, incident: Incident) -> Aftermath:
        unavailable: list[str] = []
        scope = incident.scope
        controls = await bounded(
            "controls", lambda: self._controls.read_all(scope), unavailable, DEADLINE_SECONDS
        )
        return Aftermath(
            pins_seen=self._pins.of(scope),
            controls={name: c.effective for name, c in sorted((controls or {}).items())},
            unavailable=unavailable,
        )


def _write_report(
    folder: Path, incident: Incident, journal: Sequence[JournalRecord], after: Aftermath
) -> None:
    bundle = bundle_of(incident, journal, after)
    files = {
        BUNDLE: encode_bundle(bundle),
        PAGE: render_page(bundle).encode(),
        MARKDOWN: render_markdown(bundle).encode(),
    }
    if incident.reconciliation is not None:
        compared = {
            "incident_id": incident.id,
            "reconciliation": incident.reconciliation,
            "accepted": incident.accepted_items,
        }
        files[RECONCILIATION] = canonical_json(compared) + b"\n"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _write(folder / name, content)
    _sync(folder)


def _flaw(body: bytes, incident: Incident, journal: Sequence[JournalRecord]) -> str:
    try:
        bundle = read_bundle(body)
    except BundleError as error:
        return f"the evidence bundle cannot be read: {error}"
    if flaw := flaw_in(bundle):
        return f"the evidence bundle is not as it was written: {flaw}"
    hashes = [record.audit_hash for record in journal]
    written = [str(record.get("audit_hash") or "") for record in bundle["journal"]]
    # a root cause that was filed, and whose report was not written again, is no flaw
    if bundle["incident"].get("id") != incident.id or hashes[: len(written)] != written:
        return "the evidence bundle is not of this journal"
    return ""


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        whole = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            whole.replace(path)
        except BaseException:
            whole.unlink()
            raise


def _sync(folder: Path) -> None:
    """Make the renames durable too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
