"""The official OpenFeature SDK and OFREP provider against the endpoint."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from rollbackd.http import HttpServer
from rollbackd.model.controls import Control
from rollbackd.settings import Permission, TokenSettings
from tests.http.conftest import Serve
from tests.http.operations import FakeOperations

DOCUMENT = (Path(__file__).parents[2] / "docs" / "ofrep.md").read_text()
SHAPES = [
    {"global_off": True},
    {"baseline_weight": 1.0, "canary_weight": 0.0, "global_off": True},
    {"baseline_weight": 1, "canary_weight": 0, "global_off": True},
    {"baseline_weight": 0.0, "canary_weight": 1.0, "global_off": True},
    {"baseline_weight": 0.5, "canary_weight": 0.5, "global_off": True},
    {"baseline_weight": 1.0, "canary_weight": 0.0, "global_off": False},
    {"global_off": "true"},
    {"canary_weight": "1"},
    {},
]
ON, OFF = True, False
INTENT: dict[str, object] = {"baseline_weight": 0.0, "canary_weight": 1.0, "global_off": False}


def killed(value: dict[str, object]) -> dict[str, Control]:
    """A feature that is rolled out to all, with an incident's trip over it."""
    control = Control(name="flag:canary", intent=INTENT, trip=value, version=2, incident_id="i1")
    return {"flag:canary": control}


@pytest.fixture
async def client(server: HttpServer) -> AsyncIterator[OpenFeatureClient]:
    provider = OFREPProvider(f"http://127.0.0.1:{server.port}")
    api.set_provider_and_wait(provider)
    api.set_evaluation_context(EvaluationContext(attributes={"service": "rag", "region": "eu-1"}))
    yield api.get_client()
    provider.session.close()
    api.shutdown()


async def evaluated(client: OpenFeatureClient, kind: str, *arguments: Any) -> Any:
    """The provider is synchronous, and the server is on this loop."""
    return await asyncio.to_thread(getattr(client, f"get_{kind}_details"), *arguments)


