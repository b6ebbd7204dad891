"""docs/controls.md is true: its examples run, and its tables match what is written."""

import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
from redis.client import PubSub

from rollbackd.controls.redis import RedisControls
from rollbackd.guard import Guard
from rollbackd.model.control_shapes import SHAPES, check_shape
from rollbackd.model.controls import DEFAULTS, Kind
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op
from rollbackd.ports import Controls
from tests.backends import RedisBackend, redis_cli
from tests.services.redis import Redis

pytestmark = pytest.mark.services

TEXT = (Path(__file__).parents[2] / "docs" / "controls.md").read_text()
SCOPE = Scope("rag", "eu-1")
KEY = "rollbackd:{rag/eu-1}:control:degrade"


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def column(text: str) -> set[str]:
    """The first cells of the table rows in a part of the page."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def subscribed(client: redis.Redis) -> PubSub:
    """Hears the scope's hints from now on."""
    hints = PubSub(client.connection_pool)
    hints.subscribe("rollbackd:{rag/eu-1}:changed")
    assert hints.get_message(timeout=5) is not None
    return hints


@pytest.fixture
def backend(redis_server: Redis) -> RedisBackend:
    """An empty database."""
    return RedisBackend(redis_server)


@pytest.fixture
async def controls(backend: RedisBackend) -> AsyncIterator[Controls]:
    """Controls with degrade level 1 wanted and level 3 in force."""
    opened = await backend.controls()
    await opened.set_intent(SCOPE, "degrade", {"level": 1}, now_ms=1)
    op = Op(op_id="o1", epoch=5, incident_id="i1")
    await opened.set_trip(SCOPE, "degrade", {"level": 3}, expected_version=1, op=op, now_ms=2)
    yield opened
    await opened.close()


async def test_the_python_example_reads_the_effective_value(
    controls: RedisControls, backend: RedisBackend
) -> None:
    """Also of a control that was never written, and the last one when Redis is away."""
    (code,) = blocks("python")
    space: dict[str, object] = {}
    exec(code.replace("redis://127.0.0.1:6379/0", backend.url), space)
    assert space["level"] == 3
    read, client = space["control"], space["client"]
    assert callable(read)
    assert isinstance(client, redis.Redis)
    assert read("rag/eu-1", "writes", {"blocked": False}) == {"blocked": False}
    await controls.set_intent(SCOPE, "degrade", {"level": 2}, now_ms=3)
    client.close()
    backend.server.kill()
    assert read("rag/eu-1", "degrade", {"level": 0}) == {"level": 3}
    client.close()


async def test_the_shell_examples_print_what_they_promise(
    controls: RedisControls, backend: RedisBackend
) -> None:
    """The value, the names and the scopes."""
    del controls
    shown = [
        redis_cli(backend.server, "-n", str(backend.database), *shlex.split(line)[1:])
        for line in blocks("sh")[0].splitlines()
    ]
    assert shown == ['{"level":3}', "degrade", "rag/eu-1"]


async def test_the_fields_and_kinds_are_those_that_exist(
    controls: RedisControls, backend: RedisBackend
) -> None:
    """The table of fields is complete, also after an intent alone; so is the one of kinds."""
    await controls.set_intent(SCOPE, "pins", {"PROMPT_VER": "p-1"}, now_ms=1)
    fields, kinds = TEXT.split("A key that does not exist")
    for key in (KEY, "rollbackd:{rag/eu-1}:control:pins"):
        found = redis_cli(backend.server, "-n", str(backend.database), "HKEYS", key)
        assert set(found.split()) == column(fields)
    assert column(kinds.split("## What stands", maxsplit=1)[0]) == set(Kind) == set(DEFAULTS)


def test_every_field_of_a_value_is_documented_with_its_kind() -> None:
    """As the check of an intent has them."""
    part = TEXT.split("## What stands in a value")[1].split("## Versions")[0]
    rows = re.findall(r"^\| (`[^|]+`) \| `(\w+)` \|", part, re.MULTILINE)
    written = {(kind, field) for fields, kind in rows for field in re.findall(r"`(\w+)`", fields)}
    assert written == {
        (str(kind), field) for kind, shape in SHAPES.items() for field in shape.__struct_fields__
    }


def test_every_kind_says_how_it_is_read() -> None:
    """In each of the three ways."""
    part = TEXT.split("## The ways to read")[1].split("All at once")[0]
    assert column(part) == set(Kind)
    guards = set(re.findall(r"`guard\.(\w+)", part))
    assert guards
    assert [name for name in guards if not hasattr(Guard, name)] == []


async def test_the_refusal_of_an_intent_is_the_one_that_is_shown() -> None:
    """Word for word."""
    (shown,) = re.findall(r'\{"error": "(.*)"\}', TEXT)
    with pytest.raises(ValueError, match=re.escape(shown)):
        check_shape("degrade", {"level": 7})


def test_a_fence_for_nobody_is_said_to_be_refused() -> None:
    """`none` is a value of `scope`, and no way to block."""
    (row,) = re.findall(r"^\| `scope` \| `writes` \| (.*) \|$", TEXT, re.MULTILINE)
    assert "`none`" in row
    assert "refused with `blocked: true`" in row
    check_shape("writes", {"blocked": False, "scope": "none"})
    with pytest.raises(ValueError, match="blocks nobody"):
        check_shape("writes", {"blocked": True, "scope": "none"})


async def test_every_key_is_documented(controls: RedisControls, backend: RedisBackend) -> None:
    """Whatever the controls leave in Redis stands on the page."""
    del controls
    keys = redis_cli(backend.server, "-n", str(backend.database), "KEYS", "*").split()
    documented = {"rollbackd:scopes", KEY}
    documented |= {f"rollbackd:{{rag/eu-1}}:{part}" for part in ("controls", "fence", "op:o1")}
    assert set(keys) == documented
    for part in ("rollbackd:scopes", "}:controls", "}:fence", "}:op:<op_id>", "}:control:<name>"):
        assert part in TEXT


async def test_a_change_publishes_a_hint_and_a_refused_one_does_not(
    controls: RedisControls, backend: RedisBackend
) -> None:
    """On the documented channel, with the name of the control."""
    client = redis.Redis.from_url(backend.url)
    hints = subscribed(client)
    op = Op(op_id="o2", epoch=4, incident_id="i1")
    await controls.set_trip(SCOPE, "degrade", None, expected_version=2, op=op, now_ms=1)
    await controls.set_intent(SCOPE, "flag:a", {"global_off": True}, now_ms=1)
    op = Op(op_id="o3", epoch=5, incident_id="i1")
    await controls.set_trip(SCOPE, "degrade", None, expected_version=2, op=op, now_ms=1)
    heard = [hints.get_message(timeout=5) for _ in range(2)]
    assert [message["data"] for message in heard if message] == [b"flag:a", b"degrade"]
    assert hints.get_message(timeout=0.01) is None
    hints.close()
    client.close()


async def test_the_users_permissions_suffice_and_no_more(
    controls: RedisControls, backend: RedisBackend
) -> None:
    """The documented ACL lets an application read and subscribe, not write."""
    del controls
    (line,) = blocks("sh")[2].splitlines()
    assert redis_cli(backend.server, *shlex.split(line)[1:]) == "OK"
    client = redis.Redis.from_url(backend.url, username="reader", password="any")
    assert client.hget(KEY, "effective") == b'{"level":3}'
    hints = subscribed(client)
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.hset(KEY, "effective", "{}")
    hints.close()
    client.close()
    redis_cli(backend.server, "ACL", "DELUSER", "reader")
