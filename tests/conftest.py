"""Fixtures that every suite shares."""

import os

from hypothesis import settings

pytest_plugins = ["tests.services.fixtures"]

# CI must not depend on the luck of a seed; a developer's run looks for new examples each time.
settings.register_profile("ci", derandomize=True)
# For a search of its own: pytest TEST --hypothesis-profile long --timeout 0
settings.register_profile("long", max_examples=10_000)
if os.environ.get("CI"):
    settings.load_profile("ci")
