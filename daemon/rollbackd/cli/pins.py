"""`rollbackd pins`: record what to go back to, look at it, and say which set it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console

from rollbackd.cli import pins_view as view
from rollbackd.cli.answers import LiveAnswer, SetAnswer, SetList, ShownSet
from rollbackd.cli.client import Api, Connection, call, convert
from rollbackd.cli.failures import FAILED, Commands, FailureError
from rollbackd.cli.operating import ReasonOption
from rollbackd.cli.options import (
    DEFAULT_URL,
    AnyScopeArgument,
    CaFileOption,
    Output,
    OutputOption,
    ScopeArgument,
    TokenFileOption,
    UrlOption,
)
from rollbackd.cli.rule_tests import read_text
from rollbackd.cli.tables import print_table
from rollbackd.documents.reader import Document, Reader
from rollbackd.documents.yaml import compose
from rollbackd.model.events import KnownTarget
from rollbackd.model.known_good import BASELINE_ARM
from rollbackd.model.pins import Pins

#: Stands for what runs now, where a set is compared.
CURRENT = "current"

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Known good sets: what a rollback goes back to."
)

SetArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The set, e.g. `KG-20261123T024455-1a2b3c4d`.")
]


@app.callback()
def pins() -> None:
    """Known good sets: what a rollback goes back to.

    A set holds the version pins, the controls, what stands at the targets of levers, and a measured
    baseline window. It never changes. The newest good set of a scope is in force.
    """


@app.command()
def record(
    *,
    scope: ScopeArgument,
    from_live: Annotated[
        bool, typer.Option("--from-live", help="Take the pins that the service says it runs with.")
    ] = False,
    pin: Annotated[
        list[str] | None,
        typer.Option(
            "--pin",
            metavar="NAME=VALUE",
            help="One pin, over --file and --from-live; may be repeated.",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Pins as a YAML or JSON mapping.")
    ] = None,
    arm: Annotated[
        str, typer.Option("--arm", metavar="ARM", help="The arm that is the service.")
    ] = BASELINE_ARM,
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            metavar="DURATION",
            help="How much of the live series to measure: all that is kept, or less, `0s`: none.",
        ),
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why it is recorded.")] = "",
    candidate: Annotated[
        bool, typer.Option("--candidate", help="Record it only; `pins promote` makes it count.")
    ] = False,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing", help="Record it although required pins or targets are unknown."
        ),
    ] = False,
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="KEY", help="Said again with the same key, it is the same set."
        ),
    ] = "",
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Record what a scope runs with as a set to go back to; do it before a rollout.

    Controls and targets are read by the daemon, and the baseline is measured from its live windows.
    Without --key, the same command within ten minutes gives the same set, if that one still counts
    and pins, controls and targets are still as it says.
    """
    chosen = {**(_pins_of_file(file) if file else {}), **_pins_of_options(pin or [])}
    if not (from_live or chosen):
        raise typer.BadParameter("say what runs: --from-live, --pin NAME=VALUE or --file FILE")
    body = {
        "scope": str(scope),
        "pins": chosen,
        "from_live": from_live,
        "arm": arm,
        "window": window,
        "note": note,
        "candidate": candidate,
        "allow_missing": allow_missing,
    }

    async def work(api: Api) -> Any:
        return await api.post("/api/v1/pins", body, key=key)

    answer = call(Connection(url=url, token_file=token_file, ca_file=ca_file), work)
    if output is Output.JSON:
        Console().print_json(data=answer)
        return
    recorded = convert(answer, SetAnswer)
    done = "recorded" if recorded.is_new else "was recorded before as"
    print(f"{done} {recorded.set.id}")
    view.show_gaps(Console(), recorded)
    view.show(Console(), recorded.set)


@app.command("list")
def list_sets(
    scope: AnyScopeArgument = None,
    *,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=1_000, help="List at most so many.")
    ] = 20,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List sets, newest first; `*` marks what a rollback goes back to."""
    params = {"limit": str(limit), **({"scope": str(scope)} if scope is not None else {})}

    async def work(api: Api) -> Any:
        return await api.get("/api/v1/pins", **params)

    answer = call(Connection(url=url, token_file=token_file, ca_file=ca_file), work)
    if output is Output.JSON:
        Console().print_json(data=answer)
        return
    sets = convert(answer, SetList).sets
    if not sets:
        print("no known good set is recorded; `rollbackd pins record` makes one")
        return
    print_table(view.table(sets))


@app.command("show")
def show_set(
    set_id: SetArgument,
    *,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show one set: pins, controls, targets, baseline."""
    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    answer = call(connection, lambda api: _get(api, set_id))
    if output is Output.JSON:
        Console().print_json(data=answer)
        return
    view.show(Console(), convert(answer, SetAnswer).set)


