"""Deterministic simulation: the production code on a virtual clock, under drawn faults.

In the manner of FoundationDB's simulator (https://apple.github.io/foundationdb/testing.html) and of
TigerBeetle's VOPR: one seed decides everything that happens, and whatever goes wrong can be played
again.
"""
