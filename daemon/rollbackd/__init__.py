"""rollbackd: fires the rollback runbook by itself, and never forgets to unfreeze."""

__version__ = "0.1.0"
