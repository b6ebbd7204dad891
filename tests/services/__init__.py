"""Real servers on loopback for tests and benchmarks, and the faults that are injected into them."""
