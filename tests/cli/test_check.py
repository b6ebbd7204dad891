from pathlib import Path

import orjson
import pytest

from rollbackd.cli.shapes import Shape, shape_of
from rollbackd.documents.diagnostics import DocumentError
from rollbackd.settings import CONFIG_KEYS
from tests.cli.conftest import Run

RULES = """\
groups:
  - name: g
    rules:
      - alert: A
        expr: delta_s > 0.15
        labels: {branch: quality_regression}
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("groups: []", Shape.RULES),
        ("branches: {}", Shape.TREE),
        ("rule_files: []\ntests: []", Shape.TESTS),
        ("http: {}", Shape.CONFIG),
        ("rules: [a]", Shape.CONFIG),
    ],
)
def test_a_file_is_known_by_its_keys(text: str, shape: Shape) -> None:
    """Not by its name."""
    assert shape_of(text, file="x.yaml") is shape


@pytest.mark.parametrize("key", CONFIG_KEYS)
def test_every_key_of_a_config_tells_that_it_is_one(key: str) -> None:
    """Alone, as in a config that changes one thing."""
    assert shape_of(f"{key}: x", file="x.yaml") is Shape.CONFIG


@pytest.mark.parametrize("text", ["", "# log_level: debug\n"])
def test_an_empty_config_is_a_good_one(run: Run, tmp_path: Path, text: str) -> None:
    """Every key has a default; among other files an empty one is none of ours."""
    config = write(tmp_path, "rollbackd.yaml", text)
    result = run("check", str(config))
    assert result.exit_code == 0, result.output
    assert f"ok     {config} (config)" in result.stdout
    write(tmp_path, "rules.yaml", RULES)
    for among in ((str(tmp_path),), (str(config), str(tmp_path / "rules.yaml"))):
        assert "the file is empty" in run("check", *among).stderr


@pytest.mark.parametrize("text", ["", "- a", "text", "nonsense: 1", "a: [", "a: 1\na: 2"])
def test_a_file_that_is_nothing_we_know_is_refused(text: str) -> None:
    """With a position, whatever it is."""
    with pytest.raises(DocumentError) as caught:
        shape_of(text, file="x.yaml")
    assert caught.value.diagnostics[0].position.file == "x.yaml"


def test_the_shipped_rules_are_good(run: Run) -> None:
    """Without a file, what comes with rollbackd is checked."""
    result = run("check")
    assert result.exit_code == 0, result.output
    assert "1 file, 0 errors, 0 warnings" in result.stdout


def test_every_shipped_file_is_good_by_itself(run: Run) -> None:
    """Rule files, the tree and the rule tests."""
    rules = Path(__file__).parents[2] / "rules"
    result = run("check", str(rules), str(rules / "tests"))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RULES.replace("delta_s >", "delta_s >>"), "x.yaml:5:"),
        (RULES.replace("alert:", "alrt:"), "alrt"),
        (RULES.replace("expr:", "exp:"), "expr"),
        ("branches: {b: {levers: [{lever: crowbar}]}}\nexit_targets: []\n", "crowbar"),
        ("branches: []\nexit_targets: []\n", "x.yaml:1:"),
        ("rule_files: [nothing.yaml]\ntests: []\n", "nothing.yaml"),
        ("tests: 5\nrule_files: []\n", "x.yaml:1:"),
        ("http: {port: -1}\nlog_level: loud\n", "loud"),
        ("rules: [missing.yaml]\n", "missing.yaml"),
        ("who: knows\n", "belong to no file of rollbackd"),
        ("a: !!python/object:os.system x\n", "yaml/tag"),
    ],
)
def test_a_malformed_file_is_told_with_its_position(
    run: Run, tmp_path: Path, text: str, said: str
) -> None:
    """Each kind of file, each with exit code 1 and without a traceback."""
    path = write(tmp_path, "x.yaml", text)
    result = run("check", str(path))
    assert result.exit_code == 1
    assert said in result.stderr
    assert f"{path}:" in result.stderr
    assert f"FAILED {path}" in result.stdout


def test_all_problems_of_all_files_come_at_once(run: Run, tmp_path: Path) -> None:
    """In the order of files and lines, good files in between."""
    write(tmp_path, "a.yaml", "htttp: {}\nlog_levl: info\nstore: sqlite\n")
    write(tmp_path, "b.yml", RULES)
    write(tmp_path, "c.yaml", "who: knows\n")
    write(tmp_path, "notes.txt", "not ours")
    result = run("check", str(tmp_path))
    assert result.exit_code == 1
    assert "3 files, 3 errors" in result.stdout
    problems = [line for line in result.stderr.splitlines() if ": error: " in line]
    assert [p.split(": ")[0] for p in problems] == [
        f"{tmp_path}/a.yaml:1:1",
        f"{tmp_path}/a.yaml:2:1",
        f"{tmp_path}/c.yaml:1:1",
    ]


def test_a_script_gets_the_same_facts(run: Run, tmp_path: Path) -> None:
    """Id, position, message and fix of every problem."""
    good, bad = write(tmp_path, "a.yaml", RULES), write(tmp_path, "b.yaml", "htttp: {}\nhttp: {}\n")
    result = run("check", str(good), str(bad), "--output", "json")
    assert result.exit_code == 1
    answer = orjson.loads(result.stdout)
    assert answer["ok"] is False
    assert [f["kind"] for f in answer["files"]] == ["rules", "config"]
    assert [f["ok"] for f in answer["files"]] == [True, False]
    (problem,) = answer["files"][1]["diagnostics"]
    assert problem["id"] == "key/unknown"
    assert (problem["line"], problem["column"]) == (1, 1)
    assert problem["fix"] == "did you mean `http`?"


def test_a_file_that_cannot_be_read_is_a_problem_like_any_other(run: Run, tmp_path: Path) -> None:
    """Missing, or not text."""
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    result = run("check", str(tmp_path / "none.yaml"), str(binary))
    assert result.exit_code == 1
    assert "cannot read the file: No such file or directory" in result.stderr
    assert "not UTF-8" in result.stderr


def test_an_empty_folder_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    """Nothing checked is not everything good."""
    assert run("check", str(tmp_path)).exit_code == 2


@pytest.mark.parametrize("key", ["rules", "mappings"])
def test_a_file_that_is_not_there_is_told_once(run: Run, tmp_path: Path, key: str) -> None:
    """Where the config names it."""
    config = write(tmp_path, "config.yaml", f"{key}: [gone.yaml]\n")
    result = run("check", str(config), "--output", "short")
    assert len(result.stdout.splitlines()) == 1, result.stdout
    assert f"{config}:1:1: error: there is no file or folder" in result.stdout


def test_a_config_is_checked_with_the_files_that_it_names(run: Run, tmp_path: Path) -> None:
    """A rule whose branch the tree does not have would fire into nothing."""
    write(tmp_path, "rules.yaml", RULES.replace("quality_regression", "no_such_branch"))
    config = write(tmp_path, "config.yaml", "rules: [rules.yaml]\n")
    result = run("check", str(config))
    assert result.exit_code == 1
    assert "no_such_branch" in result.stderr
    assert f"{tmp_path}/rules.yaml:" in result.stderr
