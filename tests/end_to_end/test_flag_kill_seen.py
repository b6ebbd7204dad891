"""A flag that an incident kills is seen off by applications, whichever provider has it.

The applications ask with the official OpenFeature SDK and providers; all of them say "on" by
default, so that only a provider that says "off" counts. The times are printed.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider import AbstractProvider

from tests.end_to_end.daemon import DaemonProcess, rollout
from tests.levers.external.flagd_flag_world import TARGETING, definition
from tests.levers.external.flagd_reader import FlagdReader
from tests.levers.external.launchdarkly_server import (
    API_TOKEN,
    ENVIRONMENT,
    PROJECT,
    SDK_KEY,
    LaunchDarklyServer,
)
from tests.levers.external.unleash_flag_world import UnleashAdmin
from tests.services.fixtures import FlagdFactory
from tests.services.flagd import Flagd
from tests.services.polling import eventually
from tests.services.processes import HOST
from tests.services.unleash import Unleash

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

FLAG = "canary"
#: Somebody whom the rollout has given the feature to.
ALICE = EvaluationContext("alice", {"email": "alice@example.com"})

TREE = """
exit_targets:
  - {{name: errors, value: 'max by (service, region) (error_ratio)', below: 0.005}}
branches:
  bad_feature:
    freeze: {{lever: write_block}}
    levers: [{{lever: {lever}, name: {flag}}}]
    rotate: {{lever: cache_rotate}}
    needs_known_good: false
    targets: [errors]
"""

RULES = """
groups:
  - name: when-to-pull
    rules: [{alert: BadFeature, expr: error_ratio > 0.5, labels: {branch: bad_feature}}]
"""


class Case(NamedTuple):
    """A provider with a flag that is on, and the lever that will kill it."""

    levers: dict[str, Any]
    lever: str
    #: How the application's provider learns of changes.
    learns: str
    flag: str = FLAG


class Times:
    """What the run has measured, printed at its end."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float]] = []


@pytest.fixture(scope="module")
def times(pytestconfig: pytest.Config) -> Iterator[Times]:
    """The table of this run."""
    found = Times()
    yield found
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        print("\nfrom the pull until an OpenFeature client sees the flag off:")  # noqa: T201  # figures
        for name, learns, seconds in found.rows:
            print(f"{seconds:8.3f} s  {name:<20} {learns}")  # noqa: T201


@asynccontextmanager
async def started(folder: Path, case: Case) -> AsyncIterator[DaemonProcess]:
    """The daemon with one branch, whose lever kills the flag."""
    folder.mkdir()
    (folder / "rules.yaml").write_text(RULES)
    (folder / "levers.yaml").write_text(yaml.safe_dump({"levers": case.levers}))
    config = {"rules": ["rules.yaml"], "levers": "levers.yaml"}
    tree = TREE.format(lever=case.lever, flag=case.flag)
    async with DaemonProcess(folder, config=config, tree=tree) as daemon:
        yield daemon


async def killed(
    case: Case, daemon: DaemonProcess, scope: str, provider: AbstractProvider
) -> float:
    """The seconds from the pull until the application sees the flag off."""
    service, region = scope.split("/")
    api.set_provider(provider, case.flag)
    client = api.get_client(case.flag)
    alice = EvaluationContext(
        ALICE.targeting_key, {**ALICE.attributes, "service": service, "region": region}
    )

    def says() -> bool | None:
        details = client.get_boolean_details(
            case.flag, default_value=True, evaluation_context=alice
        )
        return None if details.error_code else details.value

    async def says_on() -> bool:
        return await asyncio.to_thread(says) is True

    async def says_off() -> bool:
        return await asyncio.to_thread(says) is False

    try:
        await eventually(says_on, within_seconds=30)
        before = time.perf_counter()
        pulled = {"branch": "bad_feature", "scope": scope, "reason": "test"}
        status, answer = await daemon.send("POST", "/api/v1/incidents", pulled)
        assert status == 201, answer
        await eventually(says_off, within_seconds=60, every_seconds=0.005)
        seconds = time.perf_counter() - before
        # the lever's own word, which it gives after its readers gave theirs
        await daemon.until_incident(scope, "watching")
        assert await says_off()
        assert daemon.unhandled() == []
        return seconds
    finally:
        await asyncio.to_thread(api.shutdown)


async def test_a_flag_of_rollbackd_itself(scope: str, tmp_path: Path, times: Times) -> None:
    """By OFREP, which asks for each evaluation."""
    from openfeature.contrib.provider.ofrep import OFREPProvider  # noqa: PLC0415

    case = Case({}, "flag_off", "asks rollbackd at each evaluation")
    async with started(tmp_path / "daemon", case) as daemon:
        await rollout(daemon, scope)
        everybody = {"baseline_weight": 0.0, "canary_weight": 1.0, "global_off": False}
        path = f"/api/v1/controls/{scope}/flag:{FLAG}"
        assert (await daemon.send("PUT", path, {"value": everybody}))[0] == 200
        provider = OFREPProvider(daemon.url)
        seconds = await killed(case, daemon, scope, provider)
        provider.session.close()
    times.rows.append(("rollbackd, OFREP", case.learns, seconds))


