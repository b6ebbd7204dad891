"""`rollbackd audit`: whether what was written down of incidents is what was written then."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.text import Text

from rollbackd.cli.answers import IncidentList
from rollbackd.cli.client import Api, Connection, call, convert
from rollbackd.cli.failures import FAILED, Commands, FailureError
from rollbackd.cli.options import DEFAULT_URL, CaFileOption, TokenFileOption, UrlOption
from rollbackd.cli.phrases import counted
from rollbackd.evidence.bundle import BundleError, flaw_in, read_bundle
from rollbackd.incidents.chain import first_break, unchained

#: `--all` asks for at most so many, newest first: what the API gives at once.
_MOST = 1_000

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Check the audit trail.")


@app.callback()
def audit() -> None:
    """Check the audit trail."""


@app.command()
def verify(
    incident_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The journal of this incident.")
    ] = None,
    *,
    bundles: Annotated[
        list[Path] | None,
        typer.Option(
            "--bundle", metavar="FILE", help="A `bundle.json`, without a daemon; may be repeated."
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help=f"The journals of the newest {_MOST:,} incidents.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Follow the hash chain over the journal; name the first record that does not fit.

    A record that was edited, removed or put elsewhere is found, and so are records that are
    missing at the end. Exit code 1 when anything does not fit.
    """
    if sum([incident_id is not None, bool(bundles), every]) != 1:
        raise typer.BadParameter("say one of: an incident's ID, --bundle FILE, --all")
    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    if bundles:
        found = [_of_bundle(path) for path in bundles]
    elif incident_id is not None:
        found = call(connection, lambda api: _of_journals(api, [incident_id]))
    else:
        found = call(connection, _of_every_journal)
    console = Console(highlight=False, soft_wrap=True)
    for line, _ in found:
        console.print(line)
    bad = sum(not fits for _, fits in found)
    console.print(f"{counted(len(found), 'chain')}, {bad} broken")
    if bad:
        raise typer.Exit(FAILED)


async def _of_every_journal(api: Api) -> list[tuple[Text, bool]]:
    answer = convert(await api.get("/api/v1/incidents", limit=str(_MOST)), IncidentList)
    return await _of_journals(api, [incident.id for incident in answer.incidents])


async def _of_journals(api: Api, ids: list[str]) -> list[tuple[Text, bool]]:
    return [
        _of_journal(each, await api.get(f"/api/v1/incidents/{quote(each, safe='')}"))
        for each in ids
    ]


def _of_journal(incident_id: str, answer: Any) -> tuple[Text, bool]:
    """As the daemon answers, unread: what this version does not know of is verified too."""
    detail = convert(answer, dict[str, Any])
    incident, journal = detail.get("incident"), detail.get("journal")
    if not isinstance(incident, dict) or not isinstance(journal, list):
        raise FailureError("the daemon's answer is not understood: it has no journal")
    head = str(incident.get("chain_head") or "")
    broken = first_break(journal, head)
    if broken is not None:
        return _line(incident_id, broken.headline, fits=False)
    before = unchained(journal)
    words = f"{counted(len(journal), 'record')}, head {head or '-'}"
    if before:
        words += f"; the first {before} are from before there was a chain and prove nothing"
    return _line(incident_id, words, fits=True)


def _of_bundle(path: Path) -> tuple[Text, bool]:
    try:
        bundle = read_bundle(path.read_bytes())
    except OSError as error:
        raise FailureError(f"cannot read the bundle `{path}`: {error.strerror}") from None
    except BundleError as error:
        raise FailureError(f"cannot use the bundle `{path}`: {error}") from None
    flaw = flaw_in(bundle)
    words = flaw or f"{counted(len(bundle['journal']), 'record')}, {bundle['digest']}"
    return _line(str(path), words, fits=not flaw)


def _line(name: str, words: str, *, fits: bool) -> tuple[Text, bool]:
    mark, style = ("ok", "green") if fits else ("BROKEN", "bold red")
    return Text.assemble((mark.ljust(7), style), (name, "bold"), f"  {words}"), fits
