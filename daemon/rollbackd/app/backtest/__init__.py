"""Backtest: recorded events through the production rules and decisions, on a virtual clock.

* `recording`, `kafka_range`: where events come from, merged in the order of their time.
* `play`: production's intake, evaluation loop and dispatcher on that time.
* `dry_run`, `dry_controls`, `memory`: what stands in for the world behind them.
* `recorder`, `findings`: what came of it, as values.
* `labels`, `scoring`: what people say happened, and how well that was met.
* `curves`, `thresholds`: what the rules looked at, for the plots.
* `html`: one page for somebody who has never seen this.
"""
