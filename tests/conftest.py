"""Fixtures that every suite shares."""

pytest_plugins = ["tests.services.fixtures"]
