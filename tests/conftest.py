"""Fixtures that every suite shares."""

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.services.fixtures"]

# How long an example takes says how busy the machine is.
settings.register_profile("any", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any")
# CI must not depend on the luck of a seed; a developer's run looks for new examples each time.
settings.register_profile("ci", derandomize=True)
# For a search of its own: pytest TEST --hypothesis-profile long --timeout 0
settings.register_profile("long", max_examples=10_000)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI, run what waits for other processes once more before it counts as failed.

    A machine that gives a server no time for some seconds is no news about rollbackd. The run
    lists each `RERUN` at its end: one that comes back is a defect, here or there.
    """
    if os.environ.get("CI"):
        for item in items:
            if item.get_closest_marker("services") or item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the first try of a test that was run again has failed of."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"first try of {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)
