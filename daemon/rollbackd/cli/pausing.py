"""`rollbackd pause`, `resume` and `unlatch`: stop the automation, and let it go on."""

from pathlib import Path
from typing import Annotated

import typer

from rollbackd.cli.client import Connection
from rollbackd.cli.failures import FailureError
from rollbackd.cli.operating import ReasonOption, post
from rollbackd.cli.options import (
    DEFAULT_URL,
    CaFileOption,
    ScopeArgument,
    TokenFileOption,
    UrlOption,
)
from rollbackd.cli.running import ConfigOption, with_usable_state_dir
from rollbackd.settings import default_settings, survey_settings

LocalOption = Annotated[
    bool,
    typer.Option(
        "--local",
        help="By a file on this machine, without asking the daemon: works while its store is down.",
    ),
]


def pause(
    *,
    reason: ReasonOption,
    local: LocalOption = False,
    config: ConfigOption = None,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Stop opening incidents. Rules are still evaluated; open incidents are still finished.

    The pause survives restarts and redeploys, until `rollbackd resume`. One that was made with
    `--local` is ended with `--local`.
    """
    if local:
        path = _pause_path(config)
        _write(path, reason)
        print(f"paused by {path}; `rollbackd resume --local` ends it")
        return
    _refuse_config(config)
    post(
        Connection(url=url, token_file=token_file, ca_file=ca_file),
        "/api/v1/pause",
        {"reason": reason},
    )
    print("paused; `rollbackd resume` ends it")


def resume(
    *,
    local: LocalOption = False,
    config: ConfigOption = None,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """End the pause."""
    if local:
        path = _pause_path(config)
        print(f"removed {path}" if _remove(path) else f"there is no {path}")
        return
    _refuse_config(config)
    post(Connection(url=url, token_file=token_file, ca_file=ca_file), "/api/v1/resume", {})
    print("resumed")


def unlatch(
    *,
    scope: ScopeArgument,
    reason: ReasonOption,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Let the automation act again on a scope that flapped, or that acting did not help.

    What happened before counts no more. `rollbackd status` shows what is latched.
    """
    body = {"scope": str(scope), "reason": reason}
    answer = post(
        Connection(url=url, token_file=token_file, ca_file=ca_file), "/api/v1/unlatch", body
    )
    for latch in answer["released"]:
        print(f"released {scope} {latch['branch'] or 'every branch'}: {latch['because']}")


def _pause_path(config: Path | None) -> Path:
    """Where the daemon of this config looks; a config with a mistake must not prevent a stop."""
    if config is not None:
        settings, _ = survey_settings(config)
        return settings.pause_path
    return with_usable_state_dir(default_settings()).pause_path


def _write(path: Path, reason: str) -> None:
    from rollbackd.app.pausing import PauseFile  # noqa: PLC0415  # no other command needs it

    try:
        PauseFile(path).write(reason)
    except OSError as error:
        raise FailureError(f"cannot write `{path}`: {error.strerror}") from error


def _remove(path: Path) -> bool:
    from rollbackd.app.pausing import PauseFile  # noqa: PLC0415  # no other command needs it

    try:
        return PauseFile(path).remove()
    except OSError as error:
        raise FailureError(f"cannot remove `{path}`: {error.strerror}") from error


def _refuse_config(config: Path | None) -> None:
    if config is not None:
        raise typer.BadParameter("it goes with --local", param_hint="--config")
