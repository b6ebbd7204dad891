"""Detectors: what PromQL cannot say with bounded labels, as operators on single facts.

Each is one file, pure and bounded in memory, and writes ordinary series at event time. See
docs/detectors.md.
"""

from rollbackd.triggers.detectors.bank import DetectorBank
from rollbackd.triggers.detectors.detector import Expected, IndexExpected, NothingExpected

__all__ = ["DetectorBank", "Expected", "IndexExpected", "NothingExpected"]
