"""YAML text -> rules and unit tests in Prometheus's formats, with positions and diagnostics.

Knows nothing of evaluation: expressions are text that knows where it stands.
"""
