"""A process with a guard that is stopped or killed between its look and its effect.

Arguments: the Redis URL and what to do. It prints one line when it is about to make its effect,
waits for a line, and prints what came of it.
"""

import sys

import redis

from rollbackd.guard import Claim, Guard, GuardError, RedisAddress
from tests.guard.driving import PINS, SCOPE
from tests.guard.test_effects import KEY


def main(url: str, what: str) -> None:
    with Guard(
        SCOPE,
        RedisAddress(url=url),
        pins=PINS,
        poll_seconds=0.1,
        lease_seconds=0.3,
        effect_lease_seconds=0.3,
    ) as guard:
        if what == "charge":
            _charge(guard, url)
        try:
            with guard.write() as write:
                _wait()
                if what == "check":
                    write.check()
                if what == "claim":
                    guard.once(write, KEY, lambda _claim: print("made", flush=True))  # noqa: T201
                guard.set_fields(write, "order:{rag/eu-1}:1", {"state": "late"})
            print("written", flush=True)  # noqa: T201
        except GuardError as error:
            print(error, flush=True)  # noqa: T201


def _charge(guard: Guard, url: str) -> None:
    def effect(claim: Claim) -> str:
        redis.Redis.from_url(url).hincrby("payments", claim.effect_id, 1)
        _wait()
        return "never"

    with guard.write() as write:
        guard.once(write, KEY, effect)


def _wait() -> None:
    print("about to", flush=True)  # noqa: T201
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
