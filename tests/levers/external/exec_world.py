"""A switch that a program keeps in a JSON file."""

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

from rollbackd.levers.exec import ExecSettings
from tests.levers.external.world import Value, World

_SECRET = "hunter2-exec"


def program(folder: Path, name: str, text: str) -> Path:
    """A Python script that only its owner may write."""
    path = folder / name
    path.write_text(f"#!{sys.executable} -IS\n{text}")
    path.chmod(0o755)
    return path


class ExecWorld(World):
    """`switchctl`, with its key in a file."""

    lever_type: ClassVar[str] = "exec"
    name: ClassVar[str] = "edge"
    secret: ClassVar[str] = _SECRET
    bad: ClassVar[Value] = {"target": "green"}
    good: ClassVar[Value] = {"target": "blue"}
    other: ClassVar[Value] = {"target": "red"}
    facts: ClassVar[Value] = {"servers": 3}
    over_network: ClassVar[bool] = False

    async def start(self) -> None:
        self.file = self.folder / "switch.json"
        self._write(target="green", servers={"blue": 3, "green": 3, "red": 3}, moves=0)
        key = self.folder / "key"
        key.write_text(_SECRET)
        source = Path(__file__).with_name("switch_program.py").read_text()
        self.build(
            ExecSettings(
                program=str(program(self.folder, "switchctl", source)),
                observe=["get"],
                move=["set", "{after.target}", "{incident_id} moved {name}"],
                facts=["show", "{after.target}"],
                verify=["get"],
                environment={"SWITCH": str(self.file)},
                secret_files={"KEY": key},
                timeout=5_000,
            )
        )

    async def put(self, value: Value) -> None:
        self._write(**value)

    async def held(self) -> Value:
        return {"target": self._state()["target"]}

    async def empty(self) -> None:
        self._write(servers={"blue": 0})

    async def changes(self) -> int | None:
        return int(self._state()["moves"])

    async def stop(self) -> None: ...

    def _state(self) -> dict[str, Any]:
        return dict(json.loads(self.file.read_text())) if self.file.exists() else {}

    def _write(self, **values: object) -> None:
        self.file.write_text(json.dumps({**self._state(), **values}))
