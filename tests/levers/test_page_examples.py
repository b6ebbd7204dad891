"""The example of each page, put into the shipped decision tree, is what `rollbackd check` takes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner
from yaml import MappingNode

from rollbackd.cli.main import app
from rollbackd.levers import LEVERS
from tests.levers.pages import INDEX, page_of

TREE = Path(__file__).parents[2] / "rules" / "decision-tree.yaml"
PAGES = {**{type_: page_of(type_) for type_ in sorted(LEVERS)}, "README": INDEX}
#: What the probes of some examples ask; nothing of it is connected to.
CONFIG: dict[str, Any] = {
    "decision_tree": "tree.yaml",
    "controls": "redis",
    "redis": {"url": "redis://127.0.0.1:6379/0"},
    "kafka": {"bootstrap_servers": ["127.0.0.1:9092"], "topics": [{"name": "events"}]},
}

_BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
#: Files of secrets, and a program, that an example names.
_FILE = re.compile(r"(?:_file|program|_TOKEN): (/[^\s,}]+)")


def blocks_of(page: Path, key: str) -> list[str]:
    """The YAML blocks of a page that begin a mapping with this key."""
    blocks = _BLOCK.findall(page.read_text())
    return [block for block in blocks if re.search(rf"^{key}:\n", block, re.MULTILINE)]


def with_files(block: str, folder: Path) -> str:
    """The block with files that are there, in place of those that it names."""
    for name in _FILE.findall(block):
        made = folder / Path(name).name
        made.write_text("x")
        made.chmod(0o755)
        block = block.replace(name, str(made))
    return block


def merged(tree: MappingNode, example: MappingNode, depth: int = 2) -> None:
    """As a reader does it: what a branch of the example says stands for what the branch said."""
    known = {key.value: place for place, (key, _) in enumerate(tree.value)}
    for key, value in example.value:
        place = known.get(key.value)
        if place is None:
            tree.value.append((key, value))
        elif depth:
            merged(tree.value[place][1], value, depth - 1)
        else:
            tree.value[place] = key, value


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_the_example_of_a_page_goes_into_the_shipped_tree(page: Path, tmp_path: Path) -> None:
    """With the levers that the page defines, and no others."""
    (example,) = blocks_of(page, "branches")
    # nodes and not values: `off` stays the word that rollbackd reads
    tree = yaml.compose(TREE.read_text())
    merged(tree, yaml.compose(example))
    (tmp_path / "tree.yaml").write_text(yaml.serialize(tree))
    levers = blocks_of(page, "levers")
    config = {**CONFIG, "state_dir": str(tmp_path), **({"levers": "levers.yaml"} if levers else {})}
    (tmp_path / "levers.yaml").write_text(with_files("".join(levers), tmp_path))
    (tmp_path / "rollbackd.yaml").write_text(yaml.safe_dump(config))
    result = CliRunner().invoke(app, ["check", str(tmp_path / "rollbackd.yaml"), "-o", "short"])
    assert result.exit_code == 0, result.output
