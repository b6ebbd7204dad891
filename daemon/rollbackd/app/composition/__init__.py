"""How the parts of a daemon are put together, one subject a file; `parts` is the whole of it."""
