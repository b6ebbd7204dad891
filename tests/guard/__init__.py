"""The guard, against a real Redis."""
