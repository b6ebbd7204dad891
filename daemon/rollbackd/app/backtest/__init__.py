"""Backtest: recorded events through the production rules and decisions, on a virtual clock.

    recording, kafka_range   where events come from, merged in the order of their time
    play                     production intake, evaluation loop and dispatcher on that time
    dry_run, memory,         what stands in for the world: levers on controls that nobody reads,
      dry_controls             a store in memory, a checklist that is taken at once
    findings                 what came of it, as values
    labels, scoring          what people say happened, and how well that was met
    curves, thresholds       what the rules saw, for the plots
    html                     one page for somebody who has never seen this
"""
