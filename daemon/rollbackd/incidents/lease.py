"""How long an incident is its driver's without a word: the times of the lease.

A process that drives an incident stores each step of it. One that stands still for `LEASE_MS` is an
orphan, and another process takes it over (`app.recovery`). What takes long, as an act may, is
therefore said in between, every `RENEW_MS`. Where that cannot be stored for `BREAK_OFF_SECONDS`, it
is broken off, so that it has ended before somebody else may begin it.
"""

from typing import Final

LEASE_MS: Final = 60_000
RENEW_MS: Final = 20_000
#: From the renewal on; with it, three quarters of the lease.
BREAK_OFF_SECONDS: Final = 25.0
