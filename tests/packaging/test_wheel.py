"""The wheel is all that a machine needs."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.daemon import DaemonProcess

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_wheel_runs_in_an_empty_environment_without_the_source_tree(
    tmp_path: Path,
) -> None:
    """Build the wheel, install it in a new environment, and serve with the shipped rules."""

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def build_and_install() -> Path:
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path / "dist", ROOT)
        run(sys.executable, "-m", "venv", tmp_path / "venv")
        (wheel,) = (tmp_path / "dist").glob("rollbackd-*.whl")
        installed = tmp_path / "venv" / "bin"
        run(installed / "python", "-m", "pip", "--quiet", "install", wheel)
        return installed

    installed = await asyncio.to_thread(build_and_install)
    where = run(installed / "python", "-c", "import rollbackd; print(rollbackd.__file__)")
    assert str(tmp_path) in where
    assert run(installed / "rollbackd", "version").strip()

    config = tmp_path / "minimal.yaml"
    config.write_text(f"state_dir: {tmp_path}/state\n")
    run(installed / "rollbackd", "check", config)

    program = (str(installed / "rollbackd"),)
    async with DaemonProcess(tmp_path / "daemon", program=program) as daemon:
        daemon.config.write_text(f"state_dir: {daemon.state_dir}\nhttp: {{port: {daemon.port}}}\n")
        await daemon.restart()
        status = await daemon.get("/api/v1/status")
        assert status["branches"][0] == "duplicate_effects"