@app.command()
def diff(
    set_id: Annotated[str, typer.Argument(metavar="A", help="The ID of a set.")],
    other: Annotated[
        str, typer.Argument(metavar="B", help="Another one, or `current`: what runs now.")
    ] = CURRENT,
    *,
    arm: Annotated[
        str, typer.Option("--arm", metavar="ARM", help="The arm, with `current`.")
    ] = BASELINE_ARM,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code", help="Exit with 1 on a difference, or a target that cannot be read."
        ),
    ] = False,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what differs between two sets, or between a set and what runs now.

    For what runs now, every target of the decision tree is read; the baseline is not measured, and
    facts about a target that stands where it stood are left aside.
    """

    async def work(api: Api) -> tuple[ShownSet, ShownSet, dict[str, str]]:
        first = convert(await _get(api, set_id), SetAnswer).set
        if other != CURRENT:
            return first, convert(await _get(api, other), SetAnswer).set, {}
        live = convert(await api.get(f"/api/v1/pins/live/{first.scope}"), LiveAnswer)
        return first, _as_it_runs(first, live, arm), live.not_observed

    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    first, second, unread = call(connection, work)
    found = view.differences(first, second)
    _show_differences(first.id, second.id, found, unread, output)
    if exit_code and (found or unread):
        raise typer.Exit(FAILED)


@app.command()
def promote(
    set_id: SetArgument,
    *,
    reason: ReasonOption,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a set what its scope is rolled back to, also an earlier one or one that was retired."""
    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    _restate(connection, set_id, "promote", reason, output)


@app.command()
def retire(
    set_id: SetArgument,
    *,
    reason: ReasonOption,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Never roll back to a set again; the newest good one that is left is then in force."""
    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    _restate(connection, set_id, "retire", reason, output)


def _restate(connection: Connection, set_id: str, verb: str, reason: str, output: Output) -> None:
    async def work(api: Api) -> Any:
        path = f"/api/v1/pins/{quote(set_id, safe='')}/{verb}"
        return await api.post(path, {"reason": reason})

    answer = call(connection, work)
    if output is Output.JSON:
        Console().print_json(data=answer)
        return
    changed = convert(answer, SetAnswer)
    now = f"{changed.in_force} is in force" if changed.in_force else "nothing is in force"
    print(f"{changed.set.id} is {changed.set.status}; for {changed.set.scope} {now}")
    if not changed.in_force:
        print("until a set is recorded or promoted, a branch that needs one cannot roll back")


def _show_differences(
    a: str, b: str, found: Sequence[view.Difference], unread: dict[str, str], output: Output
) -> None:
    not_compared = {f"target {name}": why for name, why in sorted(unread.items())}
    if b == CURRENT:
        not_compared["baseline"] = "nothing is measured for a comparison"
    if output is Output.JSON:
        told = {"differences": msgspec.to_builtins(found), "not_compared": not_compared}
        Console().print_json(data={"a": a, "b": b, **told})
        return
    if found:
        print_table(view.difference_table(a, b, found))
    else:
        print(f"{a} and {b} do not differ" + (" in what was compared" if not_compared else ""))
    view.show_not_compared(Console(), not_compared)


async def _get(api: Api, set_id: str) -> Any:
    return await api.get(f"/api/v1/pins/{quote(set_id, safe='')}")


def _as_it_runs(first: ShownSet, live: LiveAnswer, arm: str) -> ShownSet:
    seen = live.arms.get(arm) or (live.arms.get("") if arm == BASELINE_ARM else None)
    if seen is None:
        named = ", ".join(f"`{each}`" for each in sorted(live.arms)) or "none"
        raise FailureError(
            f"no event said which pins arm `{arm}` of {live.scope} runs with; seen: {named}",
            fix="name an arm that was seen with --arm",
        )
    return ShownSet(
        id=CURRENT,
        scope=live.scope,
        status=first.status,
        in_force=False,
        pins=seen,
        recorded_at_ms=0,
        controls=live.controls,
        targets=_targets_now(first, live),
        # what is not compared counts as the same
        baseline=first.baseline,
    )


def _targets_now(first: ShownSet, live: LiveAnswer) -> dict[str, KnownTarget]:
    """As they stand; the set's own where one stands where it stood, or cannot be read."""
    targets = dict(live.targets)
    for name, recorded in first.targets.items():
        now = targets.get(name)
        if name in live.not_observed or (now is not None and now.value == recorded.value):
            # a document count grows without the alias being moved
            targets[name] = recorded
    return targets


def _pins_of_options(written: Sequence[str]) -> Pins:
    found: Pins = {}
    for each in written:
        name, equals, value = each.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"`{each}` is not a pin; write it like PROMPT_VER=p-12")
        found[name] = value
    return found


def _pins_of_file(path: Path) -> Pins:
    """The mapping in a file. Raises DocumentError, FailureError."""
    text = read_text(path)
    document, root = Document(str(path), text), compose(text, file=str(path))
    if root is None:
        raise FailureError(f"`{path}` is empty; write one pin a line, e.g. `PROMPT_VER: p-12`")
    found = {name: reader.text_of_scalar() for name, reader in Reader(document, root).entries()}
    document.raise_errors()
    return found
