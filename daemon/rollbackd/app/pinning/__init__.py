"""Known good sets: recording them, measuring their windows, serving their baselines."""
