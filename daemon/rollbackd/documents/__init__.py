"""Text documents with positions: guarded YAML in, typed values and diagnostics out."""