@pytest.mark.parametrize(
    "user",
    [
        None,
        EvaluationContext(),
        EvaluationContext(targeting_key=""),
        EvaluationContext(targeting_key="alice"),
        EvaluationContext("alice", {"targetingKey": 42, "plan": "gold", "n": 1.5}),
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_killed_feature_is_seen_off_though_the_code_default_is_on(
    client: OpenFeatureClient,
    operations: FakeOperations,
    shape: dict[str, object],
    user: EvaluationContext | None,
) -> None:
    """Value, variant and reason arrive, and no error: the off is the flag's, not a default's."""
    operations.switches = killed(shape)
    details = await evaluated(client, "boolean", "canary", ON, user)
    assert (details.value, details.variant, details.reason) == (False, "off", Reason.STATIC)
    assert details.error_code is None
    assert details.flag_metadata["tripped"] is True


async def test_a_thousand_evaluations_of_a_killed_feature_are_all_off(
    client: OpenFeatureClient, operations: FakeOperations
) -> None:
    """Nothing of us pauses the client, as a 429 would."""
    operations.switches = killed(SHAPES[0])

    def many() -> set[bool]:
        return {client.get_boolean_value("canary", ON) for _ in range(1_000)}

    assert await asyncio.to_thread(many) == {False}


async def test_a_failed_evaluation_does_not_keep_the_next_from_seeing_the_kill(
    client: OpenFeatureClient, operations: FakeOperations
) -> None:
    operations.switches = killed(SHAPES[0])
    nowhere = EvaluationContext(attributes={"service": "no such/scope"})
    assert (await evaluated(client, "boolean", "canary", ON, nowhere)).value is True
    assert (await evaluated(client, "boolean", "canary", ON)).value is False


@pytest.mark.parametrize(
    ("kind", "key", "default", "value"),
    [
        ("integer", "degrade", 0, 2),
        ("integer", "cache_generation", 0, 7),
        ("object", "cache", {}, {"generation": 7, "namespace": "9f2c"}),
        (
            "object",
            "writes",
            {},
            {"blocked": True, "scope": "non_idempotent", "retry_after_seconds": 30},
        ),
        (
            "object",
            "throttle",
            {},
            {"requests_per_second": 20.5, "burst": 40, "breaker": "half_open"},
        ),
        ("object", "pins", {}, {"PROMPT_VER": "p-12"}),
        ("object", "consumers", {}, {"paused": True, "groups": ["billing"]}),
        ("string", "alias:docs_live", "own", "docs_vA"),
        ("string", "pointer:live", "own", "blue"),
        ("boolean", "flag:canary", True, False),
    ],
)
async def test_every_control_arrives_with_its_type(
    client: OpenFeatureClient,
    operations: FakeOperations,
    kind: str,
    key: str,
    default: Any,
    value: Any,
) -> None:
    trips: dict[str, dict[str, object]] = {
        "degrade": {"level": 2},
        "cache": {"generation": 7, "namespace": "9f2c"},
        "writes": {"blocked": True, "scope": "non_idempotent", "retry_after_seconds": 30},
        "throttle": {"requests_per_second": 20.5, "burst": 40, "breaker": "half_open"},
        "pins": {"PROMPT_VER": "p-12"},
        "consumers": {"paused": True, "groups": ["billing"]},
        "alias:docs_live": {"index": "docs_vA"},
        "pointer:live": {"target": "blue"},
    }
    operations.switches = killed(SHAPES[0]) | {
        name: Control(name=name, trip=trip, version=1) for name, trip in trips.items()
    }
    details = await evaluated(client, kind, key, default)
    assert (details.value, details.error_code) == (value, None)


@pytest.mark.parametrize(
    ("key", "user", "code"),
    [
        ("reranker", EvaluationContext(), ErrorCode.FLAG_NOT_FOUND),
        ("split", EvaluationContext(), ErrorCode.TARGETING_KEY_MISSING),
        ("split", EvaluationContext(attributes={"region": 7}), ErrorCode.INVALID_CONTEXT),
    ],
)
async def test_an_error_arrives_as_itself(
    client: OpenFeatureClient,
    operations: FakeOperations,
    key: str,
    user: EvaluationContext,
    code: ErrorCode,
) -> None:
    """With details: without them the provider would stumble over the answer."""
    half: dict[str, object] = {"baseline_weight": 1, "canary_weight": 1}
    operations.switches = {"flag:split": Control(name="flag:split", intent=half, version=1)}
    details = await evaluated(client, "boolean", key, OFF, user)
    assert (details.value, details.error_code) == (False, code)
    assert details.error_message


async def test_a_split_arrives_as_one(
    client: OpenFeatureClient, operations: FakeOperations
) -> None:
    half: dict[str, object] = {"baseline_weight": 1, "canary_weight": 1}
    operations.switches = {"flag:split": Control(name="flag:split", intent=half, version=1)}
    for user in ("alice", "bob", "carol", "dave"):
        context = EvaluationContext(targeting_key=user)
        first = await evaluated(client, "boolean", "split", OFF, context)
        again = await evaluated(client, "boolean", "split", ON, context)
        assert first.reason == Reason.SPLIT
        assert first.value is again.value


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


async def test_the_example_of_the_page_runs(
    serve: Serve, operations: FakeOperations, tmp_path: Path
) -> None:
    operations.switches = killed(SHAPES[1]) | {
        "degrade": Control(name="degrade", trip={"level": 2}, version=1)
    }
    token = tmp_path / "token"
    token.write_text("the-readers-token-0123456789\n")
    permissions = frozenset({Permission.READ})
    server = await serve(tokens=[TokenSettings(name="app", file=token, permissions=permissions)])
    example = blocks("python")[0]
    assert "/run/secrets/rollbackd_token" in example
    assert "127.0.0.1:9797" in example
    code = example.replace("/run/secrets/rollbackd_token", str(token))
    # the page shows the safe default; here an answer that went wrong has to show
    code = code.replace('"canary", False', '"canary", True')
    space: dict[str, Any] = {}
    try:
        await asyncio.to_thread(exec, code.replace(":9797", f":{server.port}"), space)
    finally:
        space["provider"].session.close()
        api.shutdown()
    assert (space["use_new_ranker"], space["level"]) == (False, 2)
    assert space["fence"] == {"blocked": False, "scope": "none", "retry_after_seconds": 0}


async def test_the_places_of_the_page_are_those_in_force(
    client: OpenFeatureClient, operations: FakeOperations
) -> None:
    """The function and the table: just above the place a user is on the canary, at it not."""
    space: dict[str, Any] = {}
    exec(blocks("python")[1], space)
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (0\.\d{6}) \|$", DOCUMENT, re.MULTILINE)
    assert len(rows) == 3
    for flag, user, written in rows:
        place = space["place"](flag, user)
        assert f"{place:.6f}" == written
        for share, on in ((place, False), (place + 1e-9, True)):
            value: dict[str, object] = {"baseline_weight": 1 - share, "canary_weight": share}
            name = f"flag:{flag}"
            operations.switches = {name: Control(name=name, intent=value, version=1)}
            context = EvaluationContext(targeting_key=user)
            assert (await evaluated(client, "boolean", flag, not on, context)).value is on
