"""The example service under load while a real incident runs: what the controls promise, counted."""

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis_client

from rollbackd.guard.cache_keys import cache_key
from rollbackd.guard.idempotency import effect_id_of
from rollbackd.guard.keys import ScopeKeys
from rollbackd.guard.view import Cache, Token
from tests.backends import RedisBackend
from tests.end_to_end.daemon import RULES, TREE, DaemonProcess, Healthy, rollout
from tests.end_to_end.live_service import (
    QUESTIONS,
    Answer,
    Load,
    PaymentSystem,
    ServiceProcess,
    example,
    now_ms,
)
from tests.end_to_end.test_kafka import bad_canary
from tests.services.polling import eventually
from tests.services.redis import Redis

pytestmark = pytest.mark.services

#: The cache is poisoned on purpose before the incident, which must not be about that.
NOT_BY_THE_CACHE = """
groups:
  - name: poisoned-on-purpose
    rules:
      - record: rollbackd:replaced
        expr: vector(1)
        labels: {{service: {service}, rule: CachePoisoning}}
"""

#: Every freeze is confirmed by both services, and the throttle leaves room for the load.
CONFIRMED_TREE = (
    TREE.replace(
        "retry_after_seconds: 60}}",
        "retry_after_seconds: 60}, confirm: [{probe: acknowledgements, readers: 2}]}",
    )
    .replace(
        "{lever: write_block}",
        "{lever: write_block, confirm: [{probe: acknowledgements, readers: 2}]}",
    )
    .replace("requests_per_second: 50, burst: 100", "requests_per_second: 400, burst: 400")
)
CLIENTS = 12
USERS = 180
POISON = "poisoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """When things were so, in milliseconds since 1970 by the clock of this machine."""

    #: The journal says that every probe has confirmed the freeze.
    confirmed_at_ms: int
    #: Both services run with the rotated cache.
    rotated_at_ms: int
    #: The journal begins to give back.
    restoring_at_ms: int
    #: The newest feedback that was stored shortly before that was sent then.
    feedback_at_ms: int


class Site:
    """One scope with everything that stands in it."""

    def __init__(
        self,
        scope: str,
        daemon: DaemonProcess,
        payments: PaymentSystem,
        services: list[ServiceProcess],
        client: Any,
    ) -> None:
        self.scope = scope
        self.daemon = daemon
        self.payments = payments
        self.services = services
        self.client = client
        self.load = Load(services, seed=5)
        self._keys = ScopeKeys(scope)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, scope: str, folder: Path, url: str, *, canary_drift: float
    ) -> AsyncIterator["Site"]:
        ours = folder / "ours.yaml"
        ours.write_text(NOT_BY_THE_CACHE.format(service=scope.partition("/")[0]))
        config = {
            "store": "redis",
            "controls": "redis",
            "redis": {"url": url},
            "rules": [str(ours), str(RULES)],
        }
        async with contextlib.AsyncExitStack() as stack:
            payments = await stack.enter_async_context(PaymentSystem.open())
            daemon = DaemonProcess(folder / "daemon", config=config, tree=CONFIRMED_TREE)
            await stack.enter_async_context(daemon)
            await rollout(daemon, scope)
            await put(daemon, scope, "alias:docs_live", {"index": "docs_vA"})
            services = [
                ServiceProcess(
                    folder / f"service-{port}",
                    scope=scope,
                    redis=url,
                    payments=f"http://127.0.0.1:{port}",
                    events=f"{daemon.url}/api/v1/events",
                    canary_drift=canary_drift,
                )
                for port in payments.ports
            ]
            for service in services:
                await stack.enter_async_context(service)
            client = redis_client.Redis.from_url(url, decode_responses=True)
            stack.push_async_callback(client.aclose)
            yield cls(scope, daemon, payments, services, client)

    async def kill_and_restart(self, *, made: bool) -> None:
        """One service dies in the middle of a payment; a supervisor starts it again."""
        service = self.services[1]
        await asyncio.wait_for(self.payments.kill_next(1, service.kill, made=made), 30)
        await service.start()

    async def poison(self) -> None:
        """Put answers of the canary under keys of the baseline, as if a key had lacked a pin."""
        service = example("rag_service")
        pins = {**service.BASELINE, "INDEX_HASH": "aaaa"}
        bad = {"pins": {**pins, **service.CANARY}, "level": 0, "text": POISON, "citations": []}
        for question in QUESTIONS[:10]:
            key = cache_key("a", "", question, "0", pins=pins, cache=Cache())
            await self.client.set(self._keys.entry(key), json.dumps(bad))

    async def everybody_runs_with(self, name: str) -> None:
        """Wait until each live service has acknowledged a control as it stands."""

        async def acknowledged() -> bool:
            epoch, version = await self.client.hmget(self._keys.control(name), "epoch", "version")
            token = str(Token(int(epoch), int(version)))
            said = await self.client.hgetall(self._keys.readers)
            live = [each for each in said if await self._is_live(each)]
            running = [json.loads(said[each])["controls"].get(name) for each in live]
            return running == [token] * len(self.services)

        await eventually(acknowledged, within_seconds=20)

    async def feedback_sent_last_ms(self) -> int:
        """When the last feedback that is stored was sent."""
        found = [
            int(await self.client.hget(key, "score"))
            async for key in self.client.scan_iter(match=f"feedback:{{{self.scope}}}:*")
        ]
        return max(found, default=0)

    async def _is_live(self, reader: str) -> bool:
        seconds, micros = await self.client.time()
        seen = await self.client.zscore(self._keys.seen, reader)
        return bool(seconds * 1000 + micros / 1000 - (seen or 0) < 3_000)


async def put(daemon: DaemonProcess, scope: str, name: str, value: dict[str, Any]) -> None:
    status, told = await daemon.send("PUT", f"/api/v1/controls/{scope}/{name}", {"value": value})
    assert status == 200, told


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("branch", ["quality_regression", "duplicate_effects"])
async def test_what_the_controls_promise_holds_under_load(
    scope: str, tmp_path: Path, redis_server: Redis, branch: str
) -> None:
    """While thousands ask, the service is killed twice in the middle of an effect."""
    url = RedisBackend(redis_server).url
    drift = 0.6 if branch == "quality_regression" else 0.0
    async with Site.open(scope, tmp_path, url, canary_drift=drift) as site:
        course = await run_through(site, branch)
        no_write_got_through(site, course, every_writer=branch == "duplicate_effects")
        no_bad_entry_was_served(site, course)
        nobody_changed_arm_twice(site)
        each_effect_was_made_once(site)
        assert site.daemon.unhandled() == []
        for service in site.services:
            assert "events were refused" not in service.log.read_text()
        print(branch, dict(site.load.refused), f"replies lost: {site.load.lost}")  # noqa: T201


async def run_through(site: Site, branch: str) -> Course:
    """Load, two kills, poison, the incident from its trigger to its end, and load again."""
    load, daemon, scope = site.load, site.daemon, site.scope
    async with load.refunding(CLIENTS), Healthy(daemon, scope, error_ratio=1.0) as exit_target:
        await until(lambda: len(load.done) > 500)
        await site.kill_and_restart(made=True)
        await site.kill_and_restart(made=False)
        await site.poison()
        # for one branch the canary's answers are bad enough to trip it by themselves
        async with load.asking(CLIENTS, USERS):
            await until(lambda: any(is_bad(answer) for answer in load.answers))
            if branch == "duplicate_effects":
                await daemon.events(*bad_canary(branch, scope))
            opened = await daemon.until_incident(scope, "watching", within_seconds=60)
            assert opened["branch"] == branch
            await site.everybody_runs_with("cache")
            rotated_at_ms, asked = now_ms(), len(load.answers)
            await until(lambda: len(load.answers) > asked + 1_000)
            feedback_at_ms = await site.feedback_sent_last_ms()
            exit_target.error_ratio = 0.0
            await daemon.until_incident(scope, "closed", within_seconds=60)
            done = len(load.done)
            await until(lambda: len(load.done) > done + 300)
    journal = (await daemon.get(f"/api/v1/incidents/{opened['id']}"))["journal"]
    return Course(
        confirmed_at_ms=next(
            record["at_ms"]
            for record in journal
            if record["kind"] == "FreezeChecked" and record["to_state"] != "freezing"
        ),
        rotated_at_ms=rotated_at_ms,
        restoring_at_ms=next(r["at_ms"] for r in journal if r["to_state"] == "restoring"),
        feedback_at_ms=feedback_at_ms,
    )


def no_write_got_through(site: Site, course: Course, *, every_writer: bool) -> None:
    """From the confirmation to the restoring, as the target dates them."""
    payments = site.payments.ledger.payments
    late = [p for p in payments if course.confirmed_at_ms <= p.at_ms < course.restoring_at_ms]
    before = sum(p.at_ms < course.confirmed_at_ms for p in payments)
    after = sum(p.at_ms >= course.restoring_at_ms for p in payments)
    frozen_ms = course.restoring_at_ms - course.confirmed_at_ms
    print(  # noqa: T201  # figures
        f"payments before the freeze {before}, in its {frozen_ms} ms {len(late)}, after it {after};"
        f" tries refused {site.load.refused['refund 503']}"
    )
    assert late == []
    assert min(before, after, site.load.refused["refund 503"]) > 0
    assert (course.feedback_at_ms < course.confirmed_at_ms) == every_writer


def no_bad_entry_was_served(site: Site, course: Course) -> None:
    """To nobody who asked after the rotation, and by no service that runs with it."""
    answers = site.load.answers
    asked_late = [answer for answer in answers if answer.asked_at_ms > course.rotated_at_ms]
    rotated = [answer for answer in answers if answer.told["generation"] > 0]
    bad = [answer for answer in answers if is_bad(answer)]
    hits = sum(answer.told["hit"] for answer in rotated)
    print(  # noqa: T201  # figures
        f"answers {len(answers)}, of a poisoned entry {len(bad)};"
        f" after the rotation {len(rotated)}, cached {hits}, poisoned {sum(map(is_bad, rotated))}"
    )
    assert bad
    assert hits
    assert not any(map(is_bad, rotated))
    assert {answer.told["generation"] for answer in asked_late} == {1}
    assert {answer.told["pins"]["PROMPT_VER"] for answer in asked_late} == {"p-11"}


def nobody_changed_arm_twice(site: Site) -> None:
    """Off the canary and never back, though each request goes to another process."""
    arms: dict[str, list[str]] = defaultdict(list)
    for answer in site.load.answers:
        arms[answer.user].append(answer.told["arm"])
    changes = {
        user: [pair for pair in pairwise(seen) if pair[0] != pair[1]] for user, seen in arms.items()
    }
    counts = Counter(len(each) for each in changes.values())
    print(f"users by changes of arm: {dict(counts)}")  # noqa: T201  # figures
    assert {pair for each in changes.values() for pair in each} == {("canary", "baseline")}
    assert set(counts) == {0, 1}


def each_effect_was_made_once(site: Site) -> None:
    """Every key that a client began, over lost replies, kills, the freeze and the flip."""
    made = Counter(payment.effect_id for payment in site.payments.ledger.payments)
    wanted = {effect_id_of(site.load.idempotency_key(key)) for key in site.load.begun}
    print(  # noqa: T201  # figures
        f"refunds {len(wanted)}, payments {made.total()}, most of one {max(made.values())};"
        f" answered {dict(site.load.decided)}"
    )
    assert set(made) == wanted
    assert set(made.values()) == {1}
    assert site.load.decided["duplicate"] > 0


def is_bad(answer: Answer) -> bool:
    """Whether it is a poisoned entry."""
    return bool(answer.told["text"] == POISON)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the load is bound to bring."""

    async def holds() -> bool:
        return condition()

    await eventually(holds, within_seconds=60)
