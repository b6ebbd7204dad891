"""Made-up traffic of a RAG service during a canary rollout, healthy or with one known fault.

One seed decides everything: the same plan is the same events, byte for byte.

* `conditions`: what can be otherwise than usual on one arm, and the injections that make it so.
* `scenarios`: the catalogue; `scenario` is the form of one.
* `plans`: a scenario with a seed, a rate and a start, so that nothing is left to chance but noise.
* `versions`, `answers`, `caches`, `effects`, `tools`, `rounds`, `rollout`: who says what.
* `switches`: what a service obeys, moved by the plan or by whoever plays it; `admission` sheds.
* `stream`: all of it in the order of time; `windows` sums it up for senders that count themselves.
* `labels`: what was wrong, in the form that `rollbackd backtest --labels` reads.
* `corpus`: many plans through the backtest, and how well the rules told them apart.
"""
