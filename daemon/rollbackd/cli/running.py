"""`rollbackd run`: starts the daemon in the foreground."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from rollbackd.cli.failures import FailureError
from rollbackd.errors import RollbackdError
from rollbackd.settings import Settings, default_settings, load_settings
from rollbackd.telemetry import configure_logging

logger = logging.getLogger(__name__)

_DEFAULT_STATE: Final = Settings().state_dir
_USER_STATE: Final = ".local/state/rollbackd"

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The config file. Without one: SQLite, loopback, the shipped rules.",
    ),
]


def run(config: ConfigOption = None) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C. It logs JSON lines to stderr."""
    settings = load_settings(config) if config else default_settings()
    settings = with_usable_state_dir(settings)
    configure_logging(level=settings.log_level)
    try:
        asyncio.run(_run(settings))
    except (RollbackdError, OSError, ValueError) as error:
        # What the operator can mend: a store that is away, a port that is taken, a token file.
        # Should it be a defect after all, `log_level: debug` shows where.
        logger.debug("cannot run", exc_info=error)
        raise FailureError(f"the daemon cannot run: {error}") from error


async def _run(settings: Settings) -> None:
    # Here, because no other command needs what the daemon is made of.
    from rollbackd.app.daemon import Daemon  # noqa: PLC0415

    await Daemon(settings).run()


def with_usable_state_dir(settings: Settings, *, home: Path | None = None) -> Settings:
    """The settings with a state folder that can be written.

    A folder that was asked for is used or refused; only the default gives way, to one in the
    user's home, and says so. Raises FailureError.
    """
    wanted = settings.state_dir
    problem = _write_problem(wanted)
    if not problem:
        return settings
    if wanted != _DEFAULT_STATE:
        raise FailureError(f"cannot write to the state folder `{wanted}`: {problem}")
    fallback = (home or Path.home()) / _USER_STATE
    if problem_there := _write_problem(fallback):
        raise FailureError(
            f"cannot write to `{wanted}` ({problem}) nor to `{fallback}` ({problem_there})",
            fix="name a folder with `state_dir:` in a config file",
        )
    Console(stderr=True, soft_wrap=True).print(f"state is kept in {fallback}")
    return msgspec.structs.replace(settings, state_dir=fallback)


def _write_problem(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(folder, os.W_OK | os.X_OK) else "permission denied"