def flagd_case(folder: Path, reader_url: str, learns: str) -> Case:
    file = folder / "flags.json"
    lever = {"type": "flagd_flag", "definition_file": str(file), "reader_url": reader_url}
    return Case({"flagd": lever}, "flagd", learns)


def write_flags(folder: Path) -> Path:
    """A definition that gives the flag to Alice by its targeting."""
    file = folder / "flags.json"
    on = {"state": "ENABLED", "defaultVariant": "off", "targeting": TARGETING}
    file.write_text(definition(on))
    return file


async def test_a_flag_of_flagd_read_from_its_file(scope: str, tmp_path: Path, times: Times) -> None:
    """By the official provider, which evaluates the definition itself."""
    from openfeature.contrib.provider.flagd import FlagdProvider  # noqa: PLC0415
    from openfeature.contrib.provider.flagd.config import ResolverType  # noqa: PLC0415

    file = write_flags(tmp_path)
    reader = FlagdReader(lambda: asyncio.to_thread(file.read_text))
    case = flagd_case(tmp_path, reader.url, "looks at the file every 0.5 s")
    async with reader.serving(), started(tmp_path / "daemon", case) as daemon:
        provider = FlagdProvider(
            resolver_type=ResolverType.FILE, offline_flag_source_path=str(file)
        )
        seconds = await killed(case, daemon, scope, provider)
    times.rows.append(("flagd, in process", case.learns, seconds))


async def test_a_flag_of_a_flagd_server(
    flagd_factory: FlagdFactory, scope: str, tmp_path: Path, times: Times
) -> None:
    """By the official provider over gRPC."""
    from openfeature.contrib.provider.flagd import FlagdProvider  # noqa: PLC0415

    async with flagd_factory(f"file:{write_flags(tmp_path)}") as server:
        assert isinstance(server, Flagd)
        case = flagd_case(tmp_path, server.ofrep_url, "flagd watches the file, tells clients")
        async with started(tmp_path / "daemon", case) as daemon:
            provider = FlagdProvider(host=HOST, port=server.port)
            seconds = await killed(case, daemon, scope, provider)
    times.rows.append(("flagd, gRPC", case.learns, seconds))


async def test_a_flag_of_unleash(
    unleash: Unleash, scope: str, tmp_path: Path, times: Times
) -> None:
    """By the official SDK below the OpenFeature provider."""
    from openfeature.contrib.provider.unleash import UnleashProvider  # noqa: PLC0415

    flag = f"{FLAG}.{scope.replace('/', '.')}"
    admin = UnleashAdmin(unleash)
    try:
        await admin.create(flag, enabled=True)
        lever = {
            "type": "unleash_flag",
            "url": unleash.url,
            "token_file": secret(tmp_path, "token", unleash.admin_token),
            "client_token_file": secret(tmp_path, "client-token", unleash.client_token),
            "environment": "development",
        }
        case = Case({"unleash": lever}, "unleash", "fetches all flags every second", flag)
        async with started(tmp_path / "daemon", case) as daemon:
            provider = UnleashProvider(
                url=unleash.api_url, app_name="test", api_token=unleash.client_token
            )
            provider.client.unleash_refresh_interval = 1  # 15 by default
            seconds = await killed(case, daemon, scope, provider)
        times.rows.append(("Unleash, SDK", case.learns, seconds))
    finally:
        await admin.close()


async def test_a_flag_of_launchdarkly(scope: str, tmp_path: Path, times: Times) -> None:
    """By the official SDK and provider; the server is the tests' own."""
    import ldclient  # noqa: PLC0415
    from ld_openfeature import LaunchDarklyProvider  # noqa: PLC0415

    server = LaunchDarklyServer()
    server.create(FLAG, on=True)
    async with server.serving():
        lever = {
            "type": "launchdarkly_flag",
            "url": server.url,
            "token_file": secret(tmp_path, "token", API_TOKEN),
            "project": PROJECT,
            "environment": ENVIRONMENT,
            "sdk_key_file": secret(tmp_path, "sdk-key", SDK_KEY),
            "reader_url": server.url,
        }
        case = Case({"launchdarkly": lever}, "launchdarkly", "is told over a stream of events")
        async with started(tmp_path / "daemon", case) as daemon:
            config = ldclient.Config(
                SDK_KEY, base_uri=server.url, stream_uri=server.url, send_events=False
            )
            provider = await asyncio.to_thread(LaunchDarklyProvider, config)
            seconds = await killed(case, daemon, scope, provider)
    times.rows.append(("LaunchDarkly, SDK", case.learns, seconds))


def secret(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)
