"""PromQL on event streams: series with windows, and expressions compiled to operators.

The meaning of every construct is that of Prometheus 2.42 (`promtool test rules` is the oracle).
Where Prometheus 3 differs, the constant or the function that decides says so.
"""
