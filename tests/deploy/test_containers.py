"""The Dockerfile and the compose file, by reading: no container engine runs in CI."""

import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollbackd import __version__
from rollbackd.settings import Backend, Permission, load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continuation lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    text = text.replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(word, " ".join(rest.split())) for word, rest in lines]


def values(word: str) -> list[str]:
    return [value for w, value in instructions() if w == word]


def last_stage() -> list[tuple[str, str]]:
    stages = [i for i, (word, _) in enumerate(instructions()) if word == "FROM"]
    return instructions()[stages[-1] :]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


def test_there_are_two_stages_on_one_base_pinned_by_its_minor_version() -> None:
    bases = [value.split()[0] for value in values("FROM")]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", bases[0])


def test_the_last_stage_holds_only_what_the_first_one_built() -> None:
    stage = last_stage()
    copies = [value for word, value in stage if word in {"COPY", "ADD"}]
    assert all(value.startswith("--from=build ") for value in copies)
    assert [word for word, _ in stage if word == "RUN"] == []


def test_the_image_runs_as_a_fixed_user_who_is_not_root_and_without_a_shell() -> None:
    stage = dict(last_stage())
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", stage["USER"])
    for word in ("ENTRYPOINT", "CMD"):
        assert stage[word].startswith("[")
    assert 'CMD ["python"' in stage["HEALTHCHECK"]
    assert "/-/healthy" in stage["HEALTHCHECK"]
    assert stage["STOPSIGNAL"] == "SIGTERM"


def test_the_labels_name_title_licence_and_version() -> None:
    label = dict(last_stage())["LABEL"]
    for key in ("title", "description", "licenses", "version"):
        assert f"org.opencontainers.image.{key}=" in label
    assert f'image.version="{__version__}"' in label


def test_what_the_build_copies_is_not_ignored() -> None:
    rules = [r for r in (ROOT / ".dockerignore").read_text().split("\n") if r and r[0] != "#"]
    assert rules[0] == "*"
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    for value in values("COPY"):
        sources = [s for s in value.split()[:-1] if not s.startswith("--")]
        if "--from=build" in value:
            continue
        assert {Path(s).name for s in sources} <= kept
    assert any(fnmatch("daemon/rollbackd/__pycache__", rule) for rule in rules)


def test_no_secret_is_baked_in() -> None:
    text = (ROOT / "Dockerfile").read_text().lower()
    assert not re.search(r"\b(arg|env)\b.*(token|password|secret)", text)


def test_every_service_is_there_pinned_and_checked(compose: dict[str, Any]) -> None:
    services = compose["services"]
    wanted = {"rollbackd", "kafka", "topics", "redis", "prometheus", "alertmanager"}
    assert set(services) == wanted
    for name, service in services.items():
        assert re.search(r":v?\d+\.\d+", service["image"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        # rollbackd's own check is in its image; `topics` ends.
        assert "healthcheck" in service or name in {"rollbackd", "topics"}, name
    assert services["kafka"]["image"].startswith("apache/kafka:4.")
    assert services["redis"]["image"].startswith("redis:7.")


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_redis_never_evicts_and_shows_its_password_to_no_process_list(
    compose: dict[str, Any],
) -> None:
    (script,) = compose["services"]["redis"]["command"]
    for line in ("appendonly yes", "maxmemory-policy noeviction"):
        assert line in script
    assert "--requirepass" not in script


def test_what_is_mounted_exists_and_what_is_named_is_declared(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).is_file(), source
                assert mount.endswith(":ro")
            else:
                assert source in compose["volumes"]
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert set(service.get("depends_on", [])) <= set(compose["services"])


def test_secrets_are_files_that_git_ignores(compose: dict[str, Any]) -> None:
    for secret in compose["secrets"].values():
        assert (ROOT / secret["file"]).parent == DEPLOY / "secrets"
    assert (DEPLOY / "secrets" / ".gitignore").read_text().startswith("*\n")


def test_the_config_loads_and_is_wired_to_the_services(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    for name in compose["services"]["rollbackd"]["secrets"]:
        (tmp_path / name).write_text("x")
    config = tmp_path / "rollbackd.yaml"
    text = (DEPLOY / "rollbackd.yaml").read_text()
    config.write_text(text.replace("/run/secrets", str(tmp_path)))
    settings = load_settings(config)
    assert (settings.store, settings.controls) == (Backend.REDIS, Backend.REDIS)
    assert settings.redis is not None
    assert settings.redis.url == "redis://redis:6379/0"
    assert settings.kafka is not None
    environment = compose["services"]["kafka"]["environment"]
    (broker,) = settings.kafka.bootstrap_servers
    assert f"//{broker}," in environment["KAFKA_ADVERTISED_LISTENERS"]
    (script,) = compose["services"]["topics"]["command"]
    for topic in (*(t.name for t in settings.kafka.topics), settings.kafka.dead_letter_topic):
        assert topic in script
    granted = {t.name: t.permissions for t in settings.http.tokens}
    assert granted["alertmanager"] == {Permission.INGEST}
    assert granted["prometheus"] == {Permission.READ}


def test_prometheus_and_alertmanager_send_the_token_that_fits() -> None:
    prometheus = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    scrape = prometheus["scrape_configs"][0]
    assert scrape["authorization"]["credentials_file"] == "/run/secrets/read_token"
    assert scrape["static_configs"][0]["targets"] == ["rollbackd:9797"]
    alertmanager = yaml.safe_load((DEPLOY / "alertmanager.yml").read_text())
    hook = alertmanager["receivers"][1]["webhook_configs"][0]
    assert hook["url"] == "http://rollbackd:9797/api/v1/alertmanager"
    sent = hook["http_config"]["authorization"]["credentials_file"]
    assert sent == "/run/secrets/ingest_token"


def test_alertmanager_routes_the_label_that_the_shipped_rules_read() -> None:
    """`rollback` of an alert is what the rules `Paged...` select by."""
    routes = yaml.safe_load((DEPLOY / "alertmanager.yml").read_text())["route"]["routes"]
    (route,) = (each for each in routes if each["receiver"] == "rollbackd")
    (matcher,) = route["matchers"]
    label, _, pattern = matcher.partition("=~")
    groups = yaml.safe_load((ROOT / "rules" / "when-to-pull.yaml").read_text())["groups"]
    (pages,) = (group for group in groups if group["name"] == "pages")
    assert pattern == '".+"'
    for rule in pages["rules"]:
        assert f'{label}="{rule["labels"]["branch"]}"' in rule["expr"]


def test_the_alerts_about_rollbackd_pull_nothing_and_read_metrics_that_exist() -> None:
    groups = yaml.safe_load((DEPLOY / "rollbackd-alerts.yml").read_text())["groups"]
    source = (ROOT / "daemon" / "rollbackd" / "telemetry.py").read_text()
    for rule in groups[0]["rules"]:
        assert "rollback" not in rule["labels"]
        for metric in re.findall(r"rollbackd_(\w+)", rule["expr"]):
            assert f'"{metric.removesuffix("_total")}"' in source


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (("promtool", "check", "config", "--syntax-only"), "prometheus.yml"),
        (("promtool", "check", "rules"), "rollbackd-alerts.yml"),
        (("amtool", "check-config"), "alertmanager.yml"),
    ],
)
def test_the_servers_own_checkers_accept_the_files(command: tuple[str, ...], file: str) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}")
    result = subprocess.run([*command, DEPLOY / file], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
