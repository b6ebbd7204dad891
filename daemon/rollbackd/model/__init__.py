"""Frozen values and closed enums that every room shares.

All times are integer milliseconds since the Unix epoch; all durations are milliseconds.
"""
