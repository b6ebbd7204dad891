"""`rollbackd test`."""


def test() -> None:
    """Run."""
