"""Every seam, one subject a file.

Only two errors cross a seam: TemporaryError, which says when another try makes sense, and
PermanentError. Retries, deadlines and metrics are wrappers outside; an adapter has none of them.
Cancelling a call leaves the adapter usable; whether the effect happened is then unknown, and the
caller reads the target to find out.
"""

from rollbackd.ports.controls import Controls, LastKnown
from rollbackd.ports.evidence import Auditor, Capture, FreezeProbes, Reporter, Targets, Windows
from rollbackd.ports.known_good import KnownGoodDesk, LiveState, Recorded
from rollbackd.ports.levers import FencedOffError, Lever, LeverTable, TargetMovedError
from rollbackd.ports.notifications import Notifier
from rollbackd.ports.operations import IncidentDetail, Operations
from rollbackd.ports.receipts import Listing, OpenEffects, ReceiptLedger, Reconciler
from rollbackd.ports.scorers import Scorer
from rollbackd.ports.sources import FactSink, Sink, Source
from rollbackd.ports.store import (
    DeadLetter,
    InboxEntry,
    Pause,
    ScopeBusyError,
    StaleIncidentError,
    Store,
)

__all__ = [
    "Auditor",
    "Capture",
    "Controls",
    "DeadLetter",
    "FactSink",
    "FencedOffError",
    "FreezeProbes",
    "InboxEntry",
    "IncidentDetail",
    "KnownGoodDesk",
    "LastKnown",
    "Lever",
    "LeverTable",
    "Listing",
    "LiveState",
    "Notifier",
    "OpenEffects",
    "Operations",
    "Pause",
    "ReceiptLedger",
    "Reconciler",
    "Recorded",
    "Reporter",
    "ScopeBusyError",
    "Scorer",
    "Sink",
    "Source",
    "StaleIncidentError",
    "Store",
    "TargetMovedError",
    "Targets",
    "Windows",
]
