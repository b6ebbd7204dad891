"""What the end-to-end tests share."""

import uuid
from collections.abc import Iterator

import pytest


@pytest.fixture
def scope(request: pytest.FixtureRequest) -> Iterator[str]:
    """A scope that no other test uses."""
    yield f"rag-{uuid.uuid4().hex[:8]}/eu"
