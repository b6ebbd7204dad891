"""What an incident leaves behind: the capture before the first act, the audit, the post-mortem."""
