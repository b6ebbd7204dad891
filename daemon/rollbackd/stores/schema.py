"""The tables of the SQLite store, version by version; a released version is never edited."""

from typing import Final

MIGRATIONS: Final = (
    (
        # latest: the newest of its fingerprint. An alert that turns again moves to the end.
        """
        CREATE TABLE inbox (
          key TEXT PRIMARY KEY,
          sequence INTEGER NOT NULL,
          fingerprint TEXT NOT NULL,
          firing INTEGER NOT NULL,
          latest INTEGER NOT NULL,
          handled INTEGER NOT NULL,
          received_at_ms INTEGER NOT NULL,
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE UNIQUE INDEX inbox_sequence ON inbox (sequence)",
        "CREATE UNIQUE INDEX inbox_latest ON inbox (fingerprint) WHERE latest = 1",
        "CREATE INDEX inbox_unhandled ON inbox (sequence) WHERE handled = 0",
        """
        CREATE INDEX inbox_prunable ON inbox (received_at_ms)
          WHERE handled = 1 AND (latest = 0 OR firing = 0)
        """,
        """
        CREATE TABLE incidents (
          id TEXT PRIMARY KEY,
          scope TEXT NOT NULL,
          open INTEGER NOT NULL,
          version INTEGER NOT NULL,
          opened_at_ms INTEGER NOT NULL,
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE UNIQUE INDEX incidents_open ON incidents (scope) WHERE open = 1",
        "CREATE INDEX incidents_by_age ON incidents (opened_at_ms)",
        """
        CREATE TABLE journal (
          position INTEGER PRIMARY KEY,
          incident_id TEXT NOT NULL REFERENCES incidents (id),
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE INDEX journal_by_incident ON journal (incident_id, position)",
        "CREATE TABLE epochs (scope TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT",
        """
        CREATE TABLE known_good (
          scope TEXT PRIMARY KEY,
          recorded_at_ms INTEGER NOT NULL,
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE TABLE pause (only INTEGER PRIMARY KEY CHECK (only = 1), body BLOB NOT NULL) STRICT",
        "CREATE TABLE dead_letters (position INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT",
    ),
    (
        """
        CREATE TABLE rule_states (
          key TEXT PRIMARY KEY,
          seen_at_ms INTEGER NOT NULL,
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE INDEX rule_states_by_age ON rule_states (seen_at_ms)",
    ),
)
