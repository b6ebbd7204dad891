"""The unit and the example config, as systemd and the daemon themselves read them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rollbackd.settings import load_settings

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT = FOLDER / "rollbackd.service"
EXAMPLE = FOLDER / "rollbackd.yaml"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze"
)


def directives() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@needs_systemd
def test_the_unit_scores_1_5_or_better() -> None:
    result = analyze("security", "--offline=yes", "--threshold=15", "--no-pager", UNIT)
    assert result.returncode == 0, result.stdout[-2000:]


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    # The program is not installed where the tests run.
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/usr/bin/rollbackd", "/bin/true"))
    result = analyze("verify", "--man=no", copy)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_unit_starts_watches_and_reloads_the_daemon() -> None:
    unit = directives()
    assert unit["Type"] == ["notify"]
    assert unit["WatchdogSec"] == ["30s"]
    assert unit["Restart"] == ["always"]
    assert unit["ExecStart"] == ["/usr/bin/rollbackd run --config /etc/rollbackd/rollbackd.yaml"]
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert unit["DynamicUser"] == ["yes"]
    # a lever's program is ended by the daemon, not before it
    assert unit["KillMode"] == ["mixed"]
    assert "Environment" not in unit
    assert "EnvironmentFile" not in unit


def test_the_state_folder_of_the_unit_is_the_one_of_the_config() -> None:
    (name,) = directives()["StateDirectory"]
    assert load_settings(EXAMPLE).state_dir == Path("/var/lib") / name


def test_the_example_loads_and_means_what_an_empty_file_means(tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    example, default = load_settings(EXAMPLE), load_settings(empty)
    for field in type(default).__struct_fields__:
        if field != "path":
            assert getattr(example, field) == getattr(default, field), field


def test_what_is_commented_out_loads_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key of the example is one that the daemon knows."""
    (tmp_path / "rules").mkdir()
    for name in ("rules/when-to-pull.yaml", "rules/decision-tree.yaml"):
        (tmp_path / name).write_text("")
    for credential in named_credentials():
        (tmp_path / credential).write_text("x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    text = re.sub(
        r"^( *)# (?=( *- |[ ]*[a-z_]+:( |$)))", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE
    )
    config = tmp_path / "rollbackd.yaml"
    config.write_text(text)
    settings = load_settings(config)
    assert [t.name for t in settings.http.tokens] == ["alertmanager", "prometheus", "oncall"]
    assert settings.http.client_certificates[0].san == "rollout.internal.example"
    assert settings.kafka is not None
    assert settings.redis is not None


def test_every_credential_that_the_example_names_is_loaded_by_the_unit() -> None:
    loaded = directives()["LoadCredential"]
    assert set(named_credentials()) <= set(loaded)
    # A name without a path is looked up in /etc/credstore, where a missing one is skipped.
    assert all(":" not in name for name in loaded)


def named_credentials() -> list[str]:
    return re.findall(r"\$\{credentials:([a-z-]+)\}", EXAMPLE.read_text())
