"""The one composition root: build, start, reload, stop."""
