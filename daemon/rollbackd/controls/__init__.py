"""The switches that applications read: an intent and a trip per control, fenced by epoch."""
