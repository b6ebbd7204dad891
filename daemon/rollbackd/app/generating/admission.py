"""What a service lets in under its throttle; the rest is shed before it costs anything."""

from rollbackd.app.generating.switches import Switches


class Admission:
    """A token bucket on the time of the requests; `limited` says whether it has to be asked."""

    def __init__(self) -> None:
        self.limited = False
        self._switches = Switches()
        self._tokens = 0.0
        self._filled_ms = 0

    def refresh(self, switches: Switches, at_ms: int) -> None:
        """Once a second: the limit. A bucket is full when its limit is set."""
        rate = switches.requests_per_second
        if rate is not None and self._switches.requests_per_second is None:
            self._tokens, self._filled_ms = switches.burst, at_ms
        self._switches = switches
        self.limited = switches.breaker_open or rate is not None

    def admit(self, at_ms: int) -> bool:
        """Whether one more request is let in; never asked without a limit."""
        switches = self._switches
        if switches.breaker_open:
            return False
        rate = switches.requests_per_second or 0.0
        gained = (at_ms - self._filled_ms) / 1_000 * rate
        self._tokens = min(switches.burst, self._tokens + gained)
        self._filled_ms = at_ms
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
