"""What the end-to-end tests share."""

import uuid

import pytest


@pytest.fixture
def scope() -> str:
    """A scope that no other test uses."""
    return f"rag-{uuid.uuid4().hex[:8]}/eu"
